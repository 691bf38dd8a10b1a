//! The IPv4 blocks that an interface lies in, those not given chosen so that all of them agree.

use std::net::Ipv4Addr;

use super::Interface;
use crate::instance::cidr::Cidr4;

/// The blocks and address of the default instance: those of a default VPC.
const DEFAULT_VPC: &str = "172.31.0.0/16";
const DEFAULT_SUBNET: &str = "172.31.16.0/20";

/// The IPv4 blocks of an interface.
pub(super) struct Blocks {
    pub(super) subnet: Option<Cidr4>,
    pub(super) vpc: Option<Cidr4>,
    pub(super) vpcs: Vec<String>,
}

impl Blocks {
    /// Fills in the blocks that are not given so that they agree with what is: around the address, around the
    /// subnet, inside the VPC, as the primary interface has them, or those of a default VPC.
    pub(super) fn around(
        subnet: Option<Cidr4>,
        vpc: Option<Cidr4>,
        vpcs: &[Cidr4],
        address: Option<Ipv4Addr>,
        none: bool,
        primary: Option<&Interface>,
    ) -> Blocks {
        let parse = |text: &Option<String>| text.as_deref().and_then(Cidr4::parse);
        let fits = |block: &Cidr4| {
            subnet.is_none_or(|subnet| block.holds(subnet)) && address.is_none_or(|at| block.contains(at))
        };
        let shared = primary.and_then(|primary| parse(&primary.vpc_ipv4_cidr_block));
        let default = Cidr4::parse(DEFAULT_VPC);
        let candidates = [vpcs.first().copied(), shared, default.filter(|_| primary.is_none())];
        let suggested = subnet.map(|subnet| subnet.widened(16)).or(address.map(|at| Cidr4::around(at, 16)));
        let vpc = vpc.or_else(|| {
            let stated = candidates[0];
            stated.or_else(|| candidates.into_iter().flatten().find(fits)).or(suggested)
        });
        let holder =
            vpcs.iter().copied().chain(vpc).find(|block| address.is_none_or(|at| block.contains(at)));
        let subnet = subnet.or_else(|| {
            if none {
                return None;
            }
            let usual = [
                primary.and_then(|primary| parse(&primary.subnet_ipv4_cidr_block)),
                Cidr4::parse(DEFAULT_SUBNET),
            ];
            let inside = |block: &Cidr4| fits(block) && holder.is_none_or(|vpc| vpc.holds(*block));
            usual.into_iter().flatten().find(inside).or_else(|| match (address, holder) {
                (Some(at), holder) => Some(Cidr4::around(at, holder.map_or(20, |vpc| vpc.bits().max(20)))),
                (None, Some(vpc)) => Some(Cidr4::around(vpc.address(0), vpc.bits().max(20))),
                (None, None) => None,
            })
        });
        let mut texts: Vec<String> = vpcs.iter().map(Cidr4::to_string).collect();
        if texts.is_empty() {
            texts.extend(vpc.map(|vpc| vpc.to_string()));
        }
        Blocks { subnet, vpc, vpcs: texts }
    }
}
