//! Flag over environment over file over default; the file that is written; the file that is watched.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Mock, member, program, wait_until};

const SPOT: &str = "/latest/meta-data/spot/instance-action";
const EVENTS: &str = "/latest/meta-data/events/maintenance/scheduled";
const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";

fn overrides() -> Value {
    json!({
        "metadata": {
            "paths": {"ipv4-associations": "/latest/meta-data/nobody/reads/this/key"},
            "values": {"mac": "0e:49:61:0f:c3:77", "public-ipv4": "54.92.157.77"},
        },
        "spot": {"action": "terminate", "time": "2020-01-07T01:03:47Z"},
        "dynamic": {"values": {"instance-identity-document": {
            "accountId": "9876543210", "instanceId": "i-0fedcba0987654321",
            "marketplaceProductCodes": ["4i20ezfza3p7xx2kt2g8weu2u"], "kernelId": null,
        }}},
        "userdata": {"values": {"userdata": "MTIzNAo="}},
    })
}

fn with_file(arguments: &[&str], variables: &[(&str, &str)]) -> Mock {
    let mut all = vec!["-c", "overrides.json"];
    all.extend(arguments);
    Mock::start_with(&all, variables, |home| write(home, "overrides.json", &overrides().to_string()))
}

fn write(home: &Path, name: &str, text: &str) {
    std::fs::write(home.join(name), text).unwrap();
}

#[test]
fn a_file_changes_values_and_the_paths_that_hold_them() {
    let mock = with_file(&[], &[]);
    assert_eq!(mock.printed[0], "Using configuration from file:  overrides.json");
    assert_eq!(mock.body("/latest/meta-data/mac"), "0e:49:61:0f:c3:77");
    let macs = "/latest/meta-data/network/interfaces/macs";
    assert_eq!(mock.body(&format!("{macs}/0e:49:61:0f:c3:77/interface-id")), "eni-0f95d3625f5c521cc");
    assert_eq!(mock.body(&format!("{macs}/0e:49:61:0f:c3:77/ipv4-associations/54.92.157.77")), "192.0.2.54");
    assert_eq!(mock.get(&format!("{macs}/0e:49:61:0f:c3:11/interface-id")).status, 404);
    assert_eq!(mock.body("/latest/user-data"), "1234\n");
    let document: Value = serde_json::from_str(&mock.body(DOCUMENT)).unwrap();
    assert_eq!(document["accountId"], "9876543210");
    assert_eq!(document["instanceId"], "i-0fedcba0987654321");
    assert_eq!(document["marketplaceProductCodes"], json!(["4i20ezfza3p7xx2kt2g8weu2u"]));
    assert_eq!(document["region"], "us-east-1", "the default of what the file does not say");
}

#[test]
fn defaults_of_the_document_and_user_data() {
    let mock = Mock::start(&[]);
    let document = mock.body(DOCUMENT);
    assert_eq!(member(&document, "accountId"), "0123456789");
    assert_eq!(member(&document, "instanceId"), "i-1234567890abcdef0");
    assert_eq!(mock.body("/latest/user-data"), "1234,john,reboot,true\n");
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let stop = [("AEMM_SPOT_ACTION", "stop")];
    let notice = |mock: Mock| {
        let notice = mock.body(SPOT);
        (member(&notice, "action"), member(&notice, "time"))
    };
    let flag_time = "2025-05-05T05:05:55Z";
    let file_time = "2020-01-07T01:03:47Z";
    let expect = |action: &str, time: &str| (action.to_owned(), time.to_owned());
    let mock = Mock::start(&["spot", "-a", "hibernate", "-t", flag_time]);
    assert_eq!(notice(mock), expect("hibernate", flag_time));
    let mock = Mock::start_with(&["spot", "-t", flag_time], &stop, |_| {});
    assert_eq!(notice(mock), expect("stop", flag_time));
    assert_eq!(notice(with_file(&["spot"], &stop)), expect("stop", file_time));
    assert_eq!(notice(with_file(&["spot", "-a", "hibernate"], &stop)), expect("hibernate", file_time));
    assert_eq!(notice(with_file(&["spot"], &[])), expect("terminate", file_time));
}

#[test]
fn the_environment_reaches_every_key() {
    let variables = [
        ("AEMM_SPOT_REBALANCE_REC_TIME", "2111-11-11T11:11:12Z"),
        ("AEMM_EVENTS_STATE", "completed"),
        ("AEMM_EVENTS_CODE", "instance-reboot"),
        ("AEMM_METADATA_VALUES_INSTANCE_ID", "i-0123"),
        ("AEMM_METADATA_PATHS_RAMDISK_ID", "/latest/meta-data/ram"),
        ("AEMM_DYNAMIC_VALUES_INSTANCE_IDENTITY_DOCUMENT_REGION", "eu-west-1"),
        ("AEMM_SERVER_PORT", "0"),
        ("AEMM_PORT", "1738"),
        ("AEMM_IMDSV2", "false"),
    ];
    let mock = Mock::start_with(&["--config-file", ""], &variables, |_| {});
    let rebalance = mock.body("/latest/meta-data/events/recommendations/rebalance");
    assert_eq!(member(&rebalance, "noticeTime"), "2111-11-11T11:11:12Z");
    assert_eq!(member(&mock.body(EVENTS), "State"), "completed");
    assert_eq!(mock.body("/latest/meta-data/instance-id"), "i-0123");
    assert_eq!(mock.body("/latest/meta-data/ram"), "ari-01bb5768");
    assert_eq!(member(&mock.body(DOCUMENT), "region"), "eu-west-1");

    let event = Mock::start_with(&["se", "--state", "canceled"], &variables[1..3], |_| {}).body(EVENTS);
    assert_eq!(
        (member(&event, "Code"), member(&event, "State")),
        ("instance-reboot".into(), "canceled".into())
    );
}

#[test]
fn events_by_flags() {
    let event = Mock::start(&["events", "--code", "instance-stop", "--state", "canceled"]).body(EVENTS);
    assert_eq!(
        (member(&event, "Code"), member(&event, "State")),
        ("instance-stop".into(), "canceled".into())
    );
    let times =
        ["events", "-a", "2020-01-07T01:03:47Z", "-b", "2020-01-01T01:03:47Z", "-l", "2020-01-10T01:03:47Z"];
    let event = Mock::start(&times).body(EVENTS);
    assert_eq!(member(&event, "NotBefore"), "1 Jan 2020 01:03:47 GMT");
    assert_eq!(member(&event, "NotAfter"), "7 Jan 2020 01:03:47 GMT");
    assert_eq!(member(&event, "NotBeforeDeadline"), "10 Jan 2020 01:03:47 GMT");
}

#[test]
fn flags_that_were_given_are_printed() {
    let arguments = ["--mock-ip-count=3", "-I", "spot", "-d", "5", "-a", "stop", "-a", "hibernate"];
    let mock = Mock::start_with(&arguments, &[("AEMM_SPOT_TIME", "2020-01-07T01:03:47Z")], |_| {});
    assert_eq!(
        mock.printed[..9],
        [
            "",
            "Flags:",
            "action: hibernate",
            "hostname: 127.0.0.1",
            "imdsv2: true",
            "mock-delay-sec: 5",
            "mock-ip-count: 3",
            "port: 0",
            "",
        ]
    );

    let home = tempfile::tempdir().unwrap();
    let mut without = program(home.path());
    without.envs([("AEMM_SERVER_HOSTNAME", "127.0.0.1"), ("AEMM_SERVER_PORT", "0")]).stdout(Stdio::piped());
    let mut child = without.stderr(Stdio::null()).spawn().unwrap();
    let first = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first.starts_with("listening on http://127.0.0.1:"), "{first}");
}

#[test]
fn the_file_is_named_by_flag_or_variable_or_lies_at_home() {
    let said = |mock: Mock| mock.body("/latest/meta-data/ami-id");
    let file = |ami: &str| json!({"metadata": {"values": {"ami-id": ami}}}).to_string();
    let prepare = |home: &Path| {
        write(home, "aemm-config.json", &file("home"));
        write(home, "variable.json", &file("variable"));
        write(home, "flag.toml", "[metadata.values]\nami-id = \"flag\"\n");
        write(home, "flag.yaml", "metadata:\n  values:\n    ami-id: flag\n");
    };
    let variable = [("AEMM_CONFIG_FILE", "variable.json")];
    assert_eq!(said(Mock::start_with(&[], &[], prepare)), "home");
    assert_eq!(said(Mock::start_with(&[], &variable, prepare)), "variable");
    // With the variable empty AEMM looks nowhere.
    let empty = [("AEMM_CONFIG_FILE", "")];
    assert_eq!(said(Mock::start_with(&[], &empty, prepare)), "ami-0a887e401f7654935");
    assert_eq!(said(Mock::start_with(&["-c", "flag.toml"], &empty, prepare)), "flag");
    assert_eq!(said(Mock::start_with(&["-c", "flag.toml"], &variable, prepare)), "flag");
    assert_eq!(said(Mock::start_with(&["--config-file=flag.yaml"], &variable, prepare)), "flag");
}

#[test]
fn the_configuration_in_use_is_written() {
    let mock = with_file(&["-s", "-d", "12", "-a", "stop", "spot"], &[("AEMM_MOCK_IP_COUNT", "5")]);
    let path = mock.home.path().join(".ec2-metadata-mock/.aemm-config-used.json");
    // What a file that is simply created may be here, which the umask decides, up to 0644.
    let created = mock.home.path().join("overrides.json");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), mode(&created) & 0o644);
    let line = format!("Successfully saved final configuration to local file  {}", path.display());
    assert!(mock.printed.contains(&line), "{:?}", mock.printed);
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written["config-file"], "overrides.json");
    assert_eq!(written["mock-delay-sec"], 12);
    assert_eq!(written["mock-ip-count"], "5", "as the environment had it");
    assert_eq!(written["save-config-to-file"], true);
    assert_eq!(
        written["spot"],
        json!({"action": "stop", "time": "2020-01-07T01:03:47Z", "rebalance-rec-time": ""})
    );
    assert_eq!(written["server"]["hostname"], "127.0.0.1");
    assert_eq!(written["metadata"]["values"]["mac"], "0e:49:61:0f:c3:77");
    assert_eq!(
        written["metadata"]["paths"]["mac-mac"],
        "/latest/meta-data/network/interfaces/macs/0e:49:61:0f:c3:77/mac"
    );
    assert_eq!(written["dynamic"]["values"]["instance-identity-document"]["accountid"], "9876543210");

    // Read again it says the same.
    let text = std::fs::read_to_string(&path).unwrap();
    let again = Mock::start_with(&["-c", "used.json"], &[], |home| write(home, "used.json", &text));
    for path in ["/latest/meta-data", DOCUMENT, "/latest/meta-data/iam/security-credentials/baskinc-role"] {
        assert_eq!(again.body(path), with_file(&[], &[]).body(path), "{path}");
    }
}

#[test]
fn a_watched_file_is_taken_over() {
    let mock = with_file(&["--watch-config-file"], &[]);
    let file = mock.home.path().join("overrides.json");
    std::fs::write(&file, "{ no JSON").unwrap();
    std::fs::write(&file, json!({"metadata": {"values": {"ami-id": "new"}}}).to_string()).unwrap();
    wait_until("the new value", || mock.body("/latest/meta-data/ami-id") == "new");
}
