//! Whose 169.254.169.254 is it? Reasons not to touch this host, and things to know; pure.
//!
//! Each is one line: what was found, and what to do.

use std::net::{IpAddr, SocketAddr};

use crate::IPV4;
use crate::config::Config;
use crate::facts::Facts;
use crate::listeners::Owner;
use crate::machine::Cloud;
use crate::plan;

const OR_FORCE: &str = "or go on with --force";

/// Reasons to change nothing without `--force`. `owned` says whether the address on `lo` is ours.
pub(crate) fn refusals(config: &Config, facts: &Facts) -> Vec<String> {
    let mut reasons = Vec::new();
    if config.network.local {
        reasons.extend(real_instance(facts));
        reasons.extend(address_elsewhere(facts));
        reasons.extend(routed_elsewhere(facts));
        reasons.extend(served_here(facts));
    }
    reasons.extend(led_elsewhere(config, facts));
    reasons.extend(port_taken(config, facts));
    reasons
}

fn real_instance(facts: &Facts) -> Option<String> {
    (facts.cloud == Some(Cloud::Ec2)).then(|| {
        format!(
            "lead {IPV4}: this is a real EC2 instance, whose own metadata service would be cut off \
             (set local = false in [network] to lead containers only, {OR_FORCE})"
        )
    })
}

fn address_elsewhere(facts: &Facts) -> Option<String> {
    let found = facts.address(IpAddr::V4(IPV4)).filter(|found| found.interface != "lo")?;
    let interface = &found.interface;
    Some(format!(
        "lead {IPV4}: {interface} has that address already, perhaps for another mock \
         (ip addr del {IPV4}/{} dev {interface}, {OR_FORCE})",
        found.prefix
    ))
}

fn routed_elsewhere(facts: &Facts) -> Option<String> {
    let route = facts.routes.first()?;
    let via = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    let interface = &route.interface;
    Some(format!(
        "lead {IPV4}: it is routed{via} through {interface} already, as a cloud's metadata service is \
         (ip route del {}/{} dev {interface}, {OR_FORCE})",
        route.network, route.prefix
    ))
}

fn served_here(facts: &Facts) -> Option<String> {
    let taken = SocketAddr::new(IpAddr::V4(IPV4), 80);
    let found = facts.listeners.iter().find(|listener| listener.address == taken)?;
    match &found.owner {
        Owner::Daemon => None,
        Owner::Other(who) => Some(format!("lead {IPV4}: {who} serves {taken} already (stop it, {OR_FORCE})")),
    }
}

/// Another's NAT rule for the address. On a host of containers only those of packets that come in concern us.
fn led_elsewhere(config: &Config, facts: &Facts) -> Option<String> {
    let needle = IPV4.to_string();
    let concerns = |chain: &str| config.network.local || chain != "OUTPUT";
    let rule = facts.rules.iter().find(|found| {
        let rule = &found.rule;
        rule.table == "nat" && rule.tag().is_none() && rule.spec.contains(&needle) && concerns(&rule.chain)
    });
    if let Some(found) = rule {
        let (program, rule) = (found.program, &found.rule);
        return Some(format!(
            "lead {IPV4}: another's rule does so already: {program} {rule} \
             ({program} -t nat -D {} {}, {OR_FORCE} to go before it)",
            rule.chain, rule.spec
        ));
    }
    let chains = facts.ruleset.iter().flat_map(|ruleset| &ruleset.chains);
    let mut native = chains.filter(|chain| !chain.is_iptables() && chain.kind == "nat");
    let chain = native.find(|chain| chain.rules.iter().any(|rule| rule.to_string().contains(&needle)))?;
    let place = format!("{} {} {}", chain.family, chain.table, chain.name);
    Some(format!(
        "lead {IPV4}: a rule of the nftables chain {place} does so already \
         (find it with nft -a list chain {place}, {OR_FORCE})"
    ))
}

fn port_taken(config: &Config, facts: &Facts) -> Option<String> {
    let landings = plan::landings(config, facts);
    landings.into_iter().find_map(|landing| {
        let found = facts.listeners.iter().find(|listener| listener.takes(landing))?;
        let Owner::Other(who) = &found.owner else { return None };
        Some(format!(
            "lead {IPV4} to {landing}: {who} listens there, not fake-metadata \
             (stop it, or give listen in config.toml another port, {OR_FORCE})"
        ))
    })
}

/// Things that are no reason to stop.
pub(crate) fn notices(config: &Config, facts: &Facts, owned: &[IpAddr]) -> Vec<String> {
    let mut notices = Vec::new();
    if config.network.local {
        if let Some(Cloud::Other(cloud)) = facts.cloud {
            notices.push(format!(
                "this is an instance of {cloud}: its own metadata service cannot be reached from here until \
                 `fake-metadata-setup remove`"
            ));
        }
        let ours = IpAddr::V4(IPV4);
        let on_lo = facts.address(ours).filter(|found| found.interface == "lo");
        if on_lo.is_some_and(|found| !found.marked && !owned.contains(&ours)) {
            notices.push(format!(
                "{IPV4} was on lo before us: it is used as it is, and remove will leave it there"
            ));
        }
    }
    if let Some(file) = &facts.interfaces
        && let Some(line) = file.mention
        && config.network.ifupdown
    {
        let path = file.path.display();
        notices.push(format!("{path} line {line} sets {IPV4} up itself: no block of ours is written there"));
    }
    notices.extend(denied_bridges(config, facts));
    notices.extend(deaf_landings(config, facts));
    notices
}

/// Firewall chains that would drop what bridges send. One line a chain, with the rule to add.
fn denied_bridges(config: &Config, facts: &Facts) -> Vec<String> {
    if config.network.bridges.is_empty() || facts.target.is_some() {
        return Vec::new();
    }
    let chains = facts.ruleset.iter().flat_map(|ruleset| &ruleset.chains);
    // A verdict of accept ends one base chain only: our rule in iptables' INPUT does not help in another's.
    let denying =
        chains.filter(|chain| !chain.is_iptables() && chain.denies_input() && !chain.accepts_metadata());
    let line = |chain: &crate::nft::Chain| {
        let place = format!("{} {} {}", chain.family, chain.table, chain.name);
        format!(
            "the firewall chain {place} drops what the bridges ask of {IPV4} \
             (add: nft insert rule {place} ct original ip daddr {IPV4} accept)"
        )
    };
    let mut lines: Vec<String> = denying.map(line).collect();
    for program in &facts.denying_input {
        if Some(*program) != facts.iptables {
            lines.push(format!(
                "the INPUT chain of {program} drops what the bridges ask of {IPV4} \
                 (add: {program} -I INPUT -m conntrack --ctorigdst {IPV4} -j ACCEPT)"
            ));
        }
    }
    lines
}

/// The daemon runs, but not on every address that the rules lead to. One line for all.
fn deaf_landings(config: &Config, facts: &Facts) -> Option<String> {
    let text = |addresses: Vec<SocketAddr>| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    };
    let daemons: Vec<SocketAddr> = facts
        .listeners
        .iter()
        .filter(|listener| listener.owner == Owner::Daemon)
        .map(|listener| listener.address)
        .collect();
    let mut deaf = plan::landings(config, facts);
    deaf.retain(|landing| !facts.listeners.iter().any(|listener| listener.takes(*landing)));
    (!daemons.is_empty() && !deaf.is_empty()).then(|| {
        format!(
            "the daemon does not listen on {}, where rules lead, but on {} (see to listen, restart the daemon)",
            text(deaf),
            text(daemons)
        )
    })
}
