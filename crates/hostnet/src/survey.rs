//! One look at the host: facts, what is wanted, the steps between them, and what speaks against them.

use std::net::{IpAddr, SocketAddrV4};

use crate::config::{Config, Ipv6};
use crate::error::Error;
use crate::facts::Facts;
use crate::journal::{Entries, Realm};
use crate::netlink::Netlink;
use crate::plan::{self, Wanted};
use crate::refusals;
use crate::run::Options;
use crate::step::Step;
use crate::xtables::{Program, Rule};
use crate::{IPV4, IPV6};

/// What one look gives.
pub(crate) struct Survey {
    pub(crate) facts: Facts,
    pub(crate) wanted: Wanted,
    pub(crate) steps: Vec<Step>,
    /// Reasons to change nothing without `--force`.
    pub(crate) refusals: Vec<String>,
    pub(crate) notices: Vec<String>,
}

impl Survey {
    /// `targets` are the addresses of the configured target, from [`resolve`].
    pub(crate) fn of(
        config: &Config,
        options: &Options,
        netlink: &Netlink,
        entries: &Entries,
        targets: &[SocketAddrV4],
    ) -> Result<Self, Error> {
        let paths = &options.paths;
        let mut errors = Vec::new();
        let mut facts = Facts::read(netlink, &paths.interfaces, &paths.program, &config.ports(), &mut errors);
        if !facts.net_admin {
            return Err(Error::NotPermitted { action: "change the host network".into() });
        }
        if !errors.is_empty() {
            return Err(Error::Several(errors));
        }
        // A name with several addresses must not move at every look.
        let current = facts.current_target().filter(|current| targets.contains(current));
        facts.target = current.or(targets.first().copied());
        let no_ipv6 = (config.network.ipv6 == Ipv6::Auto).then(|| entries.no_ipv6(&Realm::here())).flatten();
        let mut config = config.clone();
        if no_ipv6.is_some() {
            config.network.ipv6 = Ipv6::Off;
        }
        let config = &config;
        let wanted = plan::wanted(config, &facts)?;
        let mut steps = plan::block_steps(&facts, wanted.block, &paths.program)?;
        let owned = owned(entries);
        steps.extend(plan::kernel_steps(&facts, &wanted, &owned));
        let refusals = refusals::refusals(config, &facts);
        let mut notices = refusals::notices(config, &facts, &owned);
        notices.extend(no_ipv6.map(|why| {
            format!("{IPV6} is left out: {why} (set ipv6 = false in [network], or true to try again)")
        }));
        Ok(Self { facts, wanted, steps, refusals, notices })
    }
}

/// The addresses of the configured target; none when there is no target.
pub(crate) fn resolve(config: &Config) -> Result<Vec<SocketAddrV4>, Error> {
    match &config.network.target {
        Some(target) => Ok(target.resolve()?),
        None => Ok(Vec::new()),
    }
}

/// The addresses that are ours by the journal: added in this boot and namespace, and not taken away since.
pub(crate) fn owned(entries: &Entries) -> Vec<IpAddr> {
    let here = Realm::here();
    let last = |address: IpAddr| {
        entries.steps(&here).rev().find_map(|step| match step {
            Step::AddAddress { address: added } if *added == address => Some(true),
            Step::DeleteAddress { address: deleted } if *deleted == address => Some(false),
            _ => None,
        })
    };
    [IpAddr::V4(IPV4), IpAddr::V6(IPV6)].into_iter().filter(|address| last(*address) == Some(true)).collect()
}

/// Rules of ours that are there, or that the journal says were added here.
pub(crate) fn used(facts: &Facts, entries: &Entries) -> Vec<(Program, Rule)> {
    let here = Realm::here();
    let there = facts.rules.iter().filter(|found| found.rule.tag().is_some());
    let mut used: Vec<(Program, Rule)> = there.map(|found| (found.program, found.rule.clone())).collect();
    used.extend(entries.steps(&here).filter_map(|step| match step {
        Step::AddRule { program, rule } => Some((*program, rule.clone())),
        _ => None,
    }));
    used
}

/// The deletion of rules of ours by the journal, in tables that cannot be listed: another's rule that iptables cannot
/// say (one with a named set) hides the whole table from `iptables -S`, and `iptables -D` still works there.
pub(crate) fn unlisted_steps(facts: &Facts, entries: &Entries) -> Vec<Step> {
    let here = Realm::here();
    let mut deletions: Vec<Step> = Vec::new();
    for step in entries.steps(&here) {
        match step {
            Step::AddRule { program, rule } => {
                deletions.push(Step::DeleteRule { program: *program, rule: rule.clone() });
            }
            Step::DeleteRule { .. } => deletions.retain(|deletion| deletion != step),
            _ => {}
        }
    }
    deletions.retain(|deletion| match deletion {
        Step::DeleteRule { program, rule } => facts.unlisted.contains(&(*program, rule.table.as_str())),
        _ => false,
    });
    deletions
}

/// What iptables-nft made for our rules. None when it is not known what was there before.
pub(crate) fn sweep_steps(facts: &Facts, entries: &Entries) -> Vec<Step> {
    match entries.before(&Realm::here()) {
        Some(before) => plan::sweep_steps(facts, before, &used(facts, entries)),
        None => Vec::new(),
    }
}

/// What of ours is there, for a person.
pub(crate) fn present(facts: &Facts, owned: &[IpAddr]) -> Vec<String> {
    let is_ours = |address: &&crate::netlink::HostAddress| {
        address.interface == "lo" && (address.marked || owned.contains(&address.address))
    };
    let mut lines: Vec<String> =
        facts.addresses.iter().filter(is_ours).map(|found| format!("{} on lo", found.address)).collect();
    let rules = facts.rules.iter().filter(|found| found.rule.tag().is_some());
    lines.extend(rules.map(|found| format!("{} {}", found.program, found.rule)));
    if facts.ruleset.as_ref().is_some_and(crate::nft::Ruleset::has_arp_table) {
        lines.push("nftables table arp fake-metadata".to_owned());
    }
    if let Some(file) = &facts.interfaces
        && matches!(file.block, Ok(crate::interfaces::Block::Present | crate::interfaces::Block::Stale))
    {
        lines.push(format!("block in {}", file.path.display()));
    }
    lines
}

/// Whose requests lead where once everything wanted is there.
pub(crate) fn leads(config: &Config, facts: &Facts, wanted: &Wanted) -> Vec<String> {
    let network = &config.network;
    let to = |port: Option<u16>, host: &str| match facts.target {
        Some(target) => target.to_string(),
        None => format!("{host}:{}", port.unwrap_or_default()),
    };
    let mut leads = Vec::new();
    if network.local {
        leads.push(format!("{IPV4}:80 leads to {}", to(config.local_port(), "127.0.0.1")));
    }
    if wanted.addresses.contains(&IpAddr::V6(IPV6)) {
        leads.push(format!("[{IPV6}]:80 leads to {}", to(config.local_port_v6(), "[::1]")));
    }
    let landing = if network.local { IPV4.to_string() } else { "its own address".to_owned() };
    let port = config.bridge_port(network.local.then_some(IPV4));
    let bridges = network.bridges.iter();
    leads.extend(bridges.map(|bridge| format!("{IPV4}:80 from {bridge} leads to {}", to(port, &landing))));
    leads
}
