//! What STS is asked, by whom, and what becomes of its answers. The tests of the whole daemon ask moto,
//! which looks at neither external ids nor policies and never fails; so here a stand-in notes the parameters
//! and misbehaves.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stand_in::{Asked, Said, StandIn};
use crate::{Answer, Environment, Outgoing, RoleSpec, Seed, Settings, Store, SystemClock};

const KEY: &str = "AKIAEXAMPLEEXAMPLE12";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12";

/// The parameters of a request, and the key that signed it.
fn parameters(asked: &Asked) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8().unwrap().into_owned()
    };
    let pairs = asked.body.split('&').filter_map(|pair| pair.split_once('='));
    let mut all: BTreeMap<String, String> =
        pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
    if let Some(signature) = asked.header("authorization") {
        let by = signature.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
        all.insert("signed by".into(), by.unwrap_or("nobody").to_owned());
    }
    all
}

/// Keys named after the session, or after the action.
fn good(asked: &Asked, lasting: i64) -> Said {
    let with = parameters(asked);
    let action = &with["Action"];
    let name = with.get("RoleSessionName").unwrap_or(action).replace('-', "_").to_uppercase();
    let expires = Timestamp::from_second(Timestamp::now().as_second() + lasting).unwrap();
    let body = format!(
        "<{action}Response><{action}Result><Credentials><AccessKeyId>ASIA{name:0>16}</AccessKeyId>\
         <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{expires}</Expiration>\
         </Credentials></{action}Result></{action}Response>"
    );
    (200, "content-type: text/xml\r\n".into(), body)
}

fn refusal(status: u16, code: &str, message: &str) -> Said {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>r</RequestId></ErrorResponse>"
    );
    (status, "content-type: text/xml\r\n".into(), body)
}

struct Case {
    folder: TempDir,
    sts: StandIn,
    store: Store,
}

impl Case {
    fn start(config: &str, roles: Value, answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Case {
        let (folder, sts) = (tempfile::tempdir().unwrap(), StandIn::start(move |asked, _| answer(asked)));
        fs::write(folder.path().join("config"), config).unwrap();
        keys(&folder, KEY);
        let settings = Settings {
            config_file: Some(folder.path().join("config")),
            credentials_file: Some(folder.path().join("credentials")),
            sts_endpoint: Some(sts.url.clone()),
            instance_id: Some("i-0123456789abcdef0".into()),
            ..Settings::default()
        };
        let specs: BTreeMap<String, RoleSpec> = serde_json::from_value(roles).unwrap();
        let environment = Environment {
            clock: Arc::new(SystemClock),
            outgoing: Outgoing::own_thread(),
            seed: Seed::new([1; 32], Timestamp::now()),
        };
        Case { folder, sts, store: Store::new(&specs, &settings, environment).unwrap() }
    }

    fn answer(&self, role: &str) -> Answer {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(self.store.get(role))
    }

    fn key(&self, role: &str) -> String {
        self.answer(role).unwrap().access_key_id.clone()
    }

    fn asked(&self) -> Vec<BTreeMap<String, String>> {
        self.sts.all().iter().map(parameters).collect()
    }
}

fn keys(folder: &TempDir, id: &str) {
    let text = format!("[hub]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET}\n");
    fs::write(folder.path().join("credentials"), text).unwrap();
}

const ARN: &str = "arn:aws:iam::111122223333:role/App";

fn assumed(more: Value) -> Value {
    let mut spec = json!({"source": "assume-role", "role-arn": ARN, "source-profile": "hub"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

#[test]
fn everything_that_a_role_says_reaches_sts() {
    let role = assumed(json!({
        "external-id": "abc", "session-name": "web-1", "duration": "20m",
        "policy": {"Version": "2012-10-17"}, "policy-arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
        "tags": {"team": "a b"},
    }));
    let case = Case::start("", json!({"app": role}), |asked| good(asked, 3600));
    assert_eq!(case.key("app"), "ASIA00000000000WEB_1");
    assert_eq!(case.answer("app").unwrap().account_id.as_deref(), Some("111122223333"));
    let expected = [
        ("Action", "AssumeRole"),
        ("DurationSeconds", "1200"),
        ("ExternalId", "abc"),
        ("Policy", r#"{"Version":"2012-10-17"}"#),
        ("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        ("RoleArn", ARN),
        ("RoleSessionName", "web-1"),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "a b"),
        ("Version", "2011-06-15"),
        ("signed by", KEY),
    ];
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(case.asked(), [expected]);
}

#[test]
fn a_bare_role_says_no_more_than_it_must() {
    let case = Case::start("", json!({"app": assumed(json!({}))}), |asked| good(asked, 3600));
    case.key("app");
    let asked = case.asked();
    let names: Vec<&str> = asked[0].keys().map(String::as_str).collect();
    assert_eq!(names, ["Action", "RoleArn", "RoleSessionName", "Version", "signed by"]);
    assert_eq!(asked[0]["RoleSessionName"], "i-0123456789abcdef0", "as on EC2");
}

#[test]
fn roles_of_one_arn_that_differ_in_their_session_never_share() {
    let roles = json!({
        "a": assumed(json!({"session-name": "aa"})), "b": assumed(json!({"session-name": "bb"})),
        "c": assumed(json!({"session-name": "bb", "external-id": "id"})),
    });
    let case = Case::start("", roles, |asked| good(asked, 3600));
    assert_ne!(case.key("a"), case.key("b"));
    case.key("c");
    let mut asked: Vec<(String, Option<String>)> = case
        .asked()
        .iter()
        .map(|with| (with["RoleSessionName"].clone(), with.get("ExternalId").cloned()))
        .collect();
    asked.sort();
    let id = Some("id".to_owned());
    assert_eq!(asked, [("aa".into(), None), ("bb".into(), None), ("bb".to_owned(), id)]);
}

#[test]
fn a_chain_is_assumed_role_by_role() {
    let config = "[profile app]\nrole_arn = arn:aws:iam::111122223333:role/two\nsource_profile = mid\n\
                  role_session_name = second\nduration_seconds = 1800\nexternal_id = ext\n[profile mid]\n\
                  role_arn = arn:aws:iam::111122223333:role/one\nsource_profile = hub\nrole_session_name = first\n";
    let roles = json!({"app": {"source": "profile", "profile": "app", "duration": "1h"}});
    let case = Case::start(config, roles, |asked| good(asked, 3600));
    assert_eq!(case.key("app"), "ASIA0000000000SECOND");
    let asked = case.asked();
    let shown: Vec<[Option<&str>; 5]> = asked
        .iter()
        .map(|with| {
            ["RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "signed by"]
                .map(|name| with.get(name).map(String::as_str))
        })
        .collect();
    let one = [Some("arn:aws:iam::111122223333:role/one"), Some("first"), None, None, Some(KEY)];
    let two = [
        Some("arn:aws:iam::111122223333:role/two"),
        Some("second"),
        Some("3600"),
        Some("ext"),
        Some("ASIA00000000000FIRST"),
    ];
    assert_eq!(shown, [one, two]);
}

#[test]
fn long_lived_keys_are_exchanged_unless_told_otherwise() {
    let roles = json!({
        "app": {"source": "profile", "profile": "hub"},
        "plain": {"source": "profile", "profile": "hub", "session": false},
        "static": {"source": "static", "profile": "hub"},
    });
    let case = Case::start("", roles, |asked| good(asked, 43200));
    assert_eq!(case.key("app"), "ASIA_GETSESSIONTOKEN".replace('_', "0"));
    for role in ["plain", "static"] {
        let got = case.answer(role).unwrap();
        assert_eq!((got.access_key_id.as_str(), &got.token, got.expiration), (KEY, &None, None));
    }
    let actions: Vec<String> = case.asked().iter().map(|with| with["Action"].clone()).collect();
    assert_eq!(actions, ["GetSessionToken"]);
}

#[test]
fn what_sts_does_wrong_is_told_without_a_secret() {
    type Wrong = fn(&Asked) -> Said;
    let cases: [(Wrong, &str); 6] = [
        (|_| refusal(500, "InternalFailure", "down"), "InternalFailure: down"),
        (|_| (500, String::new(), "<html>".into()), "its answer cannot be read (is this AWS?)"),
        (|_| (200, String::new(), "<html>hunter2</html>".into()), "its answer cannot be read (is this AWS?)"),
        (
            |_| {
                let said = "The signature does not match.\n\nx-amz-security-token:hunter2";
                refusal(403, "SignatureDoesNotMatch", said)
            },
            "SignatureDoesNotMatch: The signature does not match.",
        ),
        (
            |asked| {
                std::thread::sleep(Duration::from_secs(3));
                good(asked, 3600)
            },
            ": no answer within 1 s",
        ),
        (|asked| good(asked, -60), "they expired at"),
    ];
    for (wrong, said) in cases {
        let case = Case::start("", json!({"app": assumed(json!({"timeout": 1}))}), wrong);
        let failure = case.answer("app").unwrap_err();
        let detail = &failure.detail;
        assert!(detail.starts_with("get credentials ") && detail.contains(said), "{said}: {detail}");
        assert!(!detail.contains("hunter2") && !detail.contains(SECRET), "{detail}");
        assert_eq!((failure.code.as_str(), failure.needs_person), ("Failed", false));
    }
}

#[test]
fn a_role_that_may_not_be_assumed_is_told_in_ec2s_words() {
    let said = "User: arn:aws:iam::111122223333:user/hub is not authorized to perform: sts:AssumeRole";
    let case =
        Case::start("", json!({"app": assumed(json!({}))}), move |_| refusal(403, "AccessDenied", said));
    let failure = case.answer("app").unwrap_err();
    assert_eq!(failure.code, "AssumeRoleUnauthorizedAccess");
    assert!(failure.message.starts_with("EC2 cannot assume the role App.  Please see"), "{failure:?}");
    assert!(failure.detail.contains(said), "{failure:?}");
}

#[test]
fn keys_are_not_handed_out_in_place_of_a_session_that_failed() {
    let roles = json!({"app": {"source": "profile", "profile": "hub"}});
    let case = Case::start("", roles, |_| refusal(500, "InternalFailure", "down"));
    let failure = case.answer("app").unwrap_err();
    assert!(failure.detail.ends_with("down (session = false hands out the keys themselves)"), "{failure:?}");
}

#[test]
fn a_change_of_the_files_counts_at_the_next_refresh() {
    let case = Case::start("", json!({"app": assumed(json!({}))}), |asked| good(asked, 3600));
    case.key("app");
    keys(&case.folder, "AKIAANOTHERANOTHER12");
    case.store.refresh("app").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while case.asked().len() < 2 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let by: Vec<String> = case.asked().iter().map(|with| with["signed by"].clone()).collect();
    assert_eq!(by, [KEY, "AKIAANOTHERANOTHER12"]);
}

#[test]
fn what_needs_a_person_or_is_ourselves_is_refused_before_anybody_is_asked() {
    let config = "[profile mfa]\nrole_arn = arn:aws:iam::111122223333:role/one\nsource_profile = hub\n\
                  mfa_serial = arn:aws:iam::111122223333:mfa/me\n\
                  [profile instance]\nrole_arn = arn:aws:iam::111122223333:role/one\n\
                  credential_source = Ec2InstanceMetadata\n\
                  [profile environment]\nrole_arn = arn:aws:iam::111122223333:role/one\n\
                  credential_source = Environment\n";
    let roles = json!({
        "mfa": {"source": "profile", "profile": "mfa"},
        "by-mfa": assumed(json!({"source-profile": "mfa"})),
        "instance": {"source": "profile", "profile": "instance"},
        "environment": {"source": "profile", "profile": "environment"},
    });
    let case = Case::start(config, roles, |asked| good(asked, 3600));
    for (role, person, said) in [
        ("mfa", true, "(run fake-metadata role feed mfa --profile mfa)"),
        ("by-mfa", true, "(run fake-metadata role feed by-mfa --profile mfa)"),
        ("instance", false, "which is this service itself (set upstream, or name another source)"),
        ("environment", false, "the daemon's environment holds no keys (write them in the credentials file)"),
    ] {
        let failure = case.answer(role).unwrap_err();
        assert!(failure.detail.ends_with(said), "{role}: {}", failure.detail);
        assert_eq!(failure.needs_person, person);
    }
    assert!(case.sts.all().is_empty());
}

#[test]
fn another_metadata_service_is_asked_where_one_is_set() {
    let document = json!({
        "Code": "Success", "AccessKeyId": "ASIAUPSTREAMEXAMPLE1", "SecretAccessKey": "s", "Token": "t",
        "Expiration": (Timestamp::now() + SignedDuration::from_hours(6)).to_string(),
    });
    // A stand-in: the daemon itself is another crate.
    let upstream = StandIn::start(move |asked, _| match asked.what.as_str() {
        "PUT /latest/api/token" => {
            (200, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n".into(), "tok".into())
        }
        _ if asked.header("x-aws-ec2-metadata-token") != Some("tok") => (401, String::new(), String::new()),
        "GET /latest/meta-data/iam/security-credentials/" => (200, String::new(), "Host".into()),
        "GET /latest/meta-data/iam/security-credentials/Host" => (200, String::new(), document.to_string()),
        _ => (404, String::new(), String::new()),
    });
    let case = Case::start(
        "[profile x]\nrole_arn = arn:aws:iam::111122223333:role/one\ncredential_source = Ec2InstanceMetadata\n",
        json!({}),
        |asked| good(asked, 3600),
    );
    let specs = BTreeMap::from([(
        "app".to_owned(),
        serde_json::from_value(json!({"source": "profile", "profile": "x"})).unwrap(),
    )]);
    let settings = Settings {
        config_file: Some(case.folder.path().join("config")),
        sts_endpoint: Some(case.sts.url.clone()),
        upstream: Some(upstream.url.clone()),
        ..Settings::default()
    };
    case.store.replace(&specs, &settings).unwrap();
    case.key("app");
    assert_eq!(case.asked()[0]["signed by"], "ASIAUPSTREAMEXAMPLE1");
}
