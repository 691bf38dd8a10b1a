//! Translations: each result is loaded as `check` does, and its tree compared with what was asked for.

use std::collections::BTreeMap;

use imds::Leaf;
use serde_json::json;

use super::super::tree::{DOCUMENT_PATH, LATEST};
use super::*;
use crate::config::Sources;
use crate::state::Played;

fn now() -> Timestamp {
    "2026-11-21T16:00:00Z".parse().unwrap()
}

fn settings(said: serde_json::Value) -> Settings {
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), said.to_string()).unwrap();
    Settings::read(file.path()).unwrap()
}

struct Result {
    table: Table,
    notes: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Result {
    fn noted(&self, words: &str) -> bool {
        self.notes.iter().any(|note| note.contains(words))
    }

    fn value(&self, path: &str) -> Option<&str> {
        self.values.get(path).map(String::as_str)
    }
}

fn imported(said: &Settings) -> Result {
    let imported = import(said, "aemm-config.json", now()).unwrap();
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), &imported.text).unwrap();
    let loaded = Sources { file: Some(file.path().to_owned()), ..Sources::default() }.load();
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}\n{}", imported.text));
    let played = Played::from(&loaded, now()).unwrap_or_else(|error| panic!("{error}\n{}", imported.text));
    for note in &imported.notes {
        assert!(imported.text.contains(&format!("# - {note}\n")), "{note}");
    }
    let tree = played.trees().tree(loaded.config.default_role().as_deref());
    let values = tree.walk("latest").map(|(path, leaf)| match leaf {
        Leaf::Value(value) | Leaf::UserData(value) => (path, String::from_utf8_lossy(value).into_owned()),
        _ => (path, String::new()),
    });
    Result { table: imported.text.parse().unwrap(), notes: imported.notes, values: values.collect() }
}

fn of(said: serde_json::Value) -> Result {
    imported(&settings(said))
}

#[test]
fn nothing_said_is_our_default_instance() {
    let result = of(json!({}));
    assert!(result.table.is_empty(), "{:?}", result.table);
    assert!(result.noted("says nothing of spot, events, asglifecycle"));
}

#[test]
fn what_the_instance_can_say_is_said_there() {
    let result = of(json!({
        "metadata": {"values": {
            "mac": "0e:49:61:0f:c3:77", "public-ipv4": "54.92.157.77", "placement-region": "eu-west-1",
            "placement-availability-zone": "eu-west-1b", "local-ipv4": "10.0.7.10", "instance-id": "i-0fedcba0987654321",
            "iam-security-credentials-role": "me", "security-groups": "a\nb", "block-device-mapping-ebs": "sdf",
            "public-key": "ssh-rsa AAAA test", "tags-instance": {"Name": "web", "Team.A": "core"},
            "iam-info": {"InstanceProfileId": "AIPA5BOGHHXZELSK34VU4"},
        }},
        "dynamic": {"values": {"instance-identity-document": {"accountId": "987654321098", "kernelId": null}}},
        "userdata": {"values": {"userdata": "MTIzNAo="}},
        "imdsv2": true,
        "server": {"port": "1339"},
    }));
    assert!(!result.table.contains_key("tree"), "{:?}", result.table.get("tree"));
    assert_eq!(result.table["listen"].as_str(), Some("127.0.0.1:1339"));
    assert_eq!(result.table["tokens"].as_str(), Some("required"));
    let interface = "meta-data/network/interfaces/macs/0e:49:61:0f:c3:77";
    for (path, value) in [
        ("meta-data/mac", "0e:49:61:0f:c3:77"),
        ("meta-data/placement/region", "eu-west-1"),
        ("meta-data/hostname", "ip-10-0-7-10.eu-west-1.compute.internal"),
        ("meta-data/security-groups", "a\nb"),
        ("meta-data/block-device-mapping/ebs0", "sdf"),
        ("meta-data/public-keys/0/openssh-key", "ssh-rsa AAAA test\n"),
        ("meta-data/tags/instance/Team.A", "core"),
        ("user-data", "1234\n"),
    ] {
        assert_eq!(result.value(path), Some(value), "{path}");
    }
    assert_eq!(result.value(&format!("{interface}/ipv4-associations/54.92.157.77")), Some("10.0.7.10"));
    assert!(result.value("meta-data/iam/security-credentials/me").is_some());
    let document = result.value(DOCUMENT_PATH).unwrap();
    for part in ["\"987654321098\"", "\"10.0.7.10\"", "\"i-0fedcba0987654321\"", "\"eu-west-1b\""] {
        assert!(document.contains(part), "{document}");
    }
    assert_eq!(result.table["roles"]["me"]["instance-profile-id"].as_str(), Some("AIPA5BOGHHXZELSK34VU4"));
}

#[test]
fn what_ec2_could_not_have_is_set_literally() {
    let result = of(json!({
        "metadata": {"values": {"placement-region": "us-east-1", "placement-availability-zone": "eu-west-1b",
            "instance-action": "dance", "mac": "no mac"}},
        "dynamic": {"values": {"instance-identity-document": {"accountId": "9876543210",
            "marketplaceProductCodes": ["4i20ezfza3p7xx2kt2g8weu2u"], "instanceId": "i-0fedcba0987654321"}}},
    }));
    assert_eq!(result.value("meta-data/placement/availability-zone"), Some("eu-west-1b"));
    assert_eq!(result.value("meta-data/placement/region"), Some("us-east-1"));
    assert_eq!(result.value("meta-data/instance-action"), Some("dance"));
    assert_eq!(result.value("meta-data/mac"), Some("no mac"));
    assert!(result.noted("account-id: EC2 could not have it"));
    let document = result.value(DOCUMENT_PATH).unwrap();
    assert!(document.contains("\n  \"accountId\" : \"9876543210\",\n"), "{document}");
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["marketplaceProductCodes"], json!(["4i20ezfza3p7xx2kt2g8weu2u"]));
    assert_eq!(document["instanceId"], "i-0fedcba0987654321");
    assert!(result.values.contains_key("dynamic/instance-identity/pkcs7"));
}

#[test]
fn everything_that_aemm_writes_with_s_is_taken_over() {
    let said = Settings::defaults(now());
    let result = imported(&said);
    for entry in defaults::STATIC.iter().chain(defaults::DYNAMIC_DATA) {
        let path = entry.default_path();
        let path = path.trim_start_matches(LATEST);
        let expected = match entry.key {
            "iam-info"
            | "iam-security-credentials"
            | "iam-security-credentials-role"
            | "instance-identity-document"
            | "instance-identity-pkcs"
            | "instance-identity-signature" => continue,
            // Where something lies below, a listing says it.
            "elastic-inference-associations" => continue,
            "elastic-inference-accelerator" => {
                assert!(result.value(path).unwrap().starts_with("{\"version_2018_04_12\":{"));
                continue;
            }
            "public-key" => format!("{}\n", entry.value),
            _ => entry.value.to_owned(),
        };
        assert_eq!(result.value(path), Some(expected.as_str()), "{path}");
    }
    let document = result.value(DOCUMENT_PATH).unwrap();
    assert!(
        document.contains("\"accountId\" : \"0123456789\"") && document.contains("\"us-east-1f\""),
        "{document}"
    );
    assert!(result.value("meta-data/iam/security-credentials/baskinc-role").is_some());
    assert_eq!(result.value("user-data"), Some("1234,john,reboot,true\n"));
    assert_eq!(result.table["listen"].as_str(), Some("0.0.0.0:1338"));
    assert_eq!(result.table["tokens"].as_str(), Some("optional"));
    let kinds: Vec<&str> = result.table["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["spot", "rebalance", "maintenance", "lifecycle"]);
    assert!(result.noted("no secret belongs") && result.noted("signatures are made here"));
    assert!(!result.noted("nothing here is like it"), "{:?}", result.notes);
}

#[test]
fn paths_elsewhere_are_elsewhere() {
    let result = of(json!({"metadata": {"paths": {
        "ramdisk-id": "/latest/meta-data/ram", "mac": "/latest/meta-data/the/mac", "spot": "/latest/spot",
        "ipv4-associations": "/latest/x", "ami-id": "/1.0/ami",
    }}}));
    assert_eq!(result.value("meta-data/ram"), Some("ari-01bb5768"));
    assert_eq!(result.value("meta-data/the/mac"), Some(defaults::MAC));
    assert_eq!(result.value("meta-data/mac"), None);
    assert!(
        result.noted(
            "metadata.paths.spot: it lies where EC2 has it, at /latest/meta-data/spot/instance-action"
        )
    );
    assert!(result.noted("metadata.paths.ipv4-associations: nothing here is like it"));
    assert!(result.noted("metadata.paths.ami-id: /1.0/ami does not lie below /latest"));
}

#[test]
fn a_leaf_of_the_interface_lies_at_aemms_interface() {
    let result = of(
        json!({"metadata": {"values": {"mac-owner-id": "515336597381", "mac-ipv6-associations": "2001:db8::1"}}}),
    );
    let interface = "meta-data/network/interfaces/macs/0e:49:61:0f:c3:11";
    assert_eq!(result.value(&format!("{interface}/owner-id")), Some("515336597381"));
    assert_eq!(result.value(&format!("{interface}/ipv6s")), Some("2001:db8::1"));
    assert_eq!(result.value("meta-data/mac"), Some(defaults::MAC));
}

/// The events that are made, each as a line of its keys.
fn events(said: serde_json::Value) -> Vec<String> {
    let result = of(said);
    let Some(events) = result.table.get("events") else { return Vec::new() };
    let line = |event: &Value| {
        let mut event = event.as_table().unwrap().clone();
        let kind = event.remove("kind").unwrap();
        let others: Vec<String> = event.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        format!("{}{}", kind.as_str().unwrap(), others.concat().replace('"', ""))
    };
    events.as_array().unwrap().iter().map(line).collect()
}

#[test]
fn delays_and_trigger_times_become_times_of_events() {
    assert_eq!(events(json!({"spot": {"action": "stop"}})), ["spot action=stop in=120s", "rebalance"]);
    assert_eq!(
        events(json!({"spot": {"action": "terminate"}, "mock-delay-sec": 30, "rebalance-delay-sec": 5})),
        ["spot action=terminate in=150s", "rebalance in=5s"]
    );
    assert_eq!(
        events(json!({"spot": {"time": "2026-12-01T00:00:00Z"}})),
        ["spot action=terminate at=2026-12-01T00:00:00Z now=true", "rebalance"]
    );
    assert_eq!(events(json!({"spot": {"time": "2020-01-07T01:03:47Z"}}))[0], "spot action=terminate in=120s");
    assert_eq!(events(json!({"spot": {"action": "hibernate"}}))[0], "spot action=hibernate now=true");
    assert_eq!(
        events(json!({"mock-trigger-time": "2026-12-01T01:00:00+01:00"})),
        [
            "spot action=terminate at=2026-12-01T00:02:00Z",
            "rebalance",
            "maintenance at=2026-12-01T00:00:00Z code=system-reboot event-id=instance-event-1234567890abcdef0",
        ]
    );
    assert_eq!(
        events(json!({"asg-termination-delay-sec": 10, "mock-ip-count": 1})),
        ["lifecycle first=1 in=10s state=Terminated"]
    );
    assert_eq!(
        of(json!({"asg-termination-delay-sec": 10})).table["instance"]["target-lifecycle-state"].as_str(),
        Some("InService")
    );
    assert_eq!(events(json!({"asg-termination-delay-sec": 10, "mock-ip-count": 0})), [""; 0]);
}

#[test]
fn maintenance_is_translated_with_its_state() {
    let id = "event-id=instance-event-1234567890abcdef0";
    assert_eq!(
        events(json!({"events": {"code": "instance-stop", "not-before": "2026-12-01T00:00:00Z",
            "not-after": "2026-12-02T00:00:00Z", "not-before-deadline": "2026-12-03T00:00:00Z"}})),
        [format!(
            "maintenance code=instance-stop deadline=2026-12-03T00:00:00Z {id} not-after=2026-12-02T00:00:00Z \
             not-before=2026-12-01T00:00:00Z"
        )]
    );
    assert_eq!(
        events(json!({"events": {"state": "canceled"}, "mock-delay-sec": 5})),
        [format!("maintenance canceled=5s code=system-reboot {id} in=5s")]
    );
    assert_eq!(
        events(json!({"events": {"state": "completed", "not-before": "2020-12-01T00:00:00Z"}})),
        [format!("maintenance code=system-reboot completed=0s {id} not-before=0s")]
    );
}

#[test]
fn what_aemm_refuses_is_refused() {
    let refused = |said| import(&settings(said), "x", now()).unwrap_err();
    assert!(
        refused(json!({"spot": {"action": "explode"}}))
            .contains("Allowed value(s): terminate,hibernate,stop.")
    );
    assert!(refused(json!({"mock-delay-sec": "soon"})).contains("for flag mock-delay-sec"));
}
