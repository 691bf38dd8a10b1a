//! What a role adds to the tree, whose credentials a path gives, and what many roles cost.

use std::collections::BTreeSet;

use imds::{
    Delivery, InfoFailure, Instance, InstanceSpec, Need, Outcome, Request, RoleAnswer, RoleDocument,
    RoleEntry, RoleKey, Status, TokenMode, Trees, respond,
};
use jiff::ToSpan;
use serde_json::Value;

use crate::common::{TestService, answer, body, credentials, now};

fn service(roles: &[RoleEntry], overrides: &str) -> TestService {
    let instance = Instance::resolve(&InstanceSpec::default(), now()).unwrap();
    let trees = Trees::build(&instance, roles, &toml::from_str(overrides).unwrap()).unwrap();
    TestService::of(trees, TokenMode::Optional)
}

fn json(reply: &imds::Reply) -> Value {
    assert_eq!((reply.status(), reply.content_type().as_str()), (Status::Ok, "text/plain"));
    serde_json::from_str(body(reply)).unwrap()
}

const ROLE: &str = "/latest/meta-data/iam/security-credentials/";

#[test]
fn a_role_has_three_paths_and_no_more() {
    let service = service(&[RoleEntry::new("app")], "");
    assert_eq!(body(&service.get_as("app", "/latest/meta-data/iam/")), "info\nsecurity-credentials/");
    assert_eq!(body(&service.get_as("app", ROLE)), "app");
    let credentials = json(&service.get_as("app", &format!("{ROLE}app")));
    assert_eq!(credentials["Code"], "Success");
    assert_eq!(credentials["AccessKeyId"], "ASIAEXAMPLEV1");
    assert_eq!(credentials.get("AccountId"), None);
    for path in [
        "/latest/meta-data/iam/security-credentials/other",
        "/latest/meta-data/iam/security-credentials/APP",
        "/latest/meta-data/iam/security-credentials/app/x",
        "/latest/meta-data/iam/security-credentials-extended/",
        "/latest/meta-data/iam/security-credentials-extended/app",
        "/2011-05-01/meta-data/iam/",
    ] {
        assert_eq!(service.get_as("app", path).status(), Status::NotFound, "{path}");
    }
}

#[test]
fn without_a_role_there_is_no_iam() {
    let service = service(&[RoleEntry::new("app")], "");
    for role in [None, Some("unknown"), Some("")] {
        for path in ["iam", "iam/", "iam/info", "iam/security-credentials", "iam/security-credentials/app"] {
            let target = format!("/latest/meta-data/{path}");
            let reply = service.reply(&Request { role, ..Request::new("GET", &target) });
            assert_eq!(reply.status(), Status::NotFound, "{role:?} {path}");
        }
        let request = Request { role, ..Request::new("GET", "/latest/meta-data/") };
        assert!(!body(&service.reply(&request)).contains("iam/"));
    }
}

/// Any spelling of the path gives a caller its own role or nothing.
#[test]
fn nobody_gets_the_role_of_another() {
    let service = service(&[RoleEntry::new("one"), RoleEntry::new("two")], "");
    for prefix in [
        "/latest/meta-data/iam/security-credentials/",
        "//latest//meta-data/./iam/security-credentials//",
        "/2012-01-12/meta-data/iam/security-credentials/",
        "/latest/meta-data/iam/x/../security-credentials/",
        "/%6catest/meta-data/%69am/security-credentials/",
    ] {
        assert_eq!(body(&service.get_as("one", prefix)), "one", "{prefix}");
        for own in ["one", "one/", "%6fne", "two/../one"] {
            let target = format!("{prefix}{own}");
            let request = Request { role: Some("one"), ..Request::new("GET", &target) };
            let outcome = respond(&service.snapshot, &request, now());
            let Outcome::Needs(Need::Credentials { role, .. }) = outcome else {
                panic!("{target}: {outcome:?}")
            };
            assert_eq!(role, RoleKey::Role("one".into()), "{target}");
        }
        for other in ["two", "two/", "one/../two", "%74wo", "ONE", "one/two"] {
            assert_eq!(
                service.get_as("one", &format!("{prefix}{other}")).status(),
                Status::NotFound,
                "{other}"
            );
        }
    }
}

#[test]
fn the_need_says_how_it_was_asked() {
    let service = service(&[RoleEntry::new("app")], "");
    let token = imds::TokenKey::new(crate::common::KEY).issue(60, [0; 8], now());
    for (token, delivery) in
        [(imds::HeaderField::Absent, Delivery::V1), (imds::HeaderField::One(token.as_bytes()), Delivery::V2)]
    {
        let path = format!("{ROLE}app");
        let request = Request { role: Some("app"), token, ..Request::new("GET", &path) };
        let outcome = respond(&service.snapshot, &request, now());
        let Outcome::Needs(Need::Credentials { delivery: asked, .. }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(asked, delivery);
        assert_eq!(service.reply(&request).delivery(), delivery);
    }
}

/// A failed source is a 200 with a code, as on EC2.
#[test]
fn a_failed_source() {
    let service = service(&[RoleEntry::new("app")], "");
    let path = format!("{ROLE}app");
    let request = Request { role: Some("app"), ..Request::new("GET", &path) };
    let answer = RoleAnswer::Failure {
        code: "AssumeRoleUnauthorizedAccess".into(),
        message: imds::assume_role_unauthorized_message("app"),
        last_updated: now(),
    };
    let Outcome::Needs(Need::Credentials { reply, .. }) = respond(&service.snapshot, &request, now()) else {
        panic!("needs no credentials")
    };
    let reply = reply.with(&RoleDocument::new(&answer));
    let answer = json(&reply);
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["Code", "LastUpdated", "Message"]);
    assert!(body(&reply).starts_with("{\n  \"Code\" : \"AssumeRoleUnauthorizedAccess\",\n  \"Message\" : "));
}

#[test]
fn the_profile_can_differ_from_the_role() {
    let mut entry = RoleEntry::new("team/app");
    assert_eq!((entry.key.as_str(), entry.name.as_str()), ("team/app", "app"));
    entry.instance_profile_name = Some("team/profile".into());
    entry.instance_profile_id = Some("AIPAABCDEFGHIJKLMNOPQ".into());
    let service = service(&[entry], "");
    assert_eq!(body(&service.get_as("team/app", ROLE)), "app");
    assert_eq!(
        body(&service.get_as("team/app", "/latest/meta-data/iam/info")),
        "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2026-09-26T12:00:00Z\",\n  \
         \"InstanceProfileArn\" : \"arn:aws:iam::123456789012:instance-profile/team/profile\",\n  \
         \"InstanceProfileId\" : \"AIPAABCDEFGHIJKLMNOPQ\"\n}"
    );
}

#[test]
fn a_made_up_profile_id_looks_like_one_and_stays() {
    let id = |name: &str| {
        let info = json(&service(&[RoleEntry::new(name)], "").get_as(name, "/latest/meta-data/iam/info"));
        info["InstanceProfileId"].as_str().unwrap().to_owned()
    };
    assert!(id("app").starts_with("AIPA") && id("app").len() == 21, "{}", id("app"));
    assert_eq!(id("app"), id("app"));
    assert_ne!(id("app"), id("other"));
}

#[test]
fn a_failed_profile() {
    let mut entry = RoleEntry::new("app");
    entry.info_failure = Some(InfoFailure { code: "InstanceProfileNotFound".into(), message: None });
    let service = service(&[entry], "");
    let info = json(&service.get_as("app", "/latest/meta-data/iam/info"));
    assert_eq!(info["Code"], "InstanceProfileNotFound");
    assert!(info["Message"].as_str().unwrap().starts_with("Instance Profile with Id AIPA"));
    assert_eq!(info.get("InstanceProfileArn"), None);
}

#[test]
fn the_dates_of_info_move_on_by_the_hour() {
    let service = service(&[RoleEntry::new("app")], "");
    for (later, updated) in [
        (0.minutes(), "2026-09-26T12:00:00Z"),
        (59.minutes(), "2026-09-26T12:00:00Z"),
        (60.minutes(), "2026-09-26T13:00:00Z"),
        (150.minutes(), "2026-09-26T14:00:00Z"),
        ((-5).minutes(), "2026-09-26T12:00:00Z"),
    ] {
        for path in ["iam/info", "identity-credentials/ec2/info"] {
            let target = format!("/latest/meta-data/{path}");
            let request = Request { role: Some("app"), ..Request::new("GET", &target) };
            let outcome = respond(&service.snapshot, &request, now() + later);
            let Outcome::Reply(reply) = outcome else { panic!("{outcome:?}") };
            assert_eq!(json(&reply)["LastUpdated"], updated, "{path} after {later}");
        }
    }
}

#[test]
fn the_instance_has_an_identity_without_any_role() {
    let service = service(&[], "");
    let base = "/latest/meta-data/identity-credentials/ec2";
    assert_eq!(body(&service.get(base)), "info\nsecurity-credentials/");
    assert_eq!(
        body(&service.get(&format!("{base}/info"))),
        "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2026-09-26T12:00:00Z\",\n  \
         \"AccountId\" : \"123456789012\"\n}"
    );
    assert_eq!(body(&service.get(&format!("{base}/security-credentials/"))), "ec2-instance");
    let credentials = json(&service.get(&format!("{base}/security-credentials/ec2-instance")));
    assert_eq!(credentials["Type"], "AWS-HMAC");
}

#[test]
fn the_extended_path_is_there_when_asked_for() {
    let entry = RoleEntry { extended: true, ..RoleEntry::new("app") };
    let service = service(&[entry], "");
    let base = "/latest/meta-data/iam/security-credentials-extended/";
    assert_eq!(body(&service.get_as("app", base)), "app");
    let extended = body(&service.get_as("app", &format!("{base}app"))).to_owned();
    assert!(extended.ends_with(",\n  \"AccountId\" : \"123456789012\"\n}"), "{extended}");
    assert_eq!(json(&service.get_as("app", &format!("{ROLE}app"))).get("AccountId"), None);
}

#[test]
fn a_role_can_have_a_tree_of_its_own() {
    let mut entry = RoleEntry::new("own");
    entry.tree =
        toml::from_str("'meta-data/mac' = 'mine'\n'dynamic/instance-identity/document' = '{}'").unwrap();
    let service = service(&[RoleEntry::new("app"), entry], "'meta-data/mac' = 'all'\n'meta-data/x' = 'all'");
    let read = |role: &str, path: &str| body(&service.get_as(role, path)).to_owned();
    assert_eq!(read("own", "/latest/meta-data/mac"), "mine");
    assert_eq!(read("own", "/latest/meta-data/x"), "all");
    assert_eq!(read("app", "/latest/meta-data/mac"), "all");
    assert_eq!(read("own", "/latest/dynamic/instance-identity/document"), "{}");
    assert_ne!(
        read("own", "/latest/dynamic/instance-identity/pkcs7"),
        read("app", "/latest/dynamic/instance-identity/pkcs7")
    );
}

/// Every path of every caller, and what leads there: as it is, with any method, and in several spellings.
fn asked(trees: &Trees) -> Vec<(&'static str, String)> {
    let mut paths = BTreeSet::from(["/".to_owned(), "/latest/api/token".into(), "/latest/api".into()]);
    let roles: Vec<_> = trees.roles().map(|role| Some(role.key.as_str())).chain([None]).collect();
    for tree in roles.iter().map(|role| trees.tree(*role)) {
        for version in tree.versions() {
            for (path, _) in tree.walk(version) {
                let mut whole = format!("/{version}");
                paths.insert(whole.clone());
                for name in path.split('/') {
                    whole = format!("{whole}/{name}");
                    paths.insert(whole.clone());
                }
                paths.insert(format!("{whole}/below"));
            }
        }
    }
    let encoded = |path: &str| path.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let spelt = |path: &String| {
        let (head, name) = path.rsplit_once('/').unwrap();
        let twice = path.replace('/', "//");
        [
            format!("{path}/"),
            twice,
            format!("{head}/./x/../{name}?a=/b"),
            format!("/{}", encoded(&path[1..])),
            format!("{head}/{}", encoded(name)),
            format!("http://localhost{path}"),
            format!("{path}/../{name}"),
            format!("/x/y/z/../../..{path}"),
        ]
    };
    let spelt_too = paths.iter().filter(|path| !path.starts_with("/20") || path.starts_with("/2021"));
    let plain = paths
        .iter()
        .flat_map(|path| ["GET", "HEAD", "OPTIONS", "POST", "PUT"].map(|method| (method, path.clone())));
    plain.chain(spelt_too.flat_map(spelt).map(|target| ("GET", target))).collect()
}

/// A front that does not know the caller's role yet may answer where it does not matter as if there were none.
#[test]
fn where_the_role_does_not_matter_everybody_is_answered_alike() {
    let failed = InfoFailure { code: "InstanceProfileNotFound".into(), message: None };
    let two = RoleEntry { extended: true, info_failure: Some(failed), ..RoleEntry::new("two") };
    let roles = [RoleEntry::new("one"), two];
    let everything: InstanceSpec = toml::from_str(include_str!("../data/everything.toml")).unwrap();
    for (spec, overrides) in [
        (InstanceSpec::default(), ""),
        (everything, ""),
        (InstanceSpec::default(), "'meta-data/iam/extra/x' = 'y'\n'dynamic/my/own' = 'z'"),
        (InstanceSpec::default(), "'meta-data/iam' = false\n'latest/meta-data' = false"),
    ] {
        let instance = Instance::resolve(&spec, now()).unwrap();
        let trees = Trees::build(&instance, &roles, &toml::from_str(overrides).unwrap()).unwrap();
        let service = TestService::of(trees, TokenMode::Optional);
        let trees = &service.snapshot.trees;
        let (mut alike, mut apart) = (0, 0);
        for (method, target) in asked(trees) {
            let depends = trees.depend_on_role(&target);
            let answer = |role| {
                let request = Request { role, ..Request::new(method, &target) };
                format!("{:?}", respond(&service.snapshot, &request, now()))
            };
            let answers = [None, Some("one"), Some("two")].map(answer);
            let same = answers.iter().all(|answer| *answer == answers[0]);
            assert!(same || depends, "{method} {target}: {answers:?}");
            alike += usize::from(!depends);
            apart += usize::from(!same);
        }
        assert!(alike > 10_000, "{alike}");
        assert_eq!(apart > 100, !overrides.contains("iam' = false"), "{apart}");
    }
}

#[test]
fn a_role_with_a_tree_of_its_own_matters_everywhere() {
    let own = |tree: &str| RoleEntry { tree: toml::from_str(tree).unwrap(), ..RoleEntry::new("own") };
    let depends = |role, target: &str| service(&[role], "").snapshot.trees.depend_on_role(target);
    assert!(depends(own("'meta-data/mac' = 'mine'"), "/latest/dynamic/x"));
    assert!(!depends(own(""), "/latest/dynamic/x"));
    for target in
        ["/latest/meta-data/%69am/info", "//latest/meta-data//iam", "/", "/latest/", "/latest/meta-data"]
    {
        assert!(depends(own(""), target), "{target}");
    }
    assert!(depends(
        own(""),
        "/2021-03-23/meta-data/identity-credentials/ec2/security-credentials/ec2-instance"
    ));
}

/// `[tree]` may change `iam/` too; then it does so for every role.
#[test]
fn changes_to_iam_reach_every_role() {
    let roles = [RoleEntry::new("one"), RoleEntry::new("two")];
    for (overrides, info, listing) in [
        ("'meta-data/iam/info' = 'x'", "x", "info\nsecurity-credentials/"),
        ("'meta-data/iam/extra' = 'x'", "", "extra\ninfo\nsecurity-credentials/"),
        ("'latest/meta-data/iam/info' = 'y'", "y", "info\nsecurity-credentials/"),
    ] {
        let service = service(&roles, overrides);
        for role in ["one", "two"] {
            assert_eq!(body(&service.get_as(role, "/latest/meta-data/iam/")), listing);
            assert_eq!(body(&service.get_as(role, ROLE)), role);
            let reply = service.get_as(role, "/latest/meta-data/iam/info");
            assert!(info.is_empty() || body(&reply) == info, "{overrides}");
        }
    }
}

#[test]
fn roles_come_and_are_replaced_live() {
    let service = service(&[RoleEntry::new("one")], "'meta-data/x' = 'y'");
    let more = service.snapshot.trees.with_role(RoleEntry::new("two")).unwrap();
    let renamed = RoleEntry { name: "renamed".into(), ..RoleEntry::new("one") };
    let more = TestService::of(more.with_role(renamed).unwrap(), TokenMode::Optional);
    assert_eq!(body(&more.get_as("two", ROLE)), "two");
    assert_eq!(body(&more.get_as("two", "/latest/meta-data/x")), "y");
    assert_eq!(body(&more.get_as("one", ROLE)), "renamed");
    assert_eq!(body(&service.get_as("one", ROLE)), "one", "the old snapshot is as it was");
    assert_eq!(service.get_as("two", ROLE).status(), Status::NotFound);
    let mut keys: Vec<&str> = more.snapshot.trees.roles().map(|role| role.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["one", "two"]);
}

#[test]
fn no_debug_output_holds_a_secret() {
    let text = format!("{:?} {:?}", answer(Delivery::V2), credentials(Delivery::V2));
    assert!(!text.contains("ASIA") && !text.contains("secret") && !text.contains("IQoJ"), "{text}");
    assert_eq!(format!("{:?}", imds::TokenKey::new([7; 32])), "TokenKey");
}
