//! Which container has which address, at one moment, as an engine's networks tell. Pure.
//!
//! The networks are asked and not the containers: an engine lists a container's address there from
//! before its first process starts until after its last has ended, and frees an address there before
//! another container can have it. A container on the host's network has no address of its own and is in
//! no table.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::NetworkInspect;

/// A container's id.
pub(super) type Id = String;

/// Addresses to the container that has each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table(HashMap<IpAddr, Vec<Id>>);

impl Table {
    /// What a network's description says.
    pub(super) fn of(network: NetworkInspect) -> Table {
        let mut table = Table::default();
        for (id, endpoint) in network.containers.into_iter().flatten().filter(|(id, _)| is_container(id)) {
            let written = [endpoint.ipv4_address, endpoint.ipv6_address].into_iter().flatten();
            for address in written.filter_map(|text| address(&text)) {
                table.0.entry(address).or_default().push(id.clone());
            }
        }
        table
    }

    /// Adds what another network says.
    pub(super) fn merge(&mut self, other: &Table) {
        for (address, ids) in &other.0 {
            let owners = self.0.entry(*address).or_default();
            for id in ids {
                if !owners.contains(id) {
                    owners.push(id.clone());
                }
            }
        }
    }

    /// The containers with this address. More than one where they share a network namespace, or where
    /// networks that know nothing of each other use the same addresses.
    pub(super) fn owners(&self, address: IpAddr) -> &[Id] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }
}

/// Engines list endpoints of their own beside containers (`ep-...`, `lb-...`), and name containers by 64
/// hex digits.
fn is_container(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `172.17.0.2/16`, or nothing.
fn address(written: &str) -> Option<IpAddr> {
    let address: IpAddr = written.split('/').next()?.parse().ok()?;
    (!address.is_unspecified()).then(|| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use bollard::models::EndpointResource;

    use super::*;

    fn id(letter: char) -> Id {
        letter.to_string().repeat(64)
    }

    fn network(endpoints: &[(&str, &str, &str)]) -> NetworkInspect {
        let endpoint = |four: &str, six: &str| EndpointResource {
            ipv4_address: Some(four.into()),
            ipv6_address: Some(six.into()),
            ..EndpointResource::default()
        };
        let containers = endpoints.iter().map(|(id, four, six)| ((*id).to_owned(), endpoint(four, six)));
        NetworkInspect { containers: Some(containers.collect()), ..NetworkInspect::default() }
    }

    fn owners(table: &Table, address: &str) -> Vec<Id> {
        let mut owners = table.owners(address.parse().unwrap()).to_vec();
        owners.sort();
        owners
    }

    #[test]
    fn every_address_on_every_network() {
        let mut table = Table::default();
        table.merge(&Table::of(network(&[
            (&id('a'), "172.17.0.2/16", ""),
            (&id('b'), "172.17.0.3/16", "fd00::3/64"),
        ])));
        table.merge(&Table::of(network(&[(&id('a'), "172.18.0.2/16", "")])));
        assert_eq!(owners(&table, "172.17.0.2"), [id('a')]);
        assert_eq!(owners(&table, "172.18.0.2"), [id('a')]);
        assert_eq!(owners(&table, "fd00::3"), [id('b')]);
        assert!(owners(&table, "172.17.0.4").is_empty());
    }

    #[test]
    fn no_address_is_nobodys() {
        let mut table = Table::default();
        table.merge(&Table::of(network(&[
            (&id('a'), "", ""),
            (&id('b'), "0.0.0.0/0", "::/0"),
            (&id('c'), "none", "x"),
        ])));
        table.merge(&Table::of(NetworkInspect::default()));
        assert_eq!(table, Table::default());
        assert!(owners(&table, "0.0.0.0").is_empty());
    }

    #[test]
    fn two_containers_may_have_one_address() {
        let mut table = Table::default();
        table.merge(&Table::of(network(&[(&id('a'), "10.0.0.2/24", "")])));
        table.merge(&Table::of(network(&[(&id('b'), "10.0.0.2/24", "")])));
        assert_eq!(owners(&table, "10.0.0.2"), [id('a'), id('b')]);
    }

    #[test]
    fn the_engines_own_endpoints_are_no_containers() {
        let mut table = Table::default();
        table
            .merge(&Table::of(network(&[("ep-1234", "10.0.0.2/24", ""), ("lb-ingress", "10.0.0.3/24", "")])));
        assert_eq!(table, Table::default());
    }
}
