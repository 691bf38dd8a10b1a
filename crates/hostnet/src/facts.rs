//! What is true of this host now. Reading changes nothing.

use std::net::{IpAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::interfaces::{self, Block, EditError};
use crate::listeners::{self, Listener};
use crate::machine::{Cloud, Machine};
use crate::netlink::{HostAddress, HostRoute, Netlink};
use crate::nft::{self, Ruleset};
use crate::xtables::{Family, FoundRule, Program};

/// Tables that can hold rules of ours, or of another that leads the metadata address.
const TABLES: [&str; 3] = ["nat", "raw", "filter"];

/// The host, as a plan needs to know it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// CAP_NET_ADMIN is effective. Without it `rules` is empty: they cannot be listed.
    pub(crate) net_admin: bool,
    pub(crate) addresses: Vec<HostAddress>,
    pub(crate) routes: Vec<HostRoute>,
    /// The program that adds IPv4 rules.
    pub(crate) iptables: Option<Program>,
    /// The program that adds IPv6 rules.
    pub(crate) ip6tables: Option<Program>,
    /// All rules of the tables in question, of every back end, each chain in its order.
    pub(crate) rules: Vec<FoundRule>,
    /// Programs and tables whose rules cannot be listed; none of them is in `rules`.
    pub(crate) unlisted: Vec<(Program, &'static str)>,
    pub(crate) interfaces: Option<InterfacesFile>,
    pub(crate) ipv6_on: bool,
    /// Programs whose INPUT chain drops or rejects what no rule accepts.
    pub(crate) denying_input: Vec<Program>,
    /// nftables as `nft` shows it, where there is one.
    pub(crate) ruleset: Option<Ruleset>,
    /// Our ARP filter could be added.
    pub(crate) can_guard_arp: bool,
    /// The listening sockets on the ports in question, and the daemon's on others.
    pub(crate) listeners: Vec<Listener>,
    pub(crate) cloud: Option<Cloud>,
    /// Where the target's name leads.
    pub(crate) target: Option<SocketAddrV4>,
}

/// `/etc/network/interfaces`.
#[derive(Debug, Clone)]
pub(crate) struct InterfacesFile {
    pub(crate) path: PathBuf,
    pub(crate) block: Result<Block, EditError>,
    /// The line of a stanza that a person wrote for the metadata address.
    pub(crate) mention: Option<usize>,
}

impl Facts {
    /// Reads everything but the target. `calls` is the program that our block in `interfaces` calls, `ports` those
    /// whose listeners matter. What cannot be read is left out and pushed to `errors`.
    pub(crate) fn read(
        netlink: &Netlink,
        interfaces: &Path,
        calls: &str,
        ports: &[u16],
        errors: &mut Vec<Error>,
    ) -> Self {
        let net_admin = has_net_admin();
        let ruleset = if net_admin { Ruleset::read() } else { None };
        let (rules, unlisted) = if net_admin { read_rules(errors) } else { Default::default() };
        let can_guard_arp = ruleset.as_ref().is_some_and(|now| now.has_arp_table() || nft::can_guard_arp());
        Self {
            net_admin,
            addresses: known(netlink.addresses(), errors),
            routes: known(netlink.routes_to(crate::IPV4), errors),
            iptables: Program::active(Family::V4),
            ip6tables: Program::active(Family::V6),
            rules,
            unlisted,
            interfaces: known(read_interfaces(interfaces, calls), errors),
            ipv6_on: ipv6_is_on(),
            denying_input: if net_admin { denying_input() } else { Vec::new() },
            ruleset,
            can_guard_arp,
            listeners: listeners::read(ports),
            cloud: Machine::read().cloud(),
            target: None,
        }
    }

    /// The address as it is on some interface.
    pub(crate) fn address(&self, address: IpAddr) -> Option<&HostAddress> {
        self.addresses.iter().find(|found| found.address == address)
    }

    /// Where requests of this host are led by our rule now, if to another host.
    pub(crate) fn current_target(&self) -> Option<SocketAddrV4> {
        let ours = self.rules.iter().filter(|found| found.rule.tag().is_some() && found.rule.table == "nat");
        let mut led =
            ours.filter_map(|found| found.rule.spec.split_once("--to-destination ")?.1.trim().parse().ok());
        led.find(|address: &SocketAddrV4| *address.ip() != crate::IPV4)
    }

    /// The program that adds rules of a family.
    pub(crate) fn program(&self, family: Family) -> Option<Program> {
        match family {
            Family::V4 => self.iptables,
            Family::V6 => self.ip6tables,
        }
    }
}

/// What was read, or nothing and one error more.
fn known<T: Default>(read: Result<T, Error>, errors: &mut Vec<Error>) -> T {
    read.unwrap_or_else(|error| {
        errors.push(error);
        T::default()
    })
}

/// The rules that can be listed, and the tables that cannot.
fn read_rules(errors: &mut Vec<Error>) -> (Vec<FoundRule>, Vec<(Program, &'static str)>) {
    let (mut rules, mut unlisted) = (Vec::new(), Vec::new());
    for family in [Family::V4, Family::V6] {
        let active = Program::active(family);
        for program in Program::present(family) {
            for table in TABLES {
                let error = match program.list(table) {
                    Ok(listed) => {
                        rules.extend(listed);
                        continue;
                    }
                    Err(error) => error,
                };
                unlisted.push((program, table));
                // A back end that the kernel lacks holds no rules; only the one in use must answer, and of IPv6
                // only where there is IPv6.
                if Some(program) == active && family == Family::V4 {
                    errors.push(error);
                } else {
                    log::debug!("list {table} by {program}: {error}");
                }
            }
        }
    }
    (rules, unlisted)
}

fn denying_input() -> Vec<Program> {
    let programs = Program::present(Family::V4).into_iter();
    programs.filter(|program| program.denies_input().is_ok_and(|denies| denies)).collect()
}

fn read_interfaces(path: &Path, calls: &str) -> Result<Option<InterfacesFile>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { action: "read".into(), target: path.into(), source }),
    };
    let mention = interfaces::first_mention(&text);
    Ok(Some(InterfacesFile { path: path.into(), block: interfaces::inspect(&text, calls), mention }))
}

/// CAP_NET_ADMIN is bit 12 (capability.h); `/proc/self/status` has the effective set in hexadecimal.
fn has_net_admin() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & (1 << 12) != 0)
}

/// IPv6 is compiled in and not switched off on `lo`.
fn ipv6_is_on() -> bool {
    let off = std::fs::read_to_string("/proc/sys/net/ipv6/conf/lo/disable_ipv6");
    off.is_ok_and(|off| off.trim() == "0")
}
