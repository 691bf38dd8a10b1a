//! Since which version each known path exists.
//!
//! Sources: menus under all 31 versions and inner listings under eight (capture of 2026-09-26); for what that
//! instance did not have, the version column of EC2's category table. That column names dates which are no
//! versions; a capture shows region and availability-zone-id (documented for 2020-08-24) under 2019-10-01, so
//! the placement entries of that date are taken together with them; any other in-between date counts from the
//! next version.

use crate::version::Version;

/// Path patterns below a version's root; `*` stands for one name. A path is no older
/// than what it lies in.
const SINCE: &[(&str, &str)] = &[
    ("dynamic", "2009-04-04"),
    ("meta-data/ancestor-ami-ids", "2007-10-10"),
    ("meta-data/autoscaling", "2021-07-15"),
    ("meta-data/block-device-mapping", "2007-12-15"),
    ("meta-data/elastic-gpus", "2018-03-28"),
    ("meta-data/elastic-inference", "2019-10-01"),
    ("meta-data/events", "2018-08-17"),
    ("meta-data/events/recommendations", "2020-10-27"),
    ("meta-data/iam", "2012-01-12"),
    ("meta-data/identity-credentials", "2018-03-28"),
    ("meta-data/instance-action", "2008-09-01"),
    ("meta-data/instance-life-cycle", "2019-10-01"),
    ("meta-data/instance-type", "2007-08-29"),
    ("meta-data/ipv6", "2021-01-03"),
    ("meta-data/kernel-id", "2008-02-01"),
    ("meta-data/local-hostname", "2007-01-19"),
    ("meta-data/mac", "2011-01-01"),
    ("meta-data/metrics", "2011-05-01"),
    ("meta-data/network", "2011-01-01"),
    ("meta-data/network/interfaces/macs/*/ipv4-prefix", "2021-07-15"),
    ("meta-data/network/interfaces/macs/*/ipv6-prefix", "2021-07-15"),
    ("meta-data/network/interfaces/macs/*/ipv6s", "2016-06-30"),
    ("meta-data/network/interfaces/macs/*/network-card", "2021-01-03"),
    ("meta-data/network/interfaces/macs/*/subnet-ipv6-cidr-blocks", "2016-06-30"),
    ("meta-data/network/interfaces/macs/*/vpc-ipv4-cidr-blocks", "2016-06-30"),
    ("meta-data/network/interfaces/macs/*/vpc-ipv6-cidr-blocks", "2016-06-30"),
    ("meta-data/placement", "2008-02-01"),
    ("meta-data/placement/availability-zone-id", "2019-10-01"),
    ("meta-data/placement/group-name", "2019-10-01"),
    ("meta-data/placement/host-id", "2019-10-01"),
    ("meta-data/placement/partition-number", "2019-10-01"),
    ("meta-data/placement/region", "2019-10-01"),
    ("meta-data/product-codes", "2007-03-01"),
    ("meta-data/profile", "2007-12-15"),
    ("meta-data/public-hostname", "2007-01-19"),
    ("meta-data/public-ipv4", "2007-01-19"),
    ("meta-data/ramdisk-id", "2007-10-10"),
    ("meta-data/services", "2014-02-25"),
    ("meta-data/services/partition", "2015-10-20"),
    ("meta-data/spot", "2014-11-05"),
    ("meta-data/spot/instance-action", "2018-03-28"),
    ("meta-data/system", "2022-09-24"),
    ("meta-data/tag-sets", "2025-10-04"),
    ("meta-data/tags", "2021-03-23"),
];

/// Since when `path` (names below a version's root) exists: no earlier than what it lies in.
pub(crate) fn since(path: &[&str]) -> Version {
    let known = SINCE.iter().filter(|(pattern, _)| lies_at_or_below(path, pattern));
    known.filter_map(|(_, version)| Version::named(version)).max().unwrap_or(Version::FIRST)
}

fn lies_at_or_below(path: &[&str], pattern: &str) -> bool {
    let mut names = path.iter();
    pattern.split('/').all(|wanted| names.next().is_some_and(|name| wanted == "*" || wanted == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_the_table_exists() {
        for (pattern, version) in SINCE {
            assert!(Version::named(version).is_some(), "{pattern}: {version}");
        }
    }

    #[test]
    fn patterns() {
        let mac = ["meta-data", "network", "interfaces", "macs", "0e:00:00:00:00:01", "network-card"];
        assert_eq!(since(&mac).name(), "2021-01-03");
        assert_eq!(since(&mac[..5]).name(), "2011-01-01");
        assert_eq!(since(&["meta-data", "placement", "region"]).name(), "2019-10-01");
        assert_eq!(since(&["meta-data", "placement", "region", "x"]).name(), "2019-10-01");
        assert_eq!(since(&["meta-data", "services", "domain"]).name(), "2014-02-25");
        assert_eq!(since(&["meta-data", "mine"]), Version::FIRST);
    }
}
