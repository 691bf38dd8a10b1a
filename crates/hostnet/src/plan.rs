//! From facts to steps, purely.
//!
//! First what should be there ([`wanted`]), then the difference to what is there (`steps`). Undoing everything is
//! the difference to nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use crate::config::{Bridge, Config, Ipv6, Network};
use crate::error::Error;
use crate::facts::Facts;
use crate::interfaces::Block;
use crate::nft::{Chain, Ruleset};
use crate::step::Step;
use crate::xtables::{Family, FoundRule, Program, Rule};
use crate::{IPV4, IPV6};

/// What the host should have of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) rules: Vec<(Family, Rule)>,
    /// The ARP filter, and the bridges that it lets through. Left out where it cannot be had.
    pub(crate) arp_guard: Option<Vec<Bridge>>,
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
    want_bridges(config, facts, &mut wanted)?;
    if network.guard && network.local {
        wanted.rules.push((Family::V4, guard("169.254.169.254/32")));
        wanted.arp_guard = facts.can_guard_arp.then(|| network.bridges.clone());
    }
    Ok(wanted)
}

/// Where the daemon must listen for what the rules lead to it. Empty with a target.
pub(crate) fn landings(config: &Config, facts: &Facts) -> Vec<SocketAddr> {
    let network = &config.network;
    let mut landings = Vec::new();
    if facts.target.is_some() {
        return landings;
    }
    if network.local {
        landings.extend(config.local_port().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        // With "auto" nobody asked for it by name: a daemon without IPv6 is no reason for a warning.
        let v6 = config.local_port_v6().filter(|_| network.ipv6 == Ipv6::On);
        landings.extend(v6.map(|port| SocketAddr::from((Ipv6Addr::LOCALHOST, port))));
    }
    let bridge_port = config.bridge_port(network.local.then_some(IPV4));
    match bridge_port {
        Some(port) if !network.bridges.is_empty() && network.local => {
            landings.push(SocketAddr::from((IPV4, port)))
        }
        Some(port) if !network.bridges.is_empty() => {
            let named = |interface: &str| network.bridges.iter().any(|bridge| bridge.matches(interface));
            let own =
                facts.addresses.iter().filter(|found| found.address.is_ipv4() && named(&found.interface));
            landings.extend(own.map(|found| SocketAddr::new(found.address, port)));
        }
        _ => {}
    }
    landings
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
/// when it is on `lo`, and no answer comes back (measured). With the address and this rule it works with a default
/// route and without.
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
    let automatic = match config.network.ipv6 {
        Ipv6::Off => return Ok(()),
        Ipv6::On => false,
        Ipv6::Auto => true,
    };
    let missing = match (facts.ipv6_on, facts.ip6tables, facts.target) {
        (_, _, Some(_)) => Some("target leads IPv4 only (set ipv6 = false in [network])"),
        (false, ..) => Some("IPv6 is off on this host (set ipv6 = false in [network], or switch IPv6 on)"),
        (_, None, _) => Some("no ip6tables in /usr/sbin or /sbin (apt install iptables)"),
        _ => None,
    };
    match (missing, config.local_port_v6()) {
        (Some(_), _) | (None, None) if automatic => Ok(()),
        (Some(missing), _) => Err(Error::NoIpv6(missing)),
        (None, None) => Err(Error::NoListener { who: "this host's IPv6 requests", add: "[::1]:8000".into() }),
        (None, Some(port)) => {
            let matches = format!("-d {IPV6}/128 {HTTP}");
            let lead = Rule::ours("nat", "OUTPUT", "local", &matches, &format!("REDIRECT --to-ports {port}"));
            wanted.addresses.push(IpAddr::V6(IPV6));
            wanted.rules.push((Family::V6, lead));
            if config.network.guard {
                wanted.rules.push((Family::V6, guard(&format!("{IPV6}/128"))));
            }
            Ok(())
        }
    }
}

/// Requests from bridges, with the container's source address kept.
fn want_bridges(config: &Config, facts: &Facts, wanted: &mut Wanted) -> Result<(), Error> {
    let network = &config.network;
    if network.bridges.is_empty() {
        return Ok(());
    }
    let port = config.bridge_port(network.local.then_some(IPV4));
    let port = || {
        port.ok_or_else(|| Error::NoListener { who: "the bridges' requests", add: format!("{IPV4}:8000") })
    };
    for bridge in &network.bridges {
        let from = format!("-i {}", bridge.for_iptables());
        let matches = format!("{TO_METADATA} {from} {HTTP}");
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
        if facts.target.is_none() {
            // Under a default-deny policy of iptables' INPUT. Another's chain in nftables is told of in a notice.
            let led = format!("{from} -p tcp -m tcp --dport {} -m conntrack --ctorigdst {IPV4}", port()?);
            wanted.rules.push((Family::V4, Rule::ours("filter", "INPUT", "bridge", &led, "ACCEPT")));
        }
    }
    if network.guard && !network.local && facts.target.is_none() {
        guard_port(network, port()?, wanted);
    }
    Ok(())
}

/// Without the address on `lo` the daemon must listen where bridges reach it, and there neighbours would too: by
/// routing through this host to the bridge's address, or directly if it listens on 0.0.0.0.
fn guard_port(network: &Network, port: u16, wanted: &mut Wanted) {
    let to_port = format!("-p tcp -m tcp --dport {port} -m addrtype --dst-type LOCAL");
    for bridge in &network.bridges {
        let matches = format!("-i {} {to_port}", bridge.for_iptables());
        wanted.rules.push((Family::V4, Rule::ours("raw", "PREROUTING", "bridge", &matches, "ACCEPT")));
    }
    let guard = Rule::ours("raw", "PREROUTING", "guard", &format!("! -i lo {to_port}"), "DROP");
    wanted.rules.push((Family::V4, guard.after_ours()));
}

/// The difference between the addresses and rules that are there and those that should be: additions first, so that
/// nothing is unanswered while a rule changes, and the guard before the address that it guards. `owned` are
/// addresses that are ours by the journal.
pub(crate) fn kernel_steps(facts: &Facts, wanted: &Wanted, owned: &[IpAddr]) -> Vec<Step> {
    let mut steps = Vec::new();
    let arp = arp_step(facts, wanted);
    steps.extend(arp.clone().filter(|step| matches!(step, Step::AddArpGuard { .. })));
    let (kept, missing) = compare_rules(facts, wanted);
    steps.extend(missing);
    let missing = wanted.addresses.iter().filter(|address| facts.address(**address).is_none());
    steps.extend(missing.map(|address| Step::AddAddress { address: *address }));

    for ours in [IpAddr::V4(IPV4), IpAddr::V6(IPV6)] {
        let on_lo = facts.address(ours).filter(|found| found.interface == "lo");
        let is_ours = on_lo.is_some_and(|found| found.marked || owned.contains(&ours));
        if is_ours && !wanted.addresses.contains(&ours) {
            steps.push(Step::DeleteAddress { address: ours });
        }
    }
    let is_extra = |(index, found): &(usize, &FoundRule)| found.rule.tag().is_some() && !kept.contains(index);
    let mut extra: Vec<&FoundRule> =
        facts.rules.iter().enumerate().filter(is_extra).map(|(_, found)| found).collect();
    // The guard goes last, after the address.
    extra.sort_by_key(|found| found.rule.table == "raw");
    steps.extend(
        extra.into_iter().map(|found| Step::DeleteRule { program: found.program, rule: found.rule.clone() }),
    );
    steps.extend(arp.filter(|step| matches!(step, Step::DeleteArpGuard { .. })));
    steps
}

fn arp_step(facts: &Facts, wanted: &Wanted) -> Option<Step> {
    let ruleset = facts.ruleset.as_ref()?;
    match &wanted.arp_guard {
        Some(bridges) if !ruleset.has_arp_guard(bridges) => {
            Some(Step::AddArpGuard { bridges: bridges.clone() })
        }
        None if ruleset.has_arp_table() => Some(Step::DeleteArpGuard { bridges: Vec::new() }),
        _ => None,
    }
}

/// Indices of the rules to keep, and the steps for those that are missing.
fn compare_rules(facts: &Facts, wanted: &Wanted) -> (Vec<usize>, Vec<Step>) {
    let mut rules: Vec<&(Family, Rule)> = wanted.rules.iter().collect();
    rules.sort_by_key(|(_, rule)| rule.table != "raw");
    let (mut kept, mut missing) = (Vec::new(), Vec::new());
    for (family, rule) in rules {
        let Some(program) = facts.program(*family) else { continue };
        match facts.rules.iter().position(|found| found.program == program && found.rule.same(rule)) {
            Some(index) => kept.push(index),
            None => missing.push(Step::AddRule { program, rule: rule.clone() }),
        }
    }
    (kept, missing)
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

/// Chains and tables that iptables-nft made for our rules and would leave behind empty. `before` is what was there
/// before us (see [`existing`]), `used` where rules of ours were.
pub(crate) fn sweep_steps(facts: &Facts, before: &[String], used: &[(Program, Rule)]) -> Vec<Step> {
    let Some(ruleset) = &facts.ruleset else { return Vec::new() };
    let family = |program: Program| if program.family() == Family::V4 { "ip" } else { "ip6" };
    let in_table = |program: Program, rule: &Rule, in_family: &str, table: &str| {
        program.is_nft() && family(program) == in_family && rule.table == table
    };
    let sweep_chain = |chain: &&Chain| {
        let is_here = |program: Program, rule: &Rule| {
            in_table(program, rule, &chain.family, &chain.table) && rule.chain == chain.name
        };
        let is_used = used.iter().any(|(program, rule)| is_here(*program, rule));
        let is_ours = |f: &&FoundRule| is_here(f.program, &f.rule) && f.rule.tag().is_some();
        // nft sees every rule there, iptables only what it could have written.
        let only_ours = facts.rules.iter().filter(is_ours).count() == chain.rules.len();
        is_used && only_ours && chain.policy == "accept" && !before.contains(&chain_name(chain))
    };
    let swept: Vec<&Chain> = ruleset.chains.iter().filter(sweep_chain).collect();
    // A run that was killed may have taken the chains already: a table without any goes too.
    let sweep_table = |(table_family, table): &&(String, String)| {
        let mut chains =
            ruleset.chains.iter().filter(|chain| chain.family == *table_family && chain.table == *table);
        let is_used = used.iter().any(|(program, rule)| in_table(*program, rule, table_family, table));
        is_used
            && !before.contains(&format!("{table_family} {table}"))
            && !ruleset.objects.contains(&(table_family.clone(), table.clone()))
            && chains.all(|chain| swept.contains(&chain))
    };
    let chains = swept.iter().map(|chain| {
        let (family, table) = (chain.family.clone(), chain.table.clone());
        Step::DeleteEmptyChain { family, table, chain: chain.name.clone() }
    });
    let tables = ruleset.tables.iter().filter(sweep_table);
    let tables =
        tables.map(|(family, table)| Step::DeleteEmptyTable { family: family.clone(), table: table.clone() });
    chains.chain(tables).collect()
}

/// The names of the chains and tables that are there now.
pub(crate) fn existing(ruleset: &Ruleset) -> Vec<String> {
    let tables = ruleset.tables.iter().map(|(family, table)| format!("{family} {table}"));
    tables.chain(ruleset.chains.iter().map(chain_name)).collect()
}

fn chain_name(chain: &Chain) -> String {
    format!("{} {} {}", chain.family, chain.table, chain.name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::netlink::HostAddress;

    fn facts() -> Facts {
        Facts { net_admin: true, iptables: Some(Program::IptablesNft), ..Facts::default() }
    }

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("c.toml"), []).unwrap()
    }

    /// The facts after the steps: what a perfect host would show.
    fn after(facts: &Facts, steps: &[Step]) -> Facts {
        let mut facts = facts.clone();
        for step in steps {
            match step {
                Step::AddAddress { address } => facts.addresses.push(HostAddress {
                    interface: "lo".into(),
                    address: *address,
                    prefix: 32,
                    marked: true,
                }),
                Step::DeleteAddress { address } => facts.addresses.retain(|found| found.address != *address),
                Step::AddRule { program, rule } => {
                    facts.rules.push(FoundRule { program: *program, rule: rule.clone() });
                }
                Step::DeleteRule { program, rule } => {
                    let same = |found: &FoundRule| found.program == *program && found.rule.same(rule);
                    let index = facts.rules.iter().position(same).expect("a rule that is there");
                    facts.rules.remove(index);
                }
                other => panic!("{other}"),
            }
        }
        facts
    }

    fn steps_for(config: &Config, facts: &Facts) -> Vec<Step> {
        kernel_steps(facts, &wanted(config, facts).unwrap(), &[])
    }

    #[test]
    fn what_was_applied_needs_nothing_and_can_be_undone() {
        for text in
            ["", "[network]\nbridges = [\"a\", \"b*\"]\n", "[network]\nlocal = false\nbridges = [\"a\"]\n"]
        {
            let (config, facts) = (config(text), facts());
            let done = after(&facts, &steps_for(&config, &facts));
            assert_eq!(steps_for(&config, &done), [], "{text}");
            let undone = after(&done, &kernel_steps(&done, &Wanted::default(), &[]));
            assert!(undone.rules.is_empty() && undone.addresses.is_empty(), "{text}");
        }
    }

    #[test]
    fn every_nat_rule_names_the_address_the_protocol_and_the_port() {
        let facts = Facts { target: Some("10.0.0.2:80".parse().unwrap()), ..facts() };
        for facts in [facts.clone(), Facts { target: None, ..facts }] {
            let wanted = wanted(&config("[network]\nbridges = [\"docker0\"]\n"), &facts).unwrap();
            for (_, rule) in wanted.rules.iter().filter(|(_, rule)| rule.table == "nat") {
                let original = "--ctorigdst 169.254.169.254 --ctorigdstport 80";
                let named =
                    rule.spec.starts_with("-d 169.254.169.254/32 ") && rule.spec.contains("--dport 80 ");
                assert!(rule.spec.contains("-p tcp ") && (named || rule.spec.contains(original)), "{rule}");
                assert!(rule.tag().is_some(), "{rule}");
            }
        }
    }

    #[test]
    fn the_guard_is_up_before_the_address() {
        let steps = steps_for(&config(""), &facts());
        let guard =
            steps.iter().position(|step| matches!(step, Step::AddRule { rule, .. } if rule.table == "raw"));
        let address = steps.iter().position(|step| matches!(step, Step::AddAddress { .. }));
        assert!(guard.unwrap() < address.unwrap());
    }

    #[test]
    fn a_rule_that_is_there_twice_is_deleted_once() {
        let (config, facts) = (config(""), facts());
        let mut doubled = after(&facts, &steps_for(&config, &facts));
        doubled.rules.push(doubled.rules[0].clone());
        let steps = steps_for(&config, &doubled);
        assert!(matches!(steps.as_slice(), [Step::DeleteRule { .. }]), "{steps:?}");
    }

    #[test]
    fn an_unmarked_address_is_ours_only_by_the_journal() {
        let address = IpAddr::V4(IPV4);
        let found = HostAddress { interface: "lo".into(), address, prefix: 32, marked: false };
        let facts = Facts { addresses: vec![found], ..facts() };
        assert_eq!(kernel_steps(&facts, &Wanted::default(), &[]), []);
        let owned = kernel_steps(&facts, &Wanted::default(), &[address]);
        assert_eq!(owned, [Step::DeleteAddress { address }]);
    }

    #[test]
    fn a_new_target_is_led_to_before_the_old_rule_goes() {
        let config = config("[network]\nipv6 = false\ntarget = \"mock\"\n");
        let to = |address: &str| Facts { target: Some(address.parse().unwrap()), ..facts() };
        let old = after(&to("10.0.0.2:80"), &steps_for(&config, &to("10.0.0.2:80")));
        let steps = steps_for(&config, &Facts { target: Some("10.0.0.3:80".parse().unwrap()), ..old });
        let kinds: Vec<bool> = steps.iter().map(|step| matches!(step, Step::AddRule { .. })).collect();
        assert_eq!(kinds, [true, true, false, false], "{steps:?}");
    }

    #[test]
    fn ipv6_is_asked_for_where_it_is_on() {
        let on = Facts { ipv6_on: true, ip6tables: Some(Program::Ip6tablesNft), ..facts() };
        assert!(wanted(&config(""), &on).unwrap().addresses.contains(&IpAddr::V6(IPV6)));
        assert!(
            !wanted(&config("[network]\nipv6 = false\n"), &on).unwrap().addresses.contains(&IpAddr::V6(IPV6))
        );
        assert!(!wanted(&config(""), &facts()).unwrap().addresses.contains(&IpAddr::V6(IPV6)));
        assert!(wanted(&config("[network]\nipv6 = true\n"), &facts()).is_err());
    }
}
