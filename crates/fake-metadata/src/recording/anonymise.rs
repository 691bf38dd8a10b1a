//! Other accounts, addresses and ids in the place of the real ones: the same for the same everywhere in a recording,
//! made with a random key that is kept nowhere, so that nobody can try them out.
//!
//! What shows how things belong together stays: addresses that shared a network share one afterwards, private ones
//! are private, ids keep their kind and length. Names (of roles, key pairs, tags, security groups, hosts), tags' other
//! text, the region and zone, the instance type and public keys stay as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use hmac::{Hmac, Mac};
use imds::{Recorded, Recording, TreeError};
use sha2::Sha256;

use super::scan::{Token, accounts, replace};

/// The benchmark network of RFC 2544, nobody's on the internet: where public addresses go.
const PUBLIC: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const PUBLIC_BITS: u32 = 17;
/// The documentation prefix of RFC 3849, where global IPv6 addresses go.
const DOCUMENTATION: u128 = 0x2001_0db8 << 96;
/// The letters and digits of IAM's unique ids.
const UNIQUE: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What stands for what.
pub(crate) struct Anonymiser {
    key: [u8; 32],
    /// Accounts by the places where they are named as such; any other twelve digits are just that.
    accounts: BTreeSet<String>,
    public: BTreeMap<Ipv4Addr, Ipv4Addr>,
}

impl Anonymiser {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Anonymiser { key, accounts: BTreeSet::new(), public: BTreeMap::new() }
    }

    fn random(&self, kind: &str, data: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key may have any length");
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(data);
        mac.finalize().into_bytes().into()
    }

    /// A text with everything in it replaced.
    pub(crate) fn text(&mut self, text: &str) -> String {
        replace(text, |token| self.token(token))
    }

    fn token(&mut self, token: Token<'_>) -> Option<String> {
        Some(match token {
            Token::Account(account) => {
                let plain = account.replace('-', "");
                self.accounts.contains(&plain).then_some(())?;
                let digits = self.random("account", plain.as_bytes());
                let number = digits.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
                let other = format!("{:012}", number % 1_000_000_000_000);
                if account == plain {
                    return Some(other);
                }
                format!("{}-{}-{}", &other[..4], &other[4..8], &other[8..])
            }
            Token::Resource(kind, hex) => {
                let random = self.random(kind, hex.as_bytes());
                let mut other: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                other.truncate(hex.len());
                // Ids of 17 digits have all begun with a 0 so far.
                if hex.len() == 17 && hex.starts_with('0') {
                    other.replace_range(..1, "0");
                }
                format!("{kind}-{other}")
            }
            Token::Unique(kind, rest) => {
                let random = self.random(kind, rest.as_bytes());
                let other = random.iter().cycle().take(rest.len());
                let other = other.map(|byte| char::from(UNIQUE[usize::from(byte % 32)]));
                kind.chars().chain(other).collect()
            }
            Token::Mac(mac) => {
                let separator = &mac[2..3];
                let random = self.random("mac", mac.to_ascii_lowercase().replace('-', ":").as_bytes());
                let tail = random.iter().take(5).map(|byte| format!("{separator}{byte:02x}"));
                // The first byte says who gives the address out.
                let other: String = [mac[..2].to_ascii_lowercase()].into_iter().chain(tail).collect();
                if mac.bytes().any(|b| b.is_ascii_uppercase()) { other.to_uppercase() } else { other }
            }
            Token::Ipv4(address, length) => {
                let other = self.ipv4(address, length);
                let length = length.map(|length| format!("/{length}")).unwrap_or_default();
                format!("{other}{length}")
            }
            Token::DashedIpv4(prefix, address) => {
                format!("{prefix}{}", self.ipv4(address, None).to_string().replace('.', "-"))
            }
            Token::Ipv6(address, written_out, length) => {
                let other = self.ipv6(address, length);
                let text = match written_out {
                    true => other.segments().map(|group| format!("{group:x}")).join(":"),
                    false => other.to_string(),
                };
                let length = length.map(|length| format!("/{length}")).unwrap_or_default();
                format!("{text}{length}")
            }
        })
    }

    fn ipv4(&mut self, address: Ipv4Addr, block: Option<u8>) -> Ipv4Addr {
        let [first, second, ..] = address.octets();
        let fixed = match (first, second) {
            (0 | 127 | 224.., _) | (169, 254) => return address,
            (10, _) => 8,
            (172, 16..32) => 12,
            (192, 168) => 16,
            (100, 64..128) => 10,
            _ => return masked_ipv4(self.public_ipv4(address), address, block),
        };
        let bits = self.with_prefixes("ipv4", u128::from(address.to_bits()), 32, fixed);
        masked_ipv4(Ipv4Addr::from_bits(bits as u32), address, block)
    }

    /// Public addresses share no networks that would mean anything: any free one will do.
    fn public_ipv4(&mut self, address: Ipv4Addr) -> Ipv4Addr {
        if let Some(other) = self.public.get(&address) {
            return *other;
        }
        let random = self.random("public ipv4", &address.octets());
        let mut bits = u32::from_be_bytes([random[0], random[1], random[2], random[3]]);
        let other = loop {
            let other = Ipv4Addr::from_bits(PUBLIC | (bits % (1 << PUBLIC_BITS)));
            if !self.public.values().any(|taken| *taken == other) {
                break other;
            }
            bits = bits.wrapping_add(1);
        };
        self.public.insert(address, other);
        other
    }

    fn ipv6(&mut self, address: Ipv6Addr, block: Option<u8>) -> Ipv6Addr {
        if let Some(inner) = address.to_ipv4_mapped() {
            return self.ipv4(inner, None).to_ipv6_mapped();
        }
        let bits = address.to_bits();
        let mapped = |fixed| self.with_prefixes("ipv6", bits, 128, fixed);
        let other = match address.segments() {
            // Unspecified, loopback, multicast, and the metadata service's own network.
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] | [0xff00..=0xffff, ..] | [0xfd00, 0x0ec2, ..] => return address,
            [0xfe80..=0xfebf, ..] => mapped(64),
            [0xfc00..=0xfdff, ..] => mapped(8),
            _ => DOCUMENTATION | mapped(0) & (u128::MAX >> 32),
        };
        let mask =
            block.map_or(u128::MAX, |length| u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0));
        Ipv6Addr::from_bits(if bits & !mask == 0 { other & mask } else { other })
    }

    /// An address of `width` bits of which the first `fixed` stay: two that begin alike still begin alike, and no
    /// longer than before (Crypto-PAn's way).
    fn with_prefixes(&self, kind: &str, bits: u128, width: u32, fixed: u32) -> u128 {
        (fixed..width).fold(bits, |other, at| {
            let prefix = bits.checked_shr(width - at).unwrap_or(0);
            let data = [&prefix.to_be_bytes()[..], &[at as u8]].concat();
            other ^ u128::from(self.random(kind, &data)[0] & 1) << (width - 1 - at)
        })
    }
}

/// The other address, a network's own address where the first one was.
fn masked_ipv4(other: Ipv4Addr, first: Ipv4Addr, block: Option<u8>) -> Ipv4Addr {
    let mask = block.map_or(u32::MAX, |length| u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0));
    if first.to_bits() & !mask == 0 { Ipv4Addr::from_bits(other.to_bits() & mask) } else { other }
}

/// The recording with everything replaced, and whether user data was left out because it is no text.
pub(crate) fn anonymised(
    recording: &Recording,
    anonymiser: &mut Anonymiser,
) -> Result<(Recording, bool), TreeError> {
    let versions: Vec<&str> = recording.versions().collect();
    for (path, recorded) in versions.iter().flat_map(|version| recording.paths(version)) {
        if let Recorded::Value(bytes) | Recorded::UserData(bytes) = recorded {
            let text = String::from_utf8_lossy(bytes);
            anonymiser.accounts.extend(accounts(&text));
            if path.ends_with("/owner-id") {
                anonymiser.accounts.insert(text.trim().to_owned());
            }
        }
    }
    let mut other = Recording::default();
    let mut left_out = false;
    for version in versions {
        for (path, recorded) in recording.paths(version) {
            let path = anonymiser.text(path);
            let recorded = match recorded {
                Recorded::Secret => Recorded::Secret,
                Recorded::Listing(listing) => Recorded::Listing(anonymiser.listing(listing)),
                Recorded::Value(value) => Recorded::Value(anonymiser.bytes(value)),
                Recorded::UserData(data) if std::str::from_utf8(data).is_err() => {
                    left_out = true;
                    continue;
                }
                Recorded::UserData(data) => Recorded::UserData(anonymiser.bytes(data)),
            };
            other.insert(version, &path, recorded)?;
        }
    }
    Ok((other, left_out))
}

impl Anonymiser {
    fn bytes(&mut self, value: &Bytes) -> Bytes {
        self.text(&String::from_utf8_lossy(value)).into()
    }

    /// Lines that were in order are in order again.
    fn listing(&mut self, listing: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(listing).into_owned();
        let other = self.text(&text);
        let mut lines: Vec<&str> = other.split('\n').collect();
        if text.split('\n').is_sorted() {
            lines.sort_unstable();
        }
        lines.join("\n").into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn anonymiser() -> Anonymiser {
        let accounts = BTreeSet::from(["123456789012".to_owned()]);
        Anonymiser { accounts, ..Anonymiser::new([7; 32]) }
    }

    #[test]
    fn the_same_becomes_the_same_everywhere() {
        let mut anonymiser = anonymiser();
        let address = anonymiser.text("10.0.1.23");
        assert!(address.starts_with("10.") && address != "10.0.1.23", "{address}");
        let host = anonymiser.text("ip-10-0-1-23.ec2.internal");
        assert_eq!(host, format!("ip-{}.ec2.internal", address.replace('.', "-")));
        let account = anonymiser.text("123456789012");
        let arn = anonymiser.text("arn:aws:iam::123456789012:instance-profile/web");
        assert_eq!(arn, format!("arn:aws:iam::{account}:instance-profile/web"));
        let dashed = format!("{}-{}-{}", &account[..4], &account[4..8], &account[8..]);
        assert_eq!(anonymiser.text("1234-5678-9012"), dashed);
        for unknown in ["210987654321", "2109-8765-4321"] {
            assert_eq!(anonymiser.text(unknown), unknown, "no account that is known");
        }
        let id = anonymiser.text("i-0123456789abcdef0");
        assert!(id.starts_with("i-0") && id.len() == 19 && id != "i-0123456789abcdef0", "{id}");
        assert_eq!(anonymiser.text("x/i-0123456789abcdef0 y"), format!("x/{id} y"));
        let mac = anonymiser.text("0e:49:61:0f:c3:11");
        assert!(mac.starts_with("0e:") && mac.len() == 17 && mac != "0e:49:61:0f:c3:11");
        assert_eq!(anonymiser.text("0E:49:61:0F:C3:11"), mac.to_uppercase());
        assert_eq!(anonymiser.text("0e-49-61-0f-c3-11"), mac.replace(':', "-"));
        assert_eq!(anonymiser.text("0E-49-61-0F-C3-11"), mac.replace(':', "-").to_uppercase());
        let profile = anonymiser.text("AIPA5BOGHHXZELSK34VU4");
        assert!(profile.starts_with("AIPA") && profile.len() == 21 && profile != "AIPA5BOGHHXZELSK34VU4");
        assert_ne!(Anonymiser::new([8; 32]).text("i-0123456789abcdef0"), id, "with another key");
    }

    #[test]
    fn addresses_keep_what_kind_they_are_of() {
        let mut anonymiser = anonymiser();
        let mut starts = |text: &str, start: &str| {
            let other = anonymiser.text(text);
            assert!(other.starts_with(start) && other != text, "{text}: {other}");
        };
        starts("172.31.16.10", "172.");
        starts("192.168.3.4", "192.168.");
        starts("54.92.157.77", "198.1");
        starts("2600:1f18::1", "2001:db8:");
        starts("fe80::1", "fe80::");
        starts("fd12::1", "fd");
        for same in
            ["169.254.169.254", "127.0.0.1", "0.0.0.0/0", "255.255.255.0", "::1", "fd00:ec2::254", "::/0"]
        {
            assert_eq!(anonymiser.text(same), same);
        }
    }

    #[test]
    fn an_address_written_out_stays_written_out() {
        let other = anonymiser().text("2600:1f18:1:2:0:0:0:0/64");
        assert!(other.starts_with("2001:db8:") && other.ends_with(":0:0:0:0/64"), "{other}");
    }

    proptest! {
        #[test]
        fn networks_stay_networks(host: u32, length in 8u8..=32, v6 in any::<u128>(), length_v6 in 33u8..=128) {
            let mut anonymiser = anonymiser();
            let host = Ipv4Addr::from_bits(0x0a00_0000 | host & 0x00ff_ffff);
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let network = Ipv4Addr::from_bits(host.to_bits() & mask);
            let (other, block) = (anonymiser.ipv4(host, None), anonymiser.ipv4(network, Some(length)));
            prop_assert_eq!(other.to_bits() & mask, block.to_bits());

            let host = Ipv6Addr::from_bits(0x2600 << 112 | v6 >> 16);
            let mask = u128::MAX.checked_shl(128 - u32::from(length_v6)).unwrap_or(0);
            let network = Ipv6Addr::from_bits(host.to_bits() & mask);
            let (other, block) = (anonymiser.ipv6(host, None), anonymiser.ipv6(network, Some(length_v6)));
            prop_assert_eq!(other.to_bits() & mask, block.to_bits());
        }
    }

    #[test]
    fn a_whole_recording_agrees_with_itself() {
        let mut recording = Recording::default();
        let value = |text: &str| Recorded::Value(Bytes::copy_from_slice(text.as_bytes()));
        let listing = |text: &str| Recorded::Listing(Bytes::copy_from_slice(text.as_bytes()));
        let macs = "meta-data/network/interfaces/macs";
        let mut add = |path: &str, recorded| recording.insert("latest", path, recorded).unwrap();
        add(macs, listing("0e:49:61:0f:c3:11/\n0e:49:61:0f:c3:77/"));
        add(&format!("{macs}/0e:49:61:0f:c3:11/owner-id"), value("555566667777"));
        add(&format!("{macs}/0e:49:61:0f:c3:77/owner-id"), value("555566667777"));
        add("meta-data/mac", value("0e:49:61:0f:c3:77"));
        add("user-data", Recorded::UserData(Bytes::from_static(b"account 555566667777")));
        let (other, left_out) = anonymised(&recording, &mut Anonymiser::new([1; 32])).unwrap();
        assert!(!left_out);
        let paths: BTreeMap<&str, &Recorded> = other.paths("latest").collect();
        let text = |path: &str| String::from_utf8(other.value(path).unwrap().to_vec()).unwrap();
        let mac = text("meta-data/mac");
        let account = text(&format!("{macs}/{mac}/owner-id"));
        assert_ne!(account, "555566667777");
        assert_eq!(text("user-data"), format!("account {account}"));
        let Recorded::Listing(lines) = paths[macs] else { panic!() };
        let lines: Vec<&str> = std::str::from_utf8(lines).unwrap().split('\n').collect();
        assert!(lines.is_sorted() && lines.contains(&format!("{mac}/").as_str()), "{lines:?}");

        recording
            .insert("latest", "user-data", Recorded::UserData(Bytes::from_static(b"\x1f\x8b\xff")))
            .unwrap();
        let (other, left_out) = anonymised(&recording, &mut Anonymiser::new([1; 32])).unwrap();
        assert!(left_out && other.value("user-data").is_none());
    }
}
