//! A table from addresses and networks to roles. The narrowest network that holds an address counts, as
//! in routing, so that the order in which they are written means nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::rules::Grant;

/// An address with the number of its leading bits that count. The other bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address is in it.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && Network::around(address, self.prefix) == *self
    }

    /// The network around an address as others write it, where bits beyond the prefix may be set.
    pub(crate) fn around_text(text: &str) -> Option<Network> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits(address))?;
        Some(Network::around(address, prefix))
    }

    /// The network of `prefix` bits around an address.
    fn around(address: IpAddr, prefix: u8) -> Network {
        let address = match address {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
        };
        Network { address, prefix }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let wrong =
            || format!("{text:?} is neither an address nor a network (write 192.0.2.7 or 10.0.0.0/8)");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix = match prefix {
            None => bits(address),
            Some(prefix) => prefix.parse().ok().filter(|p| *p <= bits(address)).ok_or_else(wrong)?,
        };
        let network = Network::around(address, prefix);
        if network.address != address {
            return Err(format!("{text} has bits set beyond its prefix (write {network})"));
        }
        // A caller's address is never in this form: see `Peer`.
        match network.address.to_canonical() {
            IpAddr::V4(ip) if network.address.is_ipv6() && prefix >= 96 => {
                Ok(Network::around(ip.into(), prefix - 96))
            }
            _ => Ok(network),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            all if all == bits(self.address) => write!(f, "{}", self.address),
            prefix => write!(f, "{}/{prefix}", self.address),
        }
    }
}

/// Networks and what a caller in each is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    /// By prefix, narrowest first, so that a lookup costs a few hashes however many there are.
    by_prefix: BTreeMap<Reverse<u8>, HashMap<IpAddr, Grant>>,
}

impl Networks {
    /// Adds a network; what it was given before, when it was there.
    pub(crate) fn add(&mut self, network: Network, grant: Grant) -> Option<Grant> {
        self.by_prefix.entry(Reverse(network.prefix)).or_default().insert(network.address, grant)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    /// What a caller at this address is given, when a network holds it.
    pub(crate) fn find(&self, address: IpAddr) -> Option<&Grant> {
        self.narrowest(address).map(|(_, grant)| grant)
    }

    fn narrowest(&self, address: IpAddr) -> Option<(u8, &Grant)> {
        self.by_prefix.iter().filter(|(prefix, _)| prefix.0 <= bits(address)).find_map(
            |(prefix, networks)| {
                let network = Network::around(address, prefix.0).address;
                networks.get(&network).map(|grant| (prefix.0, grant))
            },
        )
    }

    /// The same table with the networks of another one in it; this one's stay where both have one.
    pub(crate) fn with(mut self, others: &Networks) -> Networks {
        for (prefix, networks) in &others.by_prefix {
            let ours = self.by_prefix.entry(*prefix).or_default();
            for (address, grant) in networks {
                ours.entry(*address).or_insert_with(|| grant.clone());
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(entries: &[(&str, &str)]) -> Networks {
        let mut networks = Networks::default();
        for (network, role) in entries {
            assert!(networks.add(network.parse().unwrap(), Some((*role).into())).is_none(), "{network}");
        }
        networks
    }

    fn role<'a>(table: &'a Networks, address: &str) -> Option<&'a str> {
        table.find(address.parse().unwrap()).and_then(|grant| grant.as_deref())
    }

    #[test]
    fn the_narrowest_network_counts() {
        let table = table(&[
            ("10.0.0.0/8", "wide"),
            ("10.1.0.0/16", "narrow"),
            ("10.1.2.3", "one"),
            ("fd00::/8", "six"),
            ("fd00::1", "six-one"),
        ]);
        assert_eq!(role(&table, "10.9.9.9"), Some("wide"));
        assert_eq!(role(&table, "10.1.9.9"), Some("narrow"));
        assert_eq!(role(&table, "10.1.2.3"), Some("one"));
        assert_eq!(role(&table, "11.0.0.1"), None);
        assert_eq!(role(&table, "fd12::1"), Some("six"));
        assert_eq!(role(&table, "fd00::1"), Some("six-one"));
        assert_eq!(role(&table, "fe80::1"), None);
    }

    #[test]
    fn everything_is_a_network_too_and_families_stay_apart() {
        let table = table(&[("0.0.0.0/0", "four"), ("::/0", "six")]);
        assert_eq!(role(&table, "203.0.113.9"), Some("four"));
        assert_eq!(role(&table, "2001:db8::1"), Some("six"));
        let four = super::tests::table(&[("0.0.0.0/0", "four")]);
        assert_eq!(role(&four, "2001:db8::1"), None);
    }

    #[test]
    fn a_network_holds_its_own_addresses() {
        let network = Network::around_text("172.17.0.1/16").unwrap();
        assert_eq!(network.to_string(), "172.17.0.0/16");
        assert!(network.holds("172.17.255.255".parse().unwrap()));
        assert!(!network.holds("172.18.0.0".parse().unwrap()));
        assert!(!network.holds("::".parse().unwrap()));
        assert_eq!(Network::around_text("172.17.0.1/33"), None);
    }

    #[test]
    fn an_ipv4_network_in_ipv6_form_is_an_ipv4_network() {
        assert_eq!(role(&table(&[("::ffff:10.0.0.0/104", "a")]), "10.2.3.4"), Some("a"));
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_to_write() {
        let refused = |text: &str| text.parse::<Network>().unwrap_err();
        assert_eq!(refused("10.1.2.3/8"), "10.1.2.3/8 has bits set beyond its prefix (write 10.0.0.0/8)");
        for text in
            ["", "10", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "fd00::/129", "localhost", "10.0.0.0/-1"]
        {
            assert!(refused(text).contains("is neither an address nor a network"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_prints_as_it_is_read(address: u32, prefix in 0u8..=32) {
            let network = Network::around(IpAddr::V4(address.into()), prefix);
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }

        #[test]
        fn the_table_finds_what_a_search_of_every_network_finds(
            written in proptest::collection::btree_map((0u32..16, 28u8..=32), 0u8..4, 0..12),
            asked in 0u32..16,
        ) {
            let mut table = Networks::default();
            let mut all = Vec::new();
            for ((address, prefix), role) in written {
                let network = Network::around(IpAddr::V4(address.into()), prefix);
                let grant: Grant = Some(role.to_string().into());
                table.add(network, grant.clone());
                all.retain(|(known, _)| *known != network);
                all.push((network, grant));
            }
            let asked = IpAddr::V4(asked.into());
            let holding = all.iter().filter(|(n, _)| Network::around(asked, n.prefix) == *n);
            let narrowest = holding.max_by_key(|(network, _)| network.prefix).map(|(_, grant)| grant);
            prop_assert_eq!(table.find(asked), narrowest);
        }
    }
}
