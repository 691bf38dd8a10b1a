//! Nothing is listed that does not answer, and nothing answers that is not listed, for instances with all
//! kinds of features, under every version, by a client that reads as cloud-init does.

use std::collections::BTreeSet;

use imds::{Instance, InstanceSpec, Overrides, RoleEntry, Status, TokenMode, Trees};

use crate::common::{TestService, body, now};

/// Instances that differ in every feature that comes and goes.
fn instances() -> Vec<(&'static str, InstanceSpec, Option<&'static str>)> {
    let parse = |text: &str| toml::from_str::<InstanceSpec>(text).unwrap();
    vec![
        ("default", InstanceSpec::default(), None),
        ("with a role", InstanceSpec::default(), Some("app")),
        ("everything", parse(include_str!("../data/everything.toml")), Some("app")),
        ("the captured one", parse(include_str!("../data/depth.toml")), Some("app")),
        ("tags shown but none", parse("instance-metadata-tags = 'enabled'"), None),
        ("tags not shown", parse("instance-metadata-tags = 'disabled'\ntags = { Name = 'x' }"), None),
        ("IPv6 only", parse(include_str!("../data/ipv6-only.toml")), Some("app")),
        ("paravirtual", parse("kernel-id = 'aki-1'\nramdisk-id = 'ari-1'\ninstance-type = 't1.micro'"), None),
    ]
}

/// A path, whether it is a directory, and what the value or listing was.
type Seen = BTreeSet<(String, bool)>;

/// Reads what a listing leads to, as cloud-init's crawler does: entries ending in a slash are directories,
/// `N=name` is `N/` with an openssh-key.
fn crawl(service: &TestService, role: Option<&str>, base: &str, seen: &mut Seen) {
    let reply = ask(service, role, base);
    assert_eq!(reply.status(), Status::Ok, "{base} is listed and does not answer");
    assert_eq!(reply.content_type().as_str(), "text/plain", "{base}");
    let listing = body(&reply).to_owned();
    assert!(!listing.is_empty() && !listing.ends_with('\n'), "{base}: {listing:?}");
    let lines: Vec<&str> = listing.split('\n').collect();
    assert!(lines.is_sorted(), "{base}: {lines:?}");
    seen.insert((base.to_owned(), true));
    for line in lines {
        if let Some(number) = base.ends_with("/public-keys/").then(|| line.split_once('=')).flatten() {
            crawl(service, role, &format!("{base}{}/", number.0), seen);
        } else if line.ends_with('/') {
            crawl(service, role, &format!("{base}{line}"), seen);
        } else {
            let path = format!("{base}{line}");
            let reply = ask(service, role, &path);
            assert_eq!(reply.status(), Status::Ok, "{path} is listed and does not answer");
            let ends = body(&reply).ends_with('\n');
            assert_eq!(ends, path.ends_with("/openssh-key"), "{path}: {:?}", body(&reply));
            let slash = ask(service, role, &format!("{path}/"));
            assert_eq!(slash.body(), reply.body(), "{path}/");
            seen.insert((path, false));
        }
    }
}

fn ask(service: &TestService, role: Option<&str>, path: &str) -> imds::Reply {
    match role {
        Some(role) => service.get_as(role, path),
        None => service.get(path),
    }
}

fn service(spec: &InstanceSpec) -> TestService {
    TestService::new(spec, &["app"], TokenMode::Optional)
}

#[test]
fn whatever_is_listed_answers_and_whatever_answers_is_listed() {
    for (name, spec, role) in instances() {
        let service = service(&spec);
        let mut everywhere = BTreeSet::new();
        let mut by_version = Vec::new();
        for version in imds::VERSIONS {
            let mut seen = Seen::new();
            for top in ["meta-data/", "dynamic/"] {
                let base = format!("/{version}/{top}");
                // Before 2009-04-04 the root lists `dynamic`, and there is none (capture 2026-09-26).
                if top == "dynamic/" && version < "2009-04-04" {
                    assert_eq!(ask(&service, role, &base).status(), Status::NotFound);
                    continue;
                }
                crawl(&service, role, &base, &mut seen);
            }
            let walked: BTreeSet<String> = service
                .snapshot
                .trees
                .tree(role)
                .walk(version)
                .map(|(path, _)| format!("/{version}/{path}"))
                .filter(|path| !path.ends_with("/user-data"))
                .collect();
            let read: BTreeSet<String> =
                seen.iter().filter(|(_, dir)| !dir).map(|(path, _)| path.clone()).collect();
            assert_eq!(walked, read, "{name} under {version}: walking and crawling differ");
            let below = |path: &str| path[version.len() + 2..].to_owned();
            everywhere.extend(seen.iter().map(|(path, _)| below(path)));
            by_version
                .push((version, seen.into_iter().map(|(path, _)| below(&path)).collect::<BTreeSet<_>>()));
        }
        // What one version lists and another does not must not answer there.
        for (version, seen) in &by_version {
            for path in everywhere.difference(seen) {
                let reply = ask(&service, role, &format!("/{version}/{path}"));
                assert_eq!(reply.status(), Status::NotFound, "{name}: /{version}/{path} is not listed");
            }
        }
        // Versions only ever add.
        for pair in by_version.windows(2) {
            assert!(pair[0].1.is_subset(&pair[1].1), "{name}: {} lacks what {} has", pair[1].0, pair[0].0);
        }
    }
}

/// Every path that any of the instances has is, on the others, either listed or a 404.
#[test]
fn features_that_an_instance_lacks_are_404() {
    let mut known = BTreeSet::new();
    let mut each = Vec::new();
    for (name, spec, role) in instances() {
        let service = service(&spec);
        let mut seen = Seen::new();
        crawl(&service, role, "/latest/meta-data/", &mut seen);
        crawl(&service, role, "/latest/dynamic/", &mut seen);
        let paths: BTreeSet<String> = seen.into_iter().map(|(path, _)| path).collect();
        known.extend(paths.clone());
        each.push((name, service, role, paths));
    }
    for (name, service, role, paths) in each {
        for path in known.difference(&paths) {
            assert_eq!(ask(&service, role, path).status(), Status::NotFound, "{name}: {path} is not listed");
        }
    }
}

#[test]
fn the_root_lists_every_version_and_each_lists_the_same_three() {
    let service = service(&InstanceSpec::default());
    assert_eq!(body(&service.get("/")).split('\n').collect::<Vec<_>>(), imds::VERSIONS);
    for version in imds::VERSIONS {
        for path in [format!("/{version}"), format!("/{version}/")] {
            assert_eq!(body(&service.get(&path)), "dynamic\nmeta-data\nuser-data");
        }
    }
}

/// What an instance of another launch date lists is seen with the eyes of its time.
#[test]
fn other_versions_can_be_offered() {
    let spec: InstanceSpec = toml::from_str("versions = ['latest', '2022-07-09', '1.0']").unwrap();
    let service = service(&spec);
    assert_eq!(body(&service.get("/")), "1.0\n2022-07-09\nlatest");
    assert_eq!(service.get("/2021-07-15/").status(), Status::NotFound);
    let listing = body(&service.get("/2022-07-09/meta-data/")).to_owned();
    assert!(listing.contains("services/") && !listing.contains("system"), "{listing}");
}

/// With every feature, the menu is all of the reference's; the directories have what sections 4.2 and 4.3 say.
#[test]
fn an_instance_with_everything() {
    let spec: InstanceSpec = toml::from_str(include_str!("../data/everything.toml")).unwrap();
    let instance = Instance::resolve(&spec, now()).unwrap();
    let trees = Trees::build(&instance, &[RoleEntry::new("app")], &Overrides::default()).unwrap();
    let service = TestService::of(trees, TokenMode::Optional);
    let list = |path: &str| body(&service.get_as("app", path)).replace('\n', " ");
    assert_eq!(
        list("/latest/meta-data/"),
        "ami-id ami-launch-index ami-manifest-path ancestor-ami-ids autoscaling/ block-device-mapping/ events/ \
         hostname iam/ identity-credentials/ instance-action instance-id instance-life-cycle instance-type ipv6 \
         local-hostname local-ipv4 mac metrics/ network/ placement/ product-codes profile public-hostname \
         public-ipv4 public-keys/ reservation-id security-groups services/ system tag-sets/ tags/"
    );
    assert_eq!(list("/latest/meta-data/block-device-mapping"), "ami ebs1 ebs2 ephemeral0 root swap");
    assert_eq!(
        list("/latest/meta-data/placement/"),
        "availability-zone availability-zone-id group-name host-id partition-number region"
    );
    let macs = "/latest/meta-data/network/interfaces/macs";
    assert_eq!(list(macs), "0e:49:61:0f:c3:11/ 0e:49:61:0f:c3:77/ 0e:49:61:0f:c3:99/");
    assert_eq!(
        list(&format!("{macs}/0e:49:61:0f:c3:11")),
        "device-number interface-id ipv4-associations/ ipv4-prefix ipv6-prefix ipv6s local-hostname local-ipv4s \
         mac network-card owner-id public-hostname public-ipv4s security-group-ids security-groups subnet-id \
         subnet-ipv4-cidr-block subnet-ipv6-cidr-blocks vpc-id vpc-ipv4-cidr-block vpc-ipv4-cidr-blocks \
         vpc-ipv6-cidr-blocks"
    );
    for (path, value) in [
        ("ipv4-associations/192.0.2.54", "10.0.1.23"),
        ("ipv4-associations/192.0.2.55", "10.0.1.24"),
        ("local-ipv4s", "10.0.1.23 10.0.1.24"),
        ("public-ipv4s", "192.0.2.54 192.0.2.55"),
        ("public-hostname", "ec2-192-0-2-54.eu-west-1.compute.amazonaws.com"),
        ("ipv6s", "2001:db8:1:1::23 2001:db8:1:1::24"),
        ("subnet-ipv6-cidr-blocks", "2001:db8:1:1:0:0:0:0/64"),
        ("vpc-ipv4-cidr-blocks", "10.0.0.0/16 10.1.0.0/16"),
        ("network-card", "0"),
    ] {
        assert_eq!(list(&format!("{macs}/0e:49:61:0f:c3:11/{path}")), value, "{path}");
    }
    assert_eq!(list(&format!("{macs}/0e:49:61:0f:c3:77/device-number")), "1");
    assert_eq!(
        list(&format!("{macs}/0e:49:61:0f:c3:77/local-hostname")),
        "ip-10-1-2-3.eu-west-1.compute.internal"
    );
    assert_eq!(list(&format!("{macs}/0e:49:61:0f:c3:99/network-card")), "1");
    assert_eq!(list("/latest/meta-data/public-keys/"), "0=first 1=second");
    assert_eq!(list("/latest/meta-data/public-keys/1/openssh-key"), "ssh-ed25519 AAAA second ");
    assert_eq!(list("/latest/meta-data/tags/instance"), "Name env:stage");
    assert_eq!(list("/latest/meta-data/tag-sets"), "instance");
    assert_eq!(list("/latest/meta-data/tag-sets/instance"), r#"{"Name":"everything","env:stage":"a/b c"}"#);
    assert_eq!(list("/latest/meta-data/autoscaling/target-lifecycle-state"), "InService");
    assert_eq!(list("/latest/meta-data/instance-life-cycle"), "spot");
}
