//! One interface: what is given checked, what is not given made to agree.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::blocks::Blocks;
use super::{Interface, Numbered, Owner, hostname};
use crate::instance::cidr::{Cidr4, Cidr6};
use crate::instance::place;
use crate::instance::spec::ListOrText;
use crate::instance::value::{self, Checked, always, lines, optional, refuse};

/// Public address to the private ones behind it.
type Associations = BTreeMap<String, Vec<String>>;

/// One interface being completed.
pub(super) struct Completion<'a> {
    pub(super) entry: &'a Numbered,
    pub(super) owner: &'a Owner<'a>,
    /// The interfaces that are complete already, the primary one first.
    pub(super) others: &'a [Interface],
    /// The private addresses that the specification gives to any interface.
    pub(super) stated: &'a [Ipv4Addr],
}

impl Completion<'_> {
    fn key(&self, leaf: &str) -> String {
        self.entry.key_of(leaf)
    }

    pub(super) fn interface(&self) -> Checked<Interface> {
        let (spec, owner) = (&self.entry.spec, self.owner);
        let device = self.entry.device.to_string();
        let card = self.entry.card.map(|card| card.to_string());
        let seed = [owner.instance_id, card.as_deref().unwrap_or("0"), &device];
        let mac = match spec.mac.as_deref() {
            Some(mac) => value::mac(&self.key("mac"), mac)?,
            None => value::made_up_mac(&seed),
        };
        let interface_id = value::made_up_id("eni", &seed);
        let place = [owner.account_id, owner.region];
        let usual_vpc = match self.twin().or(self.others.first()) {
            Some(other) => other.vpc_id.clone(),
            None => value::made_up_id("vpc", &place),
        };
        let vpc_id = self.always("vpc-id", &spec.vpc_id, usual_vpc)?;
        let kin: Vec<&Interface> = self.others.iter().filter(|other| other.vpc_id == vpc_id).collect();
        let (local_ipv4s, blocks) = self.ipv4(&kin)?;
        let (ipv6s, subnet_ipv6, vpc_ipv6) = self.ipv6(&kin)?;
        let (public_ipv4s, ipv4_associations) = self.public(&local_ipv4s)?;
        let public_hostname = match spec.public_hostname.as_deref() {
            Some(name) => optional(&self.key("public-hostname"), Some(name))?,
            None => public_ipv4s.first().map(|public| place::public_hostname(public, owner.region)),
        };
        let local_hostname = match spec.local_hostname.as_deref() {
            Some(name) => optional(&self.key("local-hostname"), Some(name))?,
            None => Some(hostname(owner, local_ipv4s.first())),
        };
        let (security_groups, security_group_ids) = self.security_groups()?;
        let subnet = blocks.subnet.map(|block| block.to_string());
        let in_it = |other: &&&Interface| {
            other.subnet_ipv4_cidr_block == subnet
                && (subnet.is_some() || other.subnet_ipv6_cidr_blocks == subnet_ipv6)
        };
        let usual_subnet = match kin.iter().find(in_it) {
            Some(other) => other.subnet_id.clone(),
            None if self.others.is_empty() => value::made_up_id("subnet", &place),
            None => {
                let block = subnet.clone().unwrap_or_else(|| subnet_ipv6.join(" "));
                value::made_up_id("subnet", &[place[0], place[1], &vpc_id, &block])
            }
        };
        Ok(Interface {
            interface_id: self.always("interface-id", &spec.interface_id, interface_id)?,
            subnet_id: self.always("subnet-id", &spec.subnet_id, usual_subnet)?,
            vpc_id,
            owner_id: match &spec.owner_id {
                Some(id) => value::account(&self.key("owner-id"), id.clone())?,
                None => owner.account_id.to_owned(),
            },
            ipv4_prefix: self.blocks4("ipv4-prefix", &spec.ipv4_prefix)?,
            ipv6_prefix: self.blocks6("ipv6-prefix", &spec.ipv6_prefix)?,
            subnet_ipv4_cidr_block: subnet,
            vpc_ipv4_cidr_block: blocks.vpc.map(|block| block.to_string()),
            vpc_ipv4_cidr_blocks: blocks.vpcs,
            subnet_ipv6_cidr_blocks: subnet_ipv6,
            vpc_ipv6_cidr_blocks: vpc_ipv6,
            device_number: device,
            network_card: card,
            ipv4_associations,
            ipv6s,
            local_hostname,
            local_ipv4s,
            mac,
            public_hostname,
            public_ipv4s,
            security_group_ids,
            security_groups,
        })
    }

    fn always(&self, leaf: &str, value: &Option<String>, default: String) -> Checked<String> {
        always(&self.key(leaf), value.as_deref(), default)
    }

    fn security_groups(&self) -> Checked<(Vec<String>, Vec<String>)> {
        let spec = &self.entry.spec;
        let names = match (&spec.security_groups, self.others.first()) {
            (Some(names), _) => lines(&self.key("security-groups"), Some(names))?,
            (None, Some(primary)) if spec.security_group_ids.is_none() => primary.security_groups.clone(),
            (None, _) => vec!["default".to_owned()],
        };
        let ids = match (&spec.security_group_ids, self.others.first()) {
            (Some(ids), _) => lines(&self.key("security-group-ids"), Some(ids))?,
            (None, Some(primary)) if spec.security_groups.is_none() => primary.security_group_ids.clone(),
            (None, _) => {
                let place = [self.owner.account_id, self.owner.region];
                names.iter().map(|name| value::made_up_id("sg", &[place[0], place[1], name])).collect()
            }
        };
        Ok((names, ids))
    }

    /// The interface that is in the subnet that this one is said to be in.
    fn twin(&self) -> Option<&Interface> {
        let subnet = self.entry.spec.subnet_id.as_ref()?;
        self.others.iter().find(|other| other.subnet_id == *subnet)
    }

    /// The private addresses, and the blocks they lie in. `kin` are the interfaces in the same VPC.
    fn ipv4(&self, kin: &[&Interface]) -> Checked<(Vec<String>, Blocks)> {
        let spec = &self.entry.spec;
        let mut vpc = self.block4("vpc-ipv4-cidr-block", &spec.vpc_ipv4_cidr_block)?;
        let given = match &spec.local_ipv4s {
            Some(list) => Some(self.addresses("local-ipv4s", list)?),
            // In an IPv6-only subnet nothing else would be left to say.
            None if spec.subnet_ipv4_cidr_block.as_deref() == Some("") => Some(Vec::new()),
            None => None,
        };
        let first = given.as_ref().and_then(|addresses| addresses.first().copied());
        let none = given.as_ref().is_some_and(Vec::is_empty);
        let subnet = self.subnet4(kin, first, none)?;
        let vpcs = match (&spec.vpc_ipv4_cidr_blocks, vpc, kin.first()) {
            (Some(list), ..) => self.parsed("vpc-ipv4-cidr-blocks", list, Cidr4::parse)?,
            (None, Some(vpc), _) => vec![vpc],
            (None, None, Some(sibling)) => {
                vpc = sibling.vpc_ipv4_cidr_block.as_deref().and_then(Cidr4::parse);
                let shared = sibling.vpc_ipv4_cidr_blocks.iter().filter_map(|text| Cidr4::parse(text));
                with_room(shared.collect(), subnet, first)
            }
            (None, None, None) => Vec::new(),
        };
        let blocks = Blocks::around(subnet, vpc, &vpcs, first, none, kin.first().copied());
        self.check_blocks(&blocks, &vpcs)?;
        let addresses =
            given.unwrap_or_else(|| blocks.subnet.and_then(|subnet| self.free(subnet)).into_iter().collect());
        if let Some(subnet) = blocks.subnet
            && let Some(stray) = addresses.iter().find(|address| !subnet.contains(**address))
        {
            let message = format!(
                "{stray} is not in the subnet {subnet}; change it, or subnet-ipv4-cidr-block, or leave one out"
            );
            return refuse(self.key("local-ipv4s"), message);
        }
        Ok((addresses.iter().map(Ipv4Addr::to_string).collect(), blocks))
    }

    /// The subnet's IPv4 block as it is given, here or by another interface in that subnet; for another subnet of
    /// the same VPC, one that overlaps none. `None` leaves it to be found with the VPC's.
    fn subnet4(&self, kin: &[&Interface], address: Option<Ipv4Addr>, none: bool) -> Checked<Option<Cidr4>> {
        let spec = &self.entry.spec;
        let given = self.block4("subnet-ipv4-cidr-block", &spec.subnet_ipv4_cidr_block)?;
        let block_of = |other: &Interface| other.subnet_ipv4_cidr_block.as_deref().and_then(Cidr4::parse);
        if let Some(twin) = self.twin() {
            return match (given, block_of(twin)) {
                (Some(own), Some(other)) if own != other => {
                    let message = format!(
                        "{own} is not that of {}, which has {other} on interface {}; change one of them, or \
                         subnet-id",
                        twin.subnet_id, twin.interface_id
                    );
                    refuse(self.key("subnet-ipv4-cidr-block"), message)
                }
                (own, other) => Ok(own.or(other.filter(|_| !none))),
            };
        }
        if given.is_some() || none || spec.subnet_id.is_none() {
            return Ok(given);
        }
        let taken: Vec<Cidr4> = kin.iter().filter_map(|other| block_of(other)).collect();
        let free = |block: &Cidr4| !taken.iter().any(|other| other.overlaps(*block));
        let told = self.block4("vpc-ipv4-cidr-block", &spec.vpc_ipv4_cidr_block)?;
        let shared = || kin.first()?.vpc_ipv4_cidr_block.as_deref().and_then(Cidr4::parse);
        Ok(match (address, told.or_else(shared)) {
            _ if taken.is_empty() => None,
            (Some(at), _) => (20..=28).map(|bits| Cidr4::around(at, bits)).find(free),
            (None, Some(vpc)) => vpc.parts(vpc.bits().max(20)).find(free),
            (None, None) => None,
        })
    }

    /// An address of the subnet that no other interface has or will have.
    fn free(&self, subnet: Cidr4) -> Option<Ipv4Addr> {
        let taken = |address: &Ipv4Addr| {
            let text = address.to_string();
            self.stated.contains(address) || self.others.iter().any(|other| other.local_ipv4s.contains(&text))
        };
        (0..256).map(|number| subnet.address(number)).find(|address| !taken(address))
    }

    fn check_blocks(&self, blocks: &Blocks, vpcs: &[Cidr4]) -> Checked<()> {
        if let Some(vpc) = blocks.vpc
            && !vpcs.is_empty()
            && !vpcs.contains(&vpc)
        {
            let message = format!("{vpc} is not one of vpc-ipv4-cidr-blocks; add it there");
            return refuse(self.key("vpc-ipv4-cidr-block"), message);
        }
        let holders: Vec<Cidr4> = vpcs.iter().copied().chain(blocks.vpc).collect();
        if let Some(subnet) = blocks.subnet
            && !holders.is_empty()
            && !holders.iter().any(|vpc| vpc.holds(subnet))
        {
            let message = format!(
                "{subnet} is in no block of the VPC; add that to vpc-ipv4-cidr-blocks, or leave one out"
            );
            return refuse(self.key("subnet-ipv4-cidr-block"), message);
        }
        Ok(())
    }

    /// IPv6 addresses, and the blocks of subnet and VPC.
    fn ipv6(&self, kin: &[&Interface]) -> Checked<(Vec<String>, Vec<String>, Vec<String>)> {
        let spec = &self.entry.spec;
        let texts: Vec<&String> = spec.ipv6s.iter().flatten().filter(|text| !text.is_empty()).collect();
        let key = self.key("ipv6s");
        let addresses = texts.iter().map(|text| value::ipv6(&key, text)).collect::<Checked<Vec<_>>>()?;
        let subnets = match (&spec.subnet_ipv6_cidr_blocks, addresses.first()) {
            (Some(_), _) => self.blocks6("subnet-ipv6-cidr-blocks", &spec.subnet_ipv6_cidr_blocks)?,
            (None, Some(first)) => vec![Cidr6::around(*first, 64).to_string()],
            (None, None) => Vec::new(),
        };
        let vpcs = match &spec.vpc_ipv6_cidr_blocks {
            Some(_) => self.blocks6("vpc-ipv6-cidr-blocks", &spec.vpc_ipv6_cidr_blocks)?,
            None => {
                let shared = kin.first().map(|sibling| sibling.vpc_ipv6_cidr_blocks.clone());
                let mut vpcs = shared.unwrap_or_default();
                let subnet = subnets.first().and_then(|text| Cidr6::parse(text));
                let holds = |text: &String, subnet| Cidr6::parse(text).is_some_and(|vpc| vpc.holds(subnet));
                if let Some(subnet) = subnet.filter(|subnet| !vpcs.iter().any(|text| holds(text, *subnet))) {
                    vpcs.push(subnet.widened(56).to_string());
                }
                vpcs
            }
        };
        let blocks: Vec<Cidr6> = subnets.iter().filter_map(|text| Cidr6::parse(text)).collect();
        let inside = |address: &_| blocks.is_empty() || blocks.iter().any(|block| block.contains(*address));
        if let Some(stray) = addresses.iter().find(|address| !inside(address)) {
            return refuse(key, format!("{stray} is in none of subnet-ipv6-cidr-blocks {subnets:?}"));
        }
        Ok((texts.into_iter().cloned().collect(), subnets, vpcs))
    }

    /// Public addresses, and which private ones they stand for.
    fn public(&self, local: &[String]) -> Checked<(Vec<String>, Associations)> {
        let spec = &self.entry.spec;
        let key = self.key("ipv4-associations");
        let public: Vec<String> = match (&spec.public_ipv4s, &spec.ipv4_associations) {
            (Some(list), _) => {
                let addresses = self.addresses("public-ipv4s", list)?;
                addresses.iter().map(Ipv4Addr::to_string).collect()
            }
            (None, Some(associations)) => associations.keys().cloned().collect(),
            (None, None) => Vec::new(),
        };
        let associations: Associations = match &spec.ipv4_associations {
            Some(given) => {
                given.iter().map(|(public, ListOrText(private))| (public.clone(), private.clone())).collect()
            }
            None if public.len() > local.len() => {
                let message = "there are more public addresses than private ones; say in ipv4-associations \
                               which belong together";
                return refuse(self.key("public-ipv4s"), message);
            }
            None => {
                let pairs = public.iter().zip(local);
                pairs.map(|(public, private)| (public.clone(), vec![private.clone()])).collect()
            }
        };
        for (address, private) in &associations {
            value::ipv4(&key, address)?;
            if !public.contains(address) {
                return refuse(key, format!("{address} is not one of public-ipv4s; add it there"));
            }
            if let Some(stray) = private.iter().find(|private| !local.contains(private)) {
                return refuse(key, format!("{stray} is not one of local-ipv4s; add it there"));
            }
        }
        Ok((public, associations))
    }

    fn addresses(&self, leaf: &str, list: &[String]) -> Checked<Vec<Ipv4Addr>> {
        let key = self.key(leaf);
        let given = list.iter().filter(|text| !text.is_empty());
        given.map(|text| value::ipv4(&key, text)).collect()
    }

    fn block4(&self, leaf: &str, value: &Option<String>) -> Checked<Option<Cidr4>> {
        let given = value.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>();
        Ok(self.parsed(leaf, &given, Cidr4::parse)?.first().copied())
    }

    fn blocks4(&self, leaf: &str, list: &Option<Vec<String>>) -> Checked<Vec<String>> {
        self.parsed(leaf, list.as_deref().unwrap_or_default(), Cidr4::parse)?;
        Ok(list.clone().unwrap_or_default())
    }

    /// Blocks as they were written: EC2 shows some IPv6 blocks without `::`, and others may differ.
    fn blocks6(&self, leaf: &str, list: &Option<Vec<String>>) -> Checked<Vec<String>> {
        self.parsed(leaf, list.as_deref().unwrap_or_default(), Cidr6::parse)?;
        Ok(list.clone().unwrap_or_default())
    }

    fn parsed<T>(&self, leaf: &str, list: &[String], parse: fn(&str) -> Option<T>) -> Checked<Vec<T>> {
        let block = |text: &String| match parse(text) {
            Some(block) => Ok(block),
            None => refuse(
                self.key(leaf),
                format!(
                    "{text:?} is not a block such as 10.0.1.0/24 (an address followed by /bits, no bit set after them)"
                ),
            ),
        };
        list.iter().map(block).collect()
    }
}

/// The blocks of a VPC, and another one where none of them has room for the subnet or the address.
fn with_room(mut vpcs: Vec<Cidr4>, subnet: Option<Cidr4>, address: Option<Ipv4Addr>) -> Vec<Cidr4> {
    let inside = |vpc: &Cidr4| match (subnet, address) {
        (Some(subnet), _) => vpc.holds(subnet),
        (None, Some(address)) => vpc.contains(address),
        (None, None) => true,
    };
    if !vpcs.iter().any(inside) {
        let widest = (16..=28).filter_map(|bits| match (subnet, address) {
            (Some(subnet), _) => Some(subnet.widened(bits)),
            (None, address) => address.map(|address| Cidr4::around(address, bits)),
        });
        let apart = |block: &Cidr4| !vpcs.iter().any(|vpc| vpc.overlaps(*block));
        vpcs.extend(widest.filter(apart).take(1).collect::<Vec<_>>());
    }
    vpcs
}
