//! iptables rules through the `iptables` crate, in whichever back end they are.
//!
//! What is true of a rule is found by listing, never by `exists()`: that answers `Ok(false)` on any failure
//! (iptables crate 0.6). Its `list()` does not look at the exit status either, so listing goes through `execute()`.
//! The crate waits for the xtables lock without a limit; here the limit is written into each command. Only rules
//! with our tag are ever deleted, one by one: nothing is flushed, restored or reordered.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Start of the comment on every rule of ours.
pub(crate) const TAG: &str = "fake-metadata.";
/// Seconds to wait for the lock that xtables programs share.
const LOCK_SECONDS: u32 = 10;

/// An xtables program. `iptables` itself only where the two named ones do not exist (before 1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Program {
    IptablesNft,
    IptablesLegacy,
    Iptables,
    Ip6tablesNft,
    Ip6tablesLegacy,
    Ip6tables,
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Where a rule goes in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// Before all others.
    #[default]
    First,
    /// Directly below the last of ours, or first when there is none.
    AfterOurs,
}

/// One rule. `spec` is what follows `-A CHAIN`, comment and target included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) table: String,
    pub(crate) chain: String,
    pub(crate) spec: String,
    #[serde(default)]
    pub(crate) place: Place,
}

/// A rule as a program lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundRule {
    pub(crate) program: Program,
    pub(crate) rule: Rule,
}

impl Rule {
    /// A rule of ours. The tag ends in a digest of the rule, so that the same tag means the same rule however a
    /// back end spells it, and a rule of an older version or another port is told apart.
    pub(crate) fn ours(table: &str, chain: &str, role: &str, matches: &str, target: &str) -> Self {
        let digest = fnv1a(&[table, chain, matches, target]);
        let spec = format!("{matches} -m comment --comment {TAG}{role}.{digest:08x} -j {target}");
        Self { table: table.to_owned(), chain: chain.to_owned(), spec, place: Place::First }
    }

    pub(crate) fn after_ours(self) -> Self {
        Self { place: Place::AfterOurs, ..self }
    }

    /// Our tag, if the rule is ours.
    pub(crate) fn tag(&self) -> Option<&str> {
        let mut words = self.spec.split_ascii_whitespace();
        words.find(|word| *word == "--comment")?;
        words.next().map(|word| word.trim_matches('"')).filter(|word| word.starts_with(TAG))
    }

    /// Whether both are the same rule of ours.
    pub(crate) fn same(&self, other: &Rule) -> bool {
        self.tag().is_some()
            && self.tag() == other.tag()
            && self.table == other.table
            && self.chain == other.chain
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "-t {} -A {} {}", self.table, self.chain, self.spec)
    }
}

/// FNV-1a, 32 bits (RFC 9923). Not for secrets: it tells our own rules apart.
pub(crate) fn fnv1a(parts: &[&str]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Program {
    /// Absolute: root's work does not depend on who set PATH.
    fn path(self) -> Option<&'static str> {
        let candidates: [&'static str; 2] = match self {
            Self::IptablesNft => ["/usr/sbin/iptables-nft", "/sbin/iptables-nft"],
            Self::IptablesLegacy => ["/usr/sbin/iptables-legacy", "/sbin/iptables-legacy"],
            Self::Iptables => ["/usr/sbin/iptables", "/sbin/iptables"],
            Self::Ip6tablesNft => ["/usr/sbin/ip6tables-nft", "/sbin/ip6tables-nft"],
            Self::Ip6tablesLegacy => ["/usr/sbin/ip6tables-legacy", "/sbin/ip6tables-legacy"],
            Self::Ip6tables => ["/usr/sbin/ip6tables", "/sbin/ip6tables"],
        };
        candidates.into_iter().find(|path| Path::new(path).exists())
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::IptablesNft | Self::IptablesLegacy | Self::Iptables => Family::V4,
            Self::Ip6tablesNft | Self::Ip6tablesLegacy | Self::Ip6tables => Family::V6,
        }
    }

    /// The program that `iptables` or `ip6tables` stands for here: what new rules are added with.
    pub(crate) fn active(family: Family) -> Option<Self> {
        let (plain, nft, legacy) = match family {
            Family::V4 => (Self::Iptables, Self::IptablesNft, Self::IptablesLegacy),
            Family::V6 => (Self::Ip6tables, Self::Ip6tablesNft, Self::Ip6tablesLegacy),
        };
        // Debian's alternatives end at xtables-nft-multi or xtables-legacy-multi.
        let resolved = std::fs::canonicalize(plain.path()?).ok()?;
        let is_nft = resolved.file_name()?.to_string_lossy().contains("nft");
        let named = if is_nft { nft } else { legacy };
        Some(if named.path().is_some() { named } else { plain })
    }

    /// Every program whose rules can be seen here, the active one first.
    pub(crate) fn present(family: Family) -> Vec<Self> {
        let named = match family {
            Family::V4 => [Self::IptablesNft, Self::IptablesLegacy],
            Family::V6 => [Self::Ip6tablesNft, Self::Ip6tablesLegacy],
        };
        let active = Self::active(family);
        let others = named.into_iter().filter(|program| program.path().is_some() && Some(*program) != active);
        active.into_iter().chain(others).collect()
    }

    /// Whether the kernel has a legacy table here. Listing one that is not there would create it.
    fn legacy_table_exists(self, table: &str) -> bool {
        let names = match self.family() {
            Family::V4 => "/proc/net/ip_tables_names",
            Family::V6 => "/proc/net/ip6_tables_names",
        };
        std::fs::read_to_string(names).is_ok_and(|names| names.lines().any(|name| name == table))
    }

    /// Whether this is the program for nftables.
    pub(crate) fn is_nft(self) -> bool {
        matches!(self, Self::IptablesNft | Self::Ip6tablesNft)
    }

    /// Whether the program is installed.
    pub(crate) fn is_installed(self) -> bool {
        self.path().is_some()
    }

    /// Whether what no rule of `filter` INPUT accepts is dropped or rejected, by policy or by a last rule for all,
    /// and no rule there accepts for the metadata address.
    pub(crate) fn denies_input(self) -> Result<bool, Error> {
        if !self.is_nft() && !self.legacy_table_exists("filter") {
            return Ok(false);
        }
        let listing = self.run("filter", "-S INPUT")?;
        let rules: Vec<&str> = listing.lines().filter(|line| line.starts_with("-A INPUT ")).collect();
        let denies_all =
            |rule: &&&str| **rule == "-A INPUT -j DROP" || rule.starts_with("-A INPUT -j REJECT");
        let denies =
            listing.lines().any(|line| line == "-P INPUT DROP") || rules.last().filter(denies_all).is_some();
        let metadata = crate::IPV4.to_string();
        let accepts = |rule: &&str| rule.contains(&metadata) && rule.ends_with("-j ACCEPT");
        Ok(denies && !rules.iter().any(accepts))
    }

    /// The rules of a table, in order, those of each chain together.
    pub(crate) fn list(self, table: &str) -> Result<Vec<FoundRule>, Error> {
        if !self.is_nft() && !self.legacy_table_exists(table) {
            return Ok(Vec::new());
        }
        let listing = self.run(table, "-S")?;
        let found = listing.lines().filter_map(|line| {
            let (chain, spec) = line.strip_prefix("-A ")?.split_once(' ')?;
            let (table, chain, spec) = (table.to_owned(), chain.to_owned(), spec.to_owned());
            Some(FoundRule { program: self, rule: Rule { table, chain, spec, place: Place::First } })
        });
        Ok(found.collect())
    }

    pub(crate) fn insert(self, rule: &Rule) -> Result<(), Error> {
        let position = match rule.place {
            Place::First => 1,
            Place::AfterOurs => {
                let listed = self.list(&rule.table)?;
                let chain = listed.iter().filter(|found| found.rule.chain == rule.chain);
                chain
                    .zip(1..)
                    .filter(|(found, _)| found.rule.tag().is_some())
                    .last()
                    .map_or(1, |(_, last)| last + 1)
            }
        };
        self.run(&rule.table, &format!("-I {} {position} {}", rule.chain, rule.spec)).map(drop)
    }

    /// Deletes one rule; its absence is success, also by the program's own word in a table that it cannot list.
    pub(crate) fn delete(self, rule: &Rule) -> Result<(), Error> {
        if !self.is_nft() && !self.legacy_table_exists(&rule.table) {
            return Ok(());
        }
        let deleted = self.run(&rule.table, &format!("-D {} {}", rule.chain, rule.spec)).map(drop);
        deleted.or_else(|error| {
            let is_there = match self.list(&rule.table) {
                Ok(listed) => listed.iter().any(|found| found.rule.same(rule)),
                Err(_) => !error.to_string().contains("does a matching rule exist"),
            };
            if is_there { Err(error) } else { Ok(()) }
        })
    }

    fn run(self, table: &str, command: &str) -> Result<String, Error> {
        let cmd = self.path().ok_or(Error::NoIptables)?;
        let program = iptables::IPTables { cmd, has_check: true, has_wait: false, is_numeric: false };
        let failed = |cause: String| Error::Rule { action: format!("{cmd} -t {table} {command}"), cause };
        let output = program
            .execute(table, &format!("{command} -w {LOCK_SECONDS}"))
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(
            said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", "),
        ))
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::IptablesNft => "iptables-nft",
            Self::IptablesLegacy => "iptables-legacy",
            Self::Iptables => "iptables",
            Self::Ip6tablesNft => "ip6tables-nft",
            Self::Ip6tablesLegacy => "ip6tables-legacy",
            Self::Ip6tables => "ip6tables",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_tells_a_rule_however_it_is_spelt() {
        let ours = Rule::ours(
            "nat",
            "OUTPUT",
            "local",
            "-d 169.254.169.254/32 -p tcp -m tcp --dport 80",
            "REDIRECT --to-ports 8000",
        );
        let quoted = ours.spec.replace("--comment ", "--comment \"").replace(" -j", "\" -j");
        let listed = Rule { spec: quoted.replace("-m tcp ", ""), ..ours.clone() };
        assert!(listed.same(&ours), "{listed}");
        let other_port = Rule::ours(
            "nat",
            "OUTPUT",
            "local",
            "-d 169.254.169.254/32 -p tcp -m tcp --dport 80",
            "REDIRECT --to-ports 8001",
        );
        assert!(!other_port.same(&ours));
    }

    #[test]
    fn a_rule_without_our_comment_is_nobodys_twin() {
        let other = Rule {
            table: "nat".into(),
            chain: "OUTPUT".into(),
            spec: "-m comment --comment fake -j X".into(),
            place: Place::First,
        };
        assert_eq!(other.tag(), None);
        assert!(!other.same(&other.clone()), "only rules of ours are ever deleted");
        let bare = Rule { spec: "-j DROP".into(), ..other };
        assert_eq!(bare.tag(), None);
    }
}
