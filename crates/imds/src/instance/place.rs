//! Where an instance lies: partition, region, zone, and the domain names that follow.
//!
//! Sources: the endpoint data of the AWS SDKs for partitions and suffixes, the AZ id names of the region list
//! of the EC2 and RAM documentation. Regions that are not known here are derived by the same rules.

/// An AWS partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// As in ARNs and `services/partition`.
    pub name: &'static str,
    /// As in `services/domain`.
    pub domain: &'static str,
    /// What the names of its regions begin with; nothing for the standard one.
    prefix: &'static str,
}

/// The standard partition last: every region not claimed by another is its.
const PARTITIONS: [Partition; 8] = [
    Partition { name: "aws-cn", domain: "amazonaws.com.cn", prefix: "cn-" },
    Partition { name: "aws-us-gov", domain: "amazonaws.com", prefix: "us-gov-" },
    Partition { name: "aws-iso", domain: "c2s.ic.gov", prefix: "us-iso-" },
    Partition { name: "aws-iso-b", domain: "sc2s.sgov.gov", prefix: "us-isob-" },
    Partition { name: "aws-iso-e", domain: "cloud.adc-e.uk", prefix: "eu-isoe-" },
    Partition { name: "aws-iso-f", domain: "csp.hci.ic.gov", prefix: "us-isof-" },
    Partition { name: "aws-eusc", domain: "amazonaws.eu", prefix: "eusc-" },
    Partition { name: "aws", domain: "amazonaws.com", prefix: "" },
];

impl Partition {
    /// The partition a region lies in.
    pub fn of_region(region: &str) -> Partition {
        let own = PARTITIONS.iter().find(|partition| region.starts_with(partition.prefix));
        *own.expect("the standard partition takes every name")
    }
}

/// The region a zone lies in: `us-east-1` of `us-east-1a` and of `us-east-1-bos-1a`. `None` where the name does
/// not begin with a region.
pub(crate) fn region_of_zone(zone: &str) -> Option<&str> {
    let mut length = 0;
    for (at, part) in zone.split('-').enumerate() {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        if at >= 2 && digits > 0 {
            return Some(&zone[..length + digits]);
        }
        if digits > 0 || part.is_empty() {
            return None;
        }
        length += part.len() + 1;
    }
    None
}

/// Whether `region` looks like one: letters in two or more parts, then a number.
pub(crate) fn is_region(region: &str) -> bool {
    region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && region_of_zone(region) == Some(region)
}

/// Whether a zone may lie in a region: an availability zone is the region and a letter, a local or wavelength
/// zone the region, a dash and more.
pub(crate) fn zone_in_region(zone: &str, region: &str) -> bool {
    match zone.strip_prefix(region).map(str::as_bytes) {
        Some([letter]) => letter.is_ascii_lowercase(),
        Some([b'-', rest @ ..]) => !rest.is_empty(),
        _ => false,
    }
}

/// The short name of a region in AZ ids: `use1`, `apse2`, `usgw1`.
pub(crate) fn region_code(region: &str) -> String {
    let mut code = String::new();
    for (at, part) in region.split('-').enumerate() {
        match (at, part) {
            (0, part) => code.push_str(part),
            (_, "gov") => code.push('g'),
            (_, "iso" | "isob" | "isoe" | "isof") => code.push_str(&format!("i{}", &part[3..])),
            (_, "northeast") => code.push_str("ne"),
            (_, "northwest") => code.push_str("nw"),
            (_, "southeast") => code.push_str("se"),
            (_, "southwest") => code.push_str("sw"),
            (_, number) if number.bytes().all(|byte| byte.is_ascii_digit()) => code.push_str(number),
            (_, part) => code.extend(part.chars().next()),
        }
    }
    code
}

/// An AZ id for a zone. Which id a zone letter has differs by account; here `a` is 1, `b` is 2.
pub(crate) fn zone_id(zone: &str, region: &str) -> String {
    let number = |letter: u8| u32::from(letter.saturating_sub(b'a')) + 1;
    let code = region_code(region);
    match zone.strip_prefix(region).map(str::as_bytes) {
        Some([letter]) => format!("{code}-az{}", number(*letter)),
        Some([b'-', rest @ ..]) => {
            let rest = String::from_utf8_lossy(rest);
            match rest.strip_suffix(|last: char| last.is_ascii_lowercase()) {
                // us-west-2-lax-1a is usw2-lax1-az1.
                Some(place) if place.ends_with(|last: char| last.is_ascii_digit()) => {
                    let letter = rest.as_bytes()[rest.len() - 1];
                    format!("{code}-{}-az{}", place.replace('-', ""), number(letter))
                }
                // us-east-1-wl1-bos-wlz-1 is use1-wl1-bos-wlz1.
                _ => match rest.rsplit_once('-') {
                    Some((place, last)) => format!("{code}-{place}{last}"),
                    None => format!("{code}-{rest}"),
                },
            }
        }
        _ => format!("{code}-az1"),
    }
}

/// The region whose AZ ids begin as this one does, among those known; tells a wrong id from an unusual one.
pub(crate) fn known_region_of_zone_id(id: &str) -> Option<&'static str> {
    let code = id.split('-').next()?;
    REGIONS.iter().find(|region| region_code(region) == code).copied()
}

/// Regions whose codes are certain.
const REGIONS: [&str; 36] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// The domain of private host names.
pub(crate) fn private_domain(region: &str) -> String {
    match region {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

/// The public host name of an address.
pub(crate) fn public_hostname(address: &str, region: &str) -> String {
    let label = address.replace('.', "-");
    let domain = Partition::of_region(region).domain;
    match region {
        "us-east-1" => format!("ec2-{label}.compute-1.{domain}"),
        region => format!("ec2-{label}.{region}.compute.{domain}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_zones() {
        for (zone, region) in [
            ("us-east-1a", Some("us-east-1")),
            ("us-west-2-lax-1a", Some("us-west-2")),
            ("us-east-1-wl1-bos-wlz-1", Some("us-east-1")),
            ("us-gov-west-1b", Some("us-gov-west-1")),
            ("us-isob-east-1a", Some("us-isob-east-1")),
            ("eusc-de-east-1a", Some("eusc-de-east-1")),
            ("ap-southeast-12c", Some("ap-southeast-12")),
            ("us-east", None),
            ("east1", None),
            ("", None),
            ("--1", None),
        ] {
            assert_eq!(region_of_zone(zone), region, "{zone}");
        }
        assert!(is_region("eu-west-1") && !is_region("eu-west-1a") && !is_region("EU-WEST-1"));
        assert!(zone_in_region("eu-west-1c", "eu-west-1"));
        assert!(!zone_in_region("eu-west-12a", "eu-west-1"));
        assert!(!zone_in_region("eu-west-1", "eu-west-1"));
    }

    #[test]
    fn zone_ids() {
        for (zone, id) in [
            ("us-east-1a", "use1-az1"),
            ("us-west-2d", "usw2-az4"),
            ("ap-southeast-2b", "apse2-az2"),
            ("ap-south-1a", "aps1-az1"),
            ("ap-northeast-1a", "apne1-az1"),
            ("eu-central-1a", "euc1-az1"),
            ("ca-central-1a", "cac1-az1"),
            ("us-gov-west-1a", "usgw1-az1"),
            ("cn-northwest-1a", "cnnw1-az1"),
            ("us-west-2-lax-1a", "usw2-lax1-az1"),
            ("us-east-1-wl1-bos-wlz-1", "use1-wl1-bos-wlz1"),
        ] {
            let region = region_of_zone(zone).unwrap();
            assert_eq!(zone_id(zone, region), id, "{zone}");
            assert!(known_region_of_zone_id(id).is_none_or(|known| known == region), "{id}");
        }
    }

    #[test]
    fn region_codes_are_unique() {
        let mut codes: Vec<String> = REGIONS.iter().map(|region| region_code(region)).collect();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), REGIONS.len());
    }

    #[test]
    fn partitions_and_names() {
        let of = |region| Partition::of_region(region).name;
        assert_eq!(of("eu-west-3"), "aws");
        assert_eq!(of("cn-north-1"), "aws-cn");
        assert_eq!(of("us-gov-east-1"), "aws-us-gov");
        assert_eq!(of("us-iso-east-1"), "aws-iso");
        assert_eq!(of("us-isob-east-1"), "aws-iso-b");
        assert_eq!(public_hostname("192.0.2.54", "us-east-1"), "ec2-192-0-2-54.compute-1.amazonaws.com");
        let chinese = "ec2-192-0-2-54.cn-north-1.compute.amazonaws.com.cn";
        assert_eq!(public_hostname("192.0.2.54", "cn-north-1"), chinese);
        assert_eq!(private_domain("us-east-1"), "ec2.internal");
        assert_eq!(private_domain("us-west-2"), "us-west-2.compute.internal");
    }
}
