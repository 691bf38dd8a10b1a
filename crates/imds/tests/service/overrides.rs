//! `[tree]`: any path added, replaced or removed, and what becomes of listings, signatures and versions.

use imds::{Instance, InstanceSpec, Overrides, RoleEntry, Status, TokenMode, Trees};
use proptest::prelude::*;

use crate::common::{TestService, body, now};

fn overrides(text: &str) -> Overrides {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn trees(text: &str) -> Result<Trees, imds::TreeError> {
    let instance = Instance::resolve(&InstanceSpec::default(), now()).unwrap();
    Trees::build(&instance, &[RoleEntry::new("app")], &overrides(text))
}

fn service(text: &str) -> TestService {
    TestService::of(trees(text).unwrap(), TokenMode::Optional)
}

fn read(service: &TestService, path: &str) -> String {
    let reply = service.get_as("app", path);
    match reply.status() {
        Status::Ok => body(&reply).to_owned(),
        status => format!("<{}>", status.code()),
    }
}

#[test]
fn a_value_is_replaced_under_the_versions_that_have_it() {
    let service = service("'meta-data/instance-type' = 'x1.large'\n'meta-data/placement/region' = 'mars-1'");
    for version in ["2007-08-29", "2021-03-23", "latest"] {
        assert_eq!(read(&service, &format!("/{version}/meta-data/instance-type")), "x1.large");
    }
    assert_eq!(read(&service, "/1.0/meta-data/instance-type"), "<404>");
    assert_eq!(read(&service, "/2019-10-01/meta-data/placement/region"), "mars-1");
    assert_eq!(read(&service, "/2016-09-02/meta-data/placement/region"), "<404>");
    assert!(!read(&service, "/1.0/meta-data/").contains("instance-type"));
}

#[test]
fn a_path_of_ones_own_is_everywhere() {
    let service = service("'meta-data/mine/deep/er' = \"a\\nb\\n\"\n'/own/' = ''");
    for version in imds::VERSIONS {
        assert_eq!(read(&service, &format!("/{version}/meta-data/mine/deep/er")), "a\nb\n", "{version}");
        assert_eq!(read(&service, &format!("/{version}/meta-data/mine/")), "deep/");
        assert!(read(&service, &format!("/{version}/meta-data")).contains("\nmine/\n"));
        assert_eq!(read(&service, &format!("/{version}/own")), "");
        assert_eq!(read(&service, &format!("/{version}/")), "dynamic\nmeta-data\nown\nuser-data");
    }
}

#[test]
fn a_known_path_appears_from_its_version_on() {
    let service = service(
        "'meta-data/public-ipv4' = '192.0.2.1'\n'meta-data/events/recommendations/rebalance' = '{}'\n\
         'meta-data/spot/instance-action' = '{}'\n'meta-data/tags/instance/Name' = 'x'",
    );
    assert!(read(&service, "/2007-01-19/meta-data/").contains("public-ipv4"));
    assert!(!read(&service, "/1.0/meta-data/").contains("public-ipv4"));
    assert_eq!(read(&service, "/2019-10-01/meta-data/events/"), "maintenance/");
    assert_eq!(read(&service, "/2020-10-27/meta-data/events/"), "maintenance/\nrecommendations/");
    assert!(
        !read(&service, "/2016-09-02/meta-data/").contains("spot/"),
        "no directory without anything in it"
    );
    assert!(read(&service, "/2018-03-28/meta-data/").contains("spot/"));
    assert_eq!(read(&service, "/2020-10-27/meta-data/tags/instance/Name"), "<404>");
    assert_eq!(read(&service, "/2021-03-23/meta-data/tags/instance"), "Name");
}

#[test]
fn false_removes_and_empty_directories_go_too() {
    let service = service(
        "'meta-data/system' = false\n'meta-data/services/domain' = false\n'meta-data/services/partition' = false\n\
         'meta-data/identity-credentials' = false\n'meta-data/never/was' = false",
    );
    let menu = read(&service, "/latest/meta-data/");
    for gone in ["system", "services", "identity-credentials", "never"] {
        assert!(!menu.contains(gone), "{gone}: {menu}");
        assert_eq!(read(&service, &format!("/latest/meta-data/{gone}/")), "<404>");
    }
    assert_eq!(read(&service, "/latest/meta-data/identity-credentials/ec2/info"), "<404>");
}

#[test]
fn a_version_in_front_means_that_version_alone() {
    let service = service(
        "'2021-03-23/meta-data/instance-type' = 'x'\n'latest/meta-data/mac' = 'y'\n'meta-data/mac' = 'z'\n\
         '1.0/meta-data/tags/instance/Name' = 'w'\n'2012-01-12/meta-data/iam' = false\n'2026-04-15' = false",
    );
    assert_eq!(read(&service, "/2021-03-23/meta-data/instance-type"), "x");
    assert_eq!(read(&service, "/2021-07-15/meta-data/instance-type"), "t3.micro");
    assert_eq!(read(&service, "/latest/meta-data/instance-type"), "t3.micro");
    assert_eq!(
        (read(&service, "/latest/meta-data/mac"), read(&service, "/2021-03-23/meta-data/mac")),
        ("y".into(), "z".into())
    );
    assert_eq!(read(&service, "/1.0/meta-data/tags/instance/"), "Name");
    assert_eq!(read(&service, "/latest/meta-data/tags/"), "<404>");
    assert!(!read(&service, "/2012-01-12/meta-data/").contains("iam/"));
    assert_eq!(read(&service, "/2014-02-25/meta-data/iam/security-credentials/"), "app");
    assert_eq!(read(&service, "/2026-04-15/"), "<404>");
    assert!(!read(&service, "/").contains("2026-04-15"));
}

#[test]
fn lowering_one_entry_does_not_show_its_neighbours() {
    let service = service("'2009-04-04/meta-data/services/mine' = 'x'");
    assert_eq!(read(&service, "/2009-04-04/meta-data/services/"), "mine");
    assert_eq!(read(&service, "/latest/meta-data/services/"), "domain\npartition");
}

#[test]
fn directories_and_values_replace_each_other() {
    let service =
        service("'meta-data/services' = 'flat'\n'meta-data/mac' = false\n'meta-data/mac/deep' = 'x'");
    assert_eq!(read(&service, "/latest/meta-data/services"), "flat");
    assert_eq!(read(&service, "/latest/meta-data/services/domain"), "<404>");
    assert_eq!(read(&service, "/latest/meta-data/mac/"), "deep");
    let menu = read(&service, "/latest/meta-data/");
    assert!(menu.contains("\nservices\n") && menu.contains("\nmac/\n"), "{menu}");
}

#[test]
fn user_data_stays_user_data() {
    let service = service("'user-data' = '#!/bin/sh'");
    let reply = service.get("/2009-04-04/user-data");
    assert_eq!((reply.content_type().as_str(), body(&reply)), ("application/octet-stream", "#!/bin/sh"));
}

#[test]
fn a_public_key_is_listed_with_its_name() {
    let service = service("'meta-data/public-keys/0=mine/openssh-key' = \"ssh-rsa AAAA\\n\"");
    assert_eq!(read(&service, "/latest/meta-data/public-keys/"), "0=mine");
    assert_eq!(read(&service, "/latest/meta-data/public-keys/0/openssh-key"), "ssh-rsa AAAA\n");
    assert_eq!(read(&service, "/latest/meta-data/public-keys/0"), "openssh-key");
}

#[test]
fn the_signatures_are_over_the_document_that_is_served() {
    let plain = service("");
    let changed = service("'dynamic/instance-identity/document' = '{}'");
    let directory = "/latest/dynamic/instance-identity";
    for name in ["signature", "pkcs7", "rsa2048"] {
        let path = format!("{directory}/{name}");
        assert_ne!(read(&plain, &path), read(&changed, &path));
    }
    let none = service("'dynamic/instance-identity/document' = false");
    assert_eq!(read(&none, directory), "<404>");
    let own =
        service("'dynamic/instance-identity/pkcs7' = 'mine'\n'dynamic/instance-identity/document' = '{}'");
    assert_eq!(read(&own, &format!("{directory}/pkcs7")), "mine");
    assert_eq!(read(&own, directory), "document\npkcs7\nrsa2048\nsignature");
}

#[test]
fn what_cannot_be_is_refused_with_the_path() {
    for (text, path, says) in [
        ("'meta-data/mac/x' = 'y'", "meta-data/mac/x", "set it to false first"),
        ("'meta-data/a' = 'y'\n'meta-data/a/b' = 'y'", "meta-data/a/b", "meta-data/a is a value"),
        ("'2022-07-09/meta-data/x' = 'y'", "2022-07-09/meta-data/x", "no such version"),
        ("'latest' = 'y'", "latest", "paths, not a value"),
    ] {
        let error = trees(text).unwrap_err();
        assert_eq!(error.path, path);
        assert!(error.message.contains(says), "{error}");
    }
    for text in [
        "'' = 'x'",
        "'/' = 'x'",
        "'meta-data//x' = 'x'",
        "'meta-data/../x' = 'x'",
        "'meta-data/./x' = 'x'",
        "\"meta-data/a\\nb\" = 'x'",
        "'meta-data/x' = true",
        "'meta-data/x' = 1",
        "'meta-data/x' = 'a'\n'/meta-data/x' = 'b'",
    ] {
        assert!(toml::from_str::<Overrides>(text).is_err(), "{text}");
    }
    let deep = format!("'{}' = 'x'", vec!["x"; 40].join("/"));
    assert!(toml::from_str::<Overrides>(&deep).is_err());
}

#[test]
fn later_changes_lie_on_top() {
    let trees = trees("'meta-data/mac' = 'one'").unwrap();
    let mut live = Overrides::default();
    live.set("meta-data/mac", "two").unwrap();
    live.set("meta-data/new", "x").unwrap();
    let edited = TestService::of(trees.edited(&live).unwrap(), TokenMode::Optional);
    assert_eq!(
        (read(&edited, "/latest/meta-data/mac"), read(&edited, "/latest/meta-data/new")),
        ("two".into(), "x".into())
    );
    assert!(live.forget("meta-data/new").unwrap() && !live.forget("meta-data/new").unwrap());
    live.remove("meta-data/mac").unwrap();
    let edited = TestService::of(trees.edited(&live).unwrap(), TokenMode::Optional);
    assert_eq!(
        (read(&edited, "/latest/meta-data/mac"), read(&edited, "/latest/meta-data/new")),
        ("<404>".into(), "<404>".into())
    );
    let before = TestService::of(trees, TokenMode::Optional);
    assert_eq!(read(&before, "/latest/meta-data/mac"), "one", "an edit leaves what it was made from alone");
}

proptest! {
    /// Whatever was added is read back; removing it again gives the tree as it was.
    #[test]
    fn adding_and_removing_is_as_if_nothing_happened(
        names in proptest::collection::vec("[a-z]{1,3}", 1..5), value in "\\PC{0,20}",
    ) {
        let path = format!("meta-data/own/{}", names.join("/"));
        let base = trees("").unwrap();
        let mut add = Overrides::default();
        add.set(&path, value.clone()).unwrap();
        let added = base.edited(&add).unwrap();
        let service = TestService::of(added.clone(), TokenMode::Optional);
        prop_assert_eq!(read(&service, &format!("/latest/{path}")), value);
        let mut remove = Overrides::default();
        remove.remove(&path).unwrap();
        let listing = |trees: &Trees| {
            let tree = trees.tree(None);
            let menus = TestService::of(trees.clone(), TokenMode::Optional);
            let paths: Vec<String> = tree.walk("latest").map(|(path, _)| path).collect();
            (paths, read(&menus, "/latest/meta-data/"), read(&menus, "/1.0/meta-data/"))
        };
        prop_assert_eq!(listing(&added.edited(&remove).unwrap()), listing(&base));
    }
}
