//! From facts to steps, purely.
//!
//! First what should be there ([`wanted`]), then the difference to what is there ([`steps`]). Undoing everything is
//! the difference to nothing.

use std::net::{IpAddr, SocketAddrV4};

use crate::config::{Config, Ipv6};
use crate::error::Error;
use crate::facts::Facts;
use crate::interfaces::Block;
use crate::step::Step;
use crate::xtables::{Family, Rule};
use crate::{IPV4, IPV6};

/// What the host should have of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) rules: Vec<(Family, Rule)>,
    /// The block in `/etc/network/interfaces`, where there is a place for it.
    pub(crate) block: bool,
}

/// What a configuration asks for on this host.
pub(crate) fn wanted(config: &Config, facts: &Facts) -> Result<Wanted, Error> {
    let network = &config.network;
    let mut wanted = Wanted { block: network.ifupdown, ..Wanted::default() };
    if facts.iptables.is_none() {
        return Err(Error::NoIptables);
    }
    if network.local {
        wanted.addresses.push(IpAddr::V4(IPV4));
        wanted.rules.push((Family::V4, local_rule(config, facts.target)?));
        want_ipv6(config, facts, &mut wanted)?;
    }
    if let Some(target) = facts.target {
        wanted.rules.push((Family::V4, masquerade(target)));
    }
    bridges(config, facts, &mut wanted)?;
    if network.guard && network.local {
        wanted.rules.push((Family::V4, guard("169.254.169.254/32")));
    }
    Ok(wanted)
}

const TO_METADATA: &str = "-d 169.254.169.254/32";
const HTTP: &str = "-p tcp -m tcp --dport 80";

/// Local requests. REDIRECT in OUTPUT goes to 127.0.0.1 (measured).
fn local_rule(config: &Config, target: Option<SocketAddrV4>) -> Result<Rule, Error> {
    let matches = format!("{TO_METADATA} {HTTP}");
    if let Some(target) = target {
        return Ok(Rule::ours(
            "nat",
            "OUTPUT",
            "local",
            &matches,
            &format!("DNAT --to-destination {target}"),
        ));
    }
    let none =
        || Error::NoListener { who: "this host's requests", add: crate::config::DEFAULT_LISTEN.to_string() };
    let port = config.local_port().ok_or_else(none)?;
    Ok(Rule::ours("nat", "OUTPUT", "local", &matches, &format!("REDIRECT --to-ports {port}")))
}

/// Without it a rewritten packet keeps the source that was picked for 169.254.169.254, which is that address itself
/// when it is on `lo`, and no answer comes back (measured).
fn masquerade(target: SocketAddrV4) -> Rule {
    let original = "-m conntrack --ctstate DNAT --ctorigdst 169.254.169.254 --ctorigdstport 80";
    let matches = format!("-d {}/32 ! -o lo -p tcp -m tcp --dport {} {original}", target.ip(), target.port());
    Rule::ours("nat", "POSTROUTING", "source", &matches, "MASQUERADE")
}

/// `raw` PREROUTING: before connection tracking, before NAT and before any filter rule of another.
fn guard(to: &str) -> Rule {
    Rule::ours("raw", "PREROUTING", "guard", &format!("-d {to} ! -i lo"), "DROP").after_ours()
}

fn want_ipv6(config: &Config, facts: &Facts, wanted: &mut Wanted) -> Result<(), Error> {
    let port = config.local_port_v6();
    let has = facts.ipv6_on && facts.ip6tables.is_some() && port.is_some() && facts.target.is_none();
    match config.network.ipv6 {
        Ipv6::Off => return Ok(()),
        Ipv6::Auto if !has => return Ok(()),
        Ipv6::Auto | Ipv6::On => {}
    }
    if facts.target.is_some() {
        return Err(Error::NoIpv6("target leads IPv4 only (set ipv6 = false in [network])"));
    }
    if !facts.ipv6_on {
        return Err(Error::NoIpv6(
            "IPv6 is off on this host (set ipv6 = false in [network], or switch IPv6 on)",
        ));
    }
    if facts.ip6tables.is_none() {
        return Err(Error::NoIpv6("no ip6tables in /usr/sbin or /sbin (apt install iptables)"));
    }
    let none = || Error::NoListener { who: "this host's IPv6 requests", add: "[::1]:8000".into() };
    let port = port.ok_or_else(none)?;
    let matches = format!("-d fd00:ec2::254/128 {HTTP}");
    wanted.addresses.push(IpAddr::V6(IPV6));
    wanted.rules.push((
        Family::V6,
        Rule::ours("nat", "OUTPUT", "local", &matches, &format!("REDIRECT --to-ports {port}")),
    ));
    if config.network.guard {
        wanted.rules.push((Family::V6, guard("fd00:ec2::254/128")));
    }
    Ok(())
}

/// Requests from bridges, with the container's source address kept.
fn bridges(config: &Config, facts: &Facts, wanted: &mut Wanted) -> Result<(), Error> {
    let network = &config.network;
    if network.bridges.is_empty() {
        return Ok(());
    }
    let port = config.bridge_port(network.local.then_some(IPV4));
    let port = || port.ok_or(Error::NoListener { who: "the bridges' requests", add: format!("{IPV4}:8000") });
    for bridge in &network.bridges {
        let matches = format!("{TO_METADATA} -i {} {HTTP}", bridge.for_iptables());
        let lead = match (facts.target, network.local) {
            (Some(target), _) => format!("DNAT --to-destination {target}"),
            // The address on lo makes the host accept it from any interface (measured).
            (None, true) => format!("DNAT --to-destination {IPV4}:{}", port()?),
            // Without it: the bridge's own address.
            (None, false) => format!("REDIRECT --to-ports {}", port()?),
        };
        wanted.rules.push((Family::V4, Rule::ours("nat", "PREROUTING", "bridge", &matches, &lead)));
        if network.guard && network.local {
            wanted.rules.push((Family::V4, Rule::ours("raw", "PREROUTING", "bridge", &matches, "ACCEPT")));
        }
    }
    Ok(())
}

/// The difference between the addresses and rules that are there and those that should be: additions first, so that
/// nothing is unanswered while a rule changes, and the guard before the address that it guards. `owned` are
/// addresses that are ours by the journal.
pub(crate) fn kernel_steps(facts: &Facts, wanted: &Wanted, owned: &[IpAddr]) -> Vec<Step> {
    let mut steps = Vec::new();
    let guards_first = |(_, rule): &&(Family, Rule)| rule.table != "raw";
    let mut rules: Vec<&(Family, Rule)> = wanted.rules.iter().collect();
    rules.sort_by_key(guards_first);
    let mut kept = Vec::new();
    for (family, rule) in rules {
        let Some(program) = facts.program(*family) else { continue };
        let is_there = |found: &&crate::xtables::FoundRule| found.program == program && found.rule.same(rule);
        match facts.rules.iter().position(|found| is_there(&found)) {
            Some(index) => kept.push(index),
            None => steps.push(Step::AddRule { program, rule: rule.clone() }),
        }
    }
    let missing = wanted.addresses.iter().filter(|address| facts.address(**address).is_none());
    steps.extend(missing.map(|address| Step::AddAddress { address: *address }));

    for ours in [IpAddr::V4(IPV4), IpAddr::V6(IPV6)] {
        let on_lo = facts.address(ours).filter(|found| found.interface == "lo");
        let is_ours = on_lo.is_some_and(|found| found.marked || owned.contains(&ours));
        if is_ours && !wanted.addresses.contains(&ours) {
            steps.push(Step::DeleteAddress { address: ours });
        }
    }
    let extra = facts
        .rules
        .iter()
        .enumerate()
        .filter(|(index, found)| found.rule.tag().is_some() && !kept.contains(index));
    let mut extra: Vec<_> = extra.map(|(_, found)| found.clone()).collect();
    // The guard goes last, after the address.
    extra.sort_by_key(|found| found.rule.table == "raw");
    steps
        .extend(extra.into_iter().map(|found| Step::DeleteRule { program: found.program, rule: found.rule }));
    steps
}

/// The same for our block in `/etc/network/interfaces`; `calls` is the program in it.
pub(crate) fn block_steps(facts: &Facts, wanted: bool, calls: &str) -> Result<Vec<Step>, Error> {
    let Some(file) = &facts.interfaces else { return Ok(Vec::new()) };
    let (path, calls) = (file.path.clone(), calls.to_owned());
    let block = file.block.clone().map_err(|cause| Error::Edit { file: path.clone(), cause })?;
    Ok(match (wanted, block) {
        (true, Block::Absent | Block::Stale) => vec![Step::InsertBlock { file: path, calls }],
        (false, Block::Present | Block::Stale) => vec![Step::RemoveBlock { file: path, calls }],
        _ => Vec::new(),
    })
}
