//! Blocks of addresses: parsing, containment, and the blocks that a lone address suggests.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An IPv4 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr4 {
    base: Ipv4Addr,
    bits: u32,
}

impl Cidr4 {
    pub(super) fn parse(text: &str) -> Option<Cidr4> {
        let (base, bits) = text.split_once('/')?;
        let (base, bits) = (base.parse().ok()?, prefix_length(bits, 32)?);
        Some(Cidr4::around(base, bits)).filter(|block| block.base == base)
    }

    /// The block of that size in which an address lies.
    pub(super) fn around(address: Ipv4Addr, bits: u32) -> Cidr4 {
        Cidr4 { base: Ipv4Addr::from(u32::from(address) & mask(bits)), bits }
    }

    pub(super) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.bits) == u32::from(self.base)
    }

    /// Whether all of `inner` lies in this block.
    pub(super) fn holds(self, inner: Cidr4) -> bool {
        self.bits <= inner.bits && self.contains(inner.base)
    }

    /// Whether the two have an address in common.
    pub(super) fn overlaps(self, other: Cidr4) -> bool {
        self.holds(other) || other.holds(self)
    }

    pub(super) fn bits(self) -> u32 {
        self.bits
    }

    /// The blocks of that size in this one, in order; none where it is smaller.
    pub(super) fn parts(self, bits: u32) -> impl Iterator<Item = Cidr4> {
        let count = bits.checked_sub(self.bits).map_or(0, |more| 1u64 << more);
        let size = 1u64 << (32 - bits);
        (0..count).map(move |at| {
            let base = Ipv4Addr::from(u32::from(self.base).wrapping_add((at * size) as u32));
            Cidr4 { base, bits }
        })
    }

    /// The larger block of at most that many bits around this one.
    pub(super) fn widened(self, bits: u32) -> Cidr4 {
        Cidr4::around(self.base, bits.min(self.bits))
    }

    /// An address in the block, as EC2 could have given it: the first four of a subnet are its own. With
    /// `number` others are had, as long as there are any.
    pub(super) fn address(self, number: u32) -> Ipv4Addr {
        let size = 1u64 << (32 - self.bits);
        let first: u64 = if size > 16 { 10 } else { size.min(5) - 1 };
        let offset = (first + u64::from(number)) % size;
        Ipv4Addr::from(u32::from(self.base).wrapping_add(offset as u32))
    }
}

impl std::fmt::Display for Cidr4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

fn mask(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits).unwrap_or(0)
}

/// An IPv6 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr6 {
    base: Ipv6Addr,
    bits: u32,
}

impl Cidr6 {
    pub(super) fn parse(text: &str) -> Option<Cidr6> {
        let (base, bits) = text.split_once('/')?;
        let (base, bits) = (base.parse().ok()?, prefix_length(bits, 128)?);
        Some(Cidr6::around(base, bits)).filter(|block| block.base == base)
    }

    pub(super) fn around(address: Ipv6Addr, bits: u32) -> Cidr6 {
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        Cidr6 { base: Ipv6Addr::from(u128::from(address) & mask), bits }
    }

    pub(super) fn contains(self, address: Ipv6Addr) -> bool {
        Cidr6::around(address, self.bits) == self
    }

    /// Whether all of `inner` lies in this block.
    pub(super) fn holds(self, inner: Cidr6) -> bool {
        self.bits <= inner.bits && self.contains(inner.base)
    }

    /// The larger block of at most that many bits around this one.
    pub(super) fn widened(self, bits: u32) -> Cidr6 {
        Cidr6::around(self.base, bits.min(self.bits))
    }
}

/// Written as the metadata has it, without `::` (`2600:1f18:1:2:0:0:0:0/64`, reference 4.3).
impl std::fmt::Display for Cidr6 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups = self.base.segments().map(|group| format!("{group:x}"));
        write!(f, "{}/{}", groups.join(":"), self.bits)
    }
}

fn prefix_length(text: &str, most: u32) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|bits| plain && *bits <= most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks() {
        let subnet = Cidr4::parse("10.237.0.0/27").unwrap();
        assert!(subnet.contains("10.237.0.16".parse().unwrap()));
        assert!(!subnet.contains("10.237.0.32".parse().unwrap()));
        assert!(Cidr4::parse("10.237.0.0/24").unwrap().holds(subnet));
        assert!(!subnet.holds(Cidr4::parse("10.237.0.0/24").unwrap()));
        assert_eq!(subnet.widened(16).to_string(), "10.237.0.0/16");
        assert_eq!(subnet.address(0).to_string(), "10.237.0.10");
        let parts: Vec<String> = subnet.parts(28).map(|part| part.to_string()).collect();
        assert_eq!(parts, ["10.237.0.0/28", "10.237.0.16/28"]);
        assert_eq!(subnet.parts(26).count(), 0);
        for wrong in ["10.0.0.1/24", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/08", "x/8"] {
            assert_eq!(Cidr4::parse(wrong), None, "{wrong}");
        }
        assert!(Cidr4::parse("0.0.0.0/0").unwrap().contains(Ipv4Addr::BROADCAST));
        let six = Cidr6::parse("2600:1f18:1:2::/64").unwrap();
        assert_eq!(six.to_string(), "2600:1f18:1:2:0:0:0:0/64");
        assert!(six.contains("2600:1f18:1:2::9".parse().unwrap()));
        assert_eq!(Cidr6::parse("2600:1f18:1:2::9/64"), None);
    }

    proptest! {
        #[test]
        fn every_made_address_lies_in_its_block(base: u32, bits in 0u32..=32, number in 0u32..1000) {
            let block = Cidr4::around(base.into(), bits);
            prop_assert!(block.contains(block.address(number)));
            prop_assert_eq!(Cidr4::parse(&block.to_string()), Some(block));
        }

        #[test]
        fn ipv6_blocks_print_what_they_parse(base: u128, bits in 0u32..=128) {
            let block = Cidr6::around(base.into(), bits);
            prop_assert!(block.contains(base.into()));
            prop_assert_eq!(Cidr6::parse(&block.to_string()), Some(block));
        }
    }
}
