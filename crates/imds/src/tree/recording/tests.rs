//! Recordings by hand: odd listings, secrets, roles, and changes on top.

use super::super::{Found, Overrides, RoleEntry, Trees};
use super::*;
use crate::path::Path;

const LAUNCH: &str = "2026-01-01T00:00:00Z";
const IDENTITY_DOCUMENT: &str = r#"{"accountId": "111122223333", "region": "eu-west-1", "instanceId": "i-0123456789abcdef0",
    "pendingTime": "2020-02-02T02:02:02Z"}"#;

fn launch() -> Timestamp {
    LAUNCH.parse().unwrap()
}

fn recording() -> Recording {
    let mut recording = Recording::default();
    let mut add = |version, path, recorded| recording.insert(version, path, recorded).unwrap();
    let listing = |text: &'static str| Recorded::Listing(Bytes::from_static(text.as_bytes()));
    let value = |text: &'static str| Recorded::Value(Bytes::from_static(text.as_bytes()));
    add("latest", "", listing("dynamic\nmeta-data\nuser-data"));
    // Not in order, and with a line that leads nowhere.
    add("latest", "meta-data", listing("zebra\nami-id\niam/\nlost/\npublic-keys/"));
    add("latest", "meta-data/ami-id", value("ami-1"));
    add("latest", "meta-data/zebra", value("z\n"));
    add("latest", "meta-data/spot", listing("instance-action"));
    add("latest", "meta-data/spot/instance-action", value("{}"));
    add("latest", "meta-data/public-keys", listing("0=me"));
    add("latest", "meta-data/public-keys/0", listing("openssh-key"));
    add("latest", "meta-data/public-keys/0/openssh-key", value("ssh-rsa\n"));
    add("latest", "meta-data/iam", listing("info\nsecurity-credentials/"));
    add("latest", "meta-data/iam/info", value("the info"));
    add("latest", "meta-data/iam/security-credentials", listing("app"));
    add("latest", "meta-data/iam/security-credentials/app", Recorded::Secret);
    add("latest", "dynamic/instance-identity/document", value(IDENTITY_DOCUMENT));
    add("latest", "dynamic/instance-identity/rsa2048", Recorded::Secret);
    add("latest", "dynamic/instance-identity/dsa2048", Recorded::Secret);
    add("2021-03-23", "", listing("meta-data"));
    add("2021-03-23", "meta-data", listing("ami-id"));
    add("2021-03-23", "meta-data/ami-id", value("ami-old"));
    recording
}

fn trees(roles: &[&str], overrides: &Overrides) -> Trees {
    let roles: Vec<RoleEntry> = roles.iter().map(|name| RoleEntry::new(name)).collect();
    Trees::recorded(&recording(), &roles, overrides, launch()).unwrap()
}

/// What a path answers: a value, a listing after `L:`, or `-`.
fn at(trees: &Trees, role: Option<&str>, path: &str) -> String {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    match trees.tree(role).lookup(&Path::of(path)) {
        Found::Listing(listing) => format!("L:{}", text(listing)),
        Found::Leaf(Leaf::Value(value) | Leaf::UserData(value)) => text(value),
        Found::Leaf(other) => format!("{other:?}"),
        Found::Nothing => "-".to_owned(),
    }
}

#[test]
fn listings_and_values_are_served_as_they_were() {
    let trees = trees(&["app"], &Overrides::default());
    let app = |path| at(&trees, Some("app"), path);
    assert_eq!(app("/"), "L:2021-03-23\nlatest");
    assert_eq!(app("/latest/meta-data"), "L:zebra\nami-id\niam/\nlost/\npublic-keys/");
    assert_eq!(app("/latest/meta-data/zebra"), "z\n");
    assert_eq!(app("/latest/meta-data/lost"), "-");
    assert_eq!(app("/latest/meta-data/spot"), "L:instance-action", "though it is not listed");
    assert_eq!(app("/latest/meta-data/public-keys"), "L:0=me");
    assert_eq!(app("/latest/meta-data/public-keys/0/openssh-key"), "ssh-rsa\n");
    assert_eq!(app("/latest/user-data"), "-");
    // `dynamic/` itself was not recorded.
    assert_eq!(app("/latest/dynamic"), "-");
    assert_eq!(app("/2021-03-23"), "L:meta-data");
    assert_eq!(app("/2021-03-23/meta-data/ami-id"), "ami-old");
    assert_eq!(app("/2022-09-24/meta-data/ami-id"), "-");
}

#[test]
fn credentials_and_signatures_are_ours() {
    let trees = trees(&["app"], &Overrides::default());
    let credentials = at(&trees, Some("app"), "/latest/meta-data/iam/security-credentials/app");
    assert_eq!(credentials, "Credentials { role: Role(\"app\"), extended: false }");
    assert_eq!(at(&trees, Some("app"), "/latest/meta-data/iam/info"), "the info");
    let signature = at(&trees, None, "/latest/dynamic/instance-identity/rsa2048");
    assert!(signature.contains("Rsa2048") && signature.contains("111122223333"), "{signature}");
    assert_eq!(at(&trees, None, "/latest/dynamic/instance-identity/dsa2048"), "-");
    assert_eq!(trees.tree(None).launched(), "2020-02-02T02:02:02Z".parse().unwrap());
    assert_eq!(trees.tree(None).signed(), "2020-02-02T02:02:03Z".parse().unwrap());
    assert_eq!(trees.instance().instance_id(), "i-0123456789abcdef0");
}

#[test]
fn another_role_has_an_iam_of_its_own_and_no_role_none() {
    let trees = trees(&["app", "other"], &Overrides::default());
    let other = |path| at(&trees, Some("other"), path);
    assert_eq!(other("/latest/meta-data/iam/security-credentials"), "L:other");
    assert!(other("/latest/meta-data/iam/info").contains("IamInfo"));
    assert_eq!(at(&trees, None, "/latest/meta-data/iam/info"), "-");
    assert_eq!(at(&trees, None, "/latest/meta-data"), "L:zebra\nami-id\nlost/\npublic-keys/");
    assert_eq!(at(&trees, Some("app"), "/latest/meta-data/iam/security-credentials"), "L:app");
}

#[test]
fn without_a_recorded_role_its_iam_is_as_it_was() {
    let mut recording = Recording::default();
    let listing = |text: &'static str| Recorded::Listing(Bytes::from_static(text.as_bytes()));
    recording.insert("latest", "meta-data", listing("iam/\nmac")).unwrap();
    let trees = Trees::recorded(&recording, &[], &Overrides::default(), launch()).unwrap();
    assert_eq!(at(&trees, None, "/latest/meta-data"), "L:iam/\nmac");
}

#[test]
fn changes_come_on_top() {
    let mut overrides = Overrides::default();
    overrides.set("meta-data/new", "n").unwrap();
    overrides.set("meta-data/spot/termination-time", "t").unwrap();
    overrides.set("latest/user-data", "u").unwrap();
    overrides.remove("latest/meta-data/zebra").unwrap();
    let trees = trees(&["app"], &overrides);
    let app = |path| at(&trees, Some("app"), path);
    assert_eq!(app("/latest/meta-data"), "L:ami-id\niam/\nlost/\nnew\npublic-keys/", "now in order");
    assert_eq!(app("/latest/meta-data/spot"), "L:instance-action\ntermination-time");
    assert_eq!(app("/latest/user-data"), "u");
    assert_eq!(app("/latest"), "L:dynamic\nmeta-data\nuser-data");
    assert_eq!(app("/latest/meta-data/zebra"), "-");
    assert_eq!(app("/2021-03-23/meta-data"), "L:ami-id\nnew\nspot/");
    assert_eq!(app("/latest/meta-data/iam/info"), "the info");
}

#[test]
fn secrets_are_known_by_their_paths() {
    for secret in [
        "meta-data/iam/security-credentials/app",
        "meta-data/iam/security-credentials-extended/app",
        "meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
        "dynamic/instance-identity/pkcs7",
        "dynamic/instance-identity/anything",
        "meta-data/iam-ecs-1/security-credentials/0123-TaskExecution",
    ] {
        assert!(is_secret(secret), "{secret}");
    }
    for open in [
        "meta-data/iam/security-credentials",
        "meta-data/iam/info",
        "meta-data/identity-credentials/ec2/info",
        "dynamic/instance-identity/document",
        "dynamic/instance-identity",
        "meta-data/tags/instance/security-credentials",
        "security-credentials/x",
        "user-data",
    ] {
        assert!(!is_secret(open), "{open}");
    }
}

#[test]
fn tags_are_changed_with_the_set_of_all() {
    let mut recording = recording();
    let value = |text: &'static str| Recorded::Value(Bytes::from_static(text.as_bytes()));
    recording.insert("latest", "meta-data/tags/instance/Name", value("web")).unwrap();
    recording.insert("latest", "meta-data/tags/instance/old", value("1")).unwrap();
    let changes = |pairs: &[(&str, Option<&str>)], recording: &Recording| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)));
        recording.tag_edits(&pairs.collect())
    };
    let shown = |edits: Overrides| {
        let lines: Vec<String> = edits.iter().map(|(path, edit)| format!("{path} {edit:?}")).collect();
        lines
    };
    let changed = changes(&[("old", None), ("Team", Some("a"))], &recording).unwrap();
    let [team, old] = ["meta-data/tags/instance/Team Value(b\"a\")", "meta-data/tags/instance/old Remove"];
    assert_eq!(shown(changed), [team, old], "the recording has no set of all tags");
    recording.insert("latest", "meta-data/tag-sets/instance", value("{}")).unwrap();
    let set = "meta-data/tag-sets/instance Value(b\"{\\\"Name\\\":\\\"web\\\",\\\"Team\\\":\\\"a\\\"}\")";
    let changes = recording.tag_edits(&[("Team".into(), Some("a".into())), ("old".into(), None)].into());
    assert_eq!(shown(changes.unwrap()), [set, team, old]);
    let wrong = recording.tag_edits(&[("a/b".into(), Some("x".into()))].into()).unwrap_err();
    assert!(wrong.path.contains("a/b"), "{wrong}");
    assert_eq!(recording.value("meta-data/tags/instance/Name"), Some(&Bytes::from_static(b"web")));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut recording = Recording::default();
    let value = || Recorded::Value(Bytes::new());
    assert!(recording.insert("a/b", "x", value()).is_err());
    assert!(recording.insert("latest", "/x", value()).is_err());
    assert!(recording.insert("latest", "x/../y", value()).is_err());
    assert!(recording.insert("latest", "meta-data/mac", Recorded::Secret).is_err());
    recording.insert("latest", "meta-data/mac", value()).unwrap();
    recording.insert("latest", "meta-data/mac/below", value()).unwrap();
    let error = Trees::recorded(&recording, &[], &Overrides::default(), launch()).unwrap_err();
    assert_eq!(error.path, "latest/meta-data/mac/below");
}
