//! What iptables cannot say or do: other programs' nftables, chains that iptables-nft made and leaves behind empty,
//! and a filter for ARP.
//!
//! Through the program `nft` where there is one (iptables recommends it); without it these things are left out.
//! The only thing written is a table of our own in the arp family; the only things deleted are that table and
//! chains and tables that are empty and were not there before us. `nft delete chain` takes a chain's rules with it,
//! and `nft delete table` everything in the table: whether they are empty is asked of nft itself, directly before.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::config::Bridge;
use crate::error::Error;
use crate::xtables::fnv1a;

/// Our table in the arp family.
const ARP_TABLE: &str = "fake-metadata";

/// Tables and chains of nftables, iptables-nft's among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ruleset {
    pub(crate) tables: Vec<(String, String)>,
    pub(crate) chains: Vec<Chain>,
    /// Family and table of everything else that is in a table: a set, a map, a counter, a flowtable and so on.
    pub(crate) objects: Vec<(String, String)>,
}

/// A chain with its rules, each rule a list of nft's JSON expressions (libnftables-json(5)).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Chain {
    pub(crate) family: String,
    pub(crate) table: String,
    pub(crate) name: String,
    /// `nat` or `filter` on a base chain.
    pub(crate) kind: String,
    pub(crate) hook: String,
    pub(crate) policy: String,
    pub(crate) rules: Vec<Value>,
}

impl Ruleset {
    /// `None` where there is no `nft`, or it cannot answer.
    pub(crate) fn read() -> Option<Self> {
        let output = nft(&["-j", "list", "ruleset"])?;
        if !output.status.success() {
            log::debug!("nft list ruleset: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        serde_json::from_slice(&output.stdout).ok().map(|document: Value| Self::parse(&document))
    }

    fn parse(document: &Value) -> Self {
        let mut ruleset = Self::default();
        let text = |object: &Value, key: &str| object[key].as_str().unwrap_or_default().to_owned();
        for item in document["nftables"].as_array().into_iter().flatten() {
            if let Some(table) = item.get("table") {
                ruleset.tables.push((text(table, "family"), text(table, "name")));
            } else if let Some(chain) = item.get("chain") {
                ruleset.chains.push(Chain {
                    family: text(chain, "family"),
                    table: text(chain, "table"),
                    name: text(chain, "name"),
                    kind: text(chain, "type"),
                    hook: text(chain, "hook"),
                    policy: text(chain, "policy"),
                    rules: Vec::new(),
                });
            } else if let Some(rule) = item.get("rule") {
                let place = (text(rule, "family"), text(rule, "table"), text(rule, "chain"));
                if let Some(chain) =
                    ruleset.chains.iter_mut().find(|chain| chain.is(&place.0, &place.1, &place.2))
                {
                    chain.rules.push(rule["expr"].clone());
                }
            } else {
                let objects = item.as_object().into_iter().flat_map(|item| item.values());
                let objects = objects.filter(|object| object.get("table").is_some());
                ruleset.objects.extend(objects.map(|object| (text(object, "family"), text(object, "table"))));
            }
        }
        ruleset
    }

    pub(crate) fn chain(&self, family: &str, table: &str, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.is(family, table, name))
    }

    /// Whether a table is there and has neither a chain nor anything else.
    fn is_empty_table(&self, family: &str, table: &str) -> bool {
        let is_it = |(f, t): &(String, String)| f == family && t == table;
        let has_chain = self.chains.iter().any(|chain| chain.family == family && chain.table == table);
        self.tables.iter().any(is_it) && !has_chain && !self.objects.iter().any(is_it)
    }

    /// Whether our ARP filter is there, for just these bridges.
    pub(crate) fn has_arp_guard(&self, bridges: &[Bridge]) -> bool {
        self.chain("arp", ARP_TABLE, &arp_chain(bridges))
            .is_some_and(|chain| chain.rules.len() == bridges.len() + 1)
    }

    /// Whether a table of that name is there, whatever is in it.
    pub(crate) fn has_arp_table(&self) -> bool {
        self.tables.iter().any(|(family, name)| family == "arp" && name == ARP_TABLE)
    }
}

impl Chain {
    fn is(&self, family: &str, table: &str, name: &str) -> bool {
        self.family == family && self.table == table && self.name == name
    }

    /// Made by iptables-nft, which never touches an inet table.
    pub(crate) fn is_iptables(&self) -> bool {
        let known = ["filter", "nat", "raw", "mangle", "security"].contains(&self.table.as_str());
        ["ip", "ip6"].contains(&self.family.as_str())
            && known
            && self.name.chars().all(|c| c.is_ascii_uppercase())
    }

    /// Whether what comes to this host over IPv4 is dropped or rejected here unless a rule accepts it.
    pub(crate) fn denies_input(&self) -> bool {
        let concerns = self.hook == "input" && ["ip", "inet"].contains(&self.family.as_str());
        let last_denies = self.rules.last().and_then(Value::as_array).is_some_and(|last| {
            let verdict = |e: &Value| e.get("drop").is_some() || e.get("reject").is_some();
            let neutral = |e: &Value| verdict(e) || e.get("counter").is_some() || e.get("log").is_some();
            last.iter().any(verdict) && last.iter().all(neutral)
        });
        concerns && (self.policy == "drop" || last_denies)
    }

    /// Whether a rule here names the metadata address and accepts.
    pub(crate) fn accepts_metadata(&self) -> bool {
        let accepts = |rule: &Value| rule.as_array().into_iter().flatten().any(|e| e.get("accept").is_some());
        self.rules.iter().any(|rule| accepts(rule) && rule.to_string().contains("169.254.169.254"))
    }
}

fn nft(arguments: &[&str]) -> Option<Output> {
    let path = ["/usr/sbin/nft", "/sbin/nft"].into_iter().find(|path| Path::new(path).exists())?;
    Command::new(path).args(arguments).output().ok()
}

fn must(action: &str, arguments: &[&str]) -> Result<(), Error> {
    let failed = |cause: &str| Error::Rule { action: action.to_owned(), cause: cause.to_owned() };
    let output = nft(arguments).ok_or_else(|| failed("no nft program"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(failed(said.lines().next().unwrap_or("failed"))) }
}

fn arp_chain(bridges: &[Bridge]) -> String {
    let names: Vec<String> = bridges.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    format!("input.{:08x}", fnv1a(&names))
}

/// One transaction: whatever table of ours is there is replaced.
fn arp_guard(bridges: &[Bridge]) -> String {
    let chain = arp_chain(bridges);
    let table = format!("arp {ARP_TABLE}");
    let mut text = format!(
        "add table {table}; delete table {table}; add table {table}; \
         add chain {table} {chain} {{ type filter hook input priority 0; policy accept; }};"
    );
    for bridge in bridges {
        text.push_str(&format!(" add rule {table} {chain} iifname \"{bridge}\" accept;"));
    }
    text.push_str(&format!(" add rule {table} {chain} arp daddr ip 169.254.169.254 drop"));
    text
}

/// Whether this kernel and this `nft` would take our ARP filter. Nothing is changed.
pub(crate) fn can_guard_arp() -> bool {
    nft(&["--check", &arp_guard(&[])]).is_some_and(|output| output.status.success())
}

pub(crate) fn add_arp_guard(bridges: &[Bridge]) -> Result<(), Error> {
    must("add the ARP filter", &[&arp_guard(bridges)])
}

/// Its absence is success.
pub(crate) fn delete_arp_guard() -> Result<(), Error> {
    let table = format!("arp {ARP_TABLE}");
    must("delete the ARP filter", &[&format!("add table {table}; delete table {table}")])
}

/// Deletes a chain that iptables-nft made, if it has no rule. Where that cannot be known nothing is done.
pub(crate) fn delete_empty_chain(family: &str, table: &str, chain: &str) -> Result<(), Error> {
    let is_empty = |now: Ruleset| now.chain(family, table, chain).is_some_and(|found| found.rules.is_empty());
    if !Ruleset::read().is_some_and(is_empty) {
        return Ok(());
    }
    let action = format!("delete the empty chain {family} {table} {chain}");
    must(&action, &["delete", "chain", family, table, chain])
}

/// Deletes a table that iptables-nft made, if nothing is in it. Where that cannot be known nothing is done.
pub(crate) fn delete_empty_table(family: &str, table: &str) -> Result<(), Error> {
    if !Ruleset::read().is_some_and(|now| now.is_empty_table(family, table)) {
        return Ok(());
    }
    must(&format!("delete the empty table {family} {table}"), &["delete", "table", family, table])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_with_a_set_and_no_chain_is_not_empty() {
        let table = json!({"table": {"family": "ip", "name": "nat"}});
        let set = json!({"set": {"family": "ip", "table": "nat", "name": "mine"}});
        let parse = |items: &[&Value]| Ruleset::parse(&json!({"nftables": items}));
        assert!(parse(&[&json!({"metainfo": {}}), &table]).is_empty_table("ip", "nat"));
        assert!(!parse(&[&table, &set]).is_empty_table("ip", "nat"));
        assert!(!parse(&[]).is_empty_table("ip", "nat"), "what is not there need not go");
    }
}
