//! One change of the host: what it is called, how it is done, and what undoes it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Bridge;
use crate::error::Error;
use crate::kill::Kill;
use crate::netlink::Netlink;
use crate::xtables::{Family, Program, Rule};
use crate::{IPV4, file, interfaces, nft};

/// A change of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Put an address of ours on `lo`.
    AddAddress { address: IpAddr },
    /// Take an address of ours off `lo`.
    DeleteAddress { address: IpAddr },
    /// Add a rule of ours.
    AddRule { program: Program, rule: Rule },
    /// Delete a rule of ours.
    DeleteRule { program: Program, rule: Rule },
    /// Add our ARP filter, in place of one for other bridges.
    AddArpGuard { bridges: Vec<Bridge> },
    /// Delete our ARP filter.
    DeleteArpGuard { bridges: Vec<Bridge> },
    /// Delete a chain that iptables-nft made for our rules, if nobody else uses it.
    DeleteEmptyChain { family: String, table: String, chain: String },
    /// Delete a table that iptables-nft made for our rules, if nobody else uses it.
    DeleteEmptyTable { family: String, table: String },
    /// Write our block into `/etc/network/interfaces`; `calls` is the program in it.
    InsertBlock { file: PathBuf, calls: String },
    /// Take our block out.
    RemoveBlock { file: PathBuf, calls: String },
}

impl Step {
    /// Whether this step undoes `other`.
    pub(crate) fn undoes(&self, other: &Step) -> bool {
        match (self, other) {
            (Self::DeleteAddress { address: a }, Self::AddAddress { address: b }) => a == b,
            (Self::DeleteRule { program: p, rule: a }, Self::AddRule { program: q, rule: b }) => {
                p == q && a.same(b)
            }
            (Self::DeleteArpGuard { .. }, Self::AddArpGuard { .. }) => true,
            (Self::RemoveBlock { file: a, .. }, Self::InsertBlock { file: b, .. }) => a == b,
            _ => false,
        }
    }

    /// What takes this step back. An empty chain is not worth making again.
    pub(crate) fn inverse(&self) -> Option<Step> {
        Some(match self.clone() {
            Self::AddAddress { address } => Self::DeleteAddress { address },
            Self::DeleteAddress { address } => Self::AddAddress { address },
            Self::AddRule { program, rule } => Self::DeleteRule { program, rule },
            Self::DeleteRule { program, rule } => Self::AddRule { program, rule },
            Self::AddArpGuard { bridges } => Self::DeleteArpGuard { bridges },
            Self::DeleteArpGuard { bridges } => Self::AddArpGuard { bridges },
            Self::DeleteEmptyChain { .. } | Self::DeleteEmptyTable { .. } => return None,
            Self::InsertBlock { file, calls } => Self::RemoveBlock { file, calls },
            Self::RemoveBlock { file, calls } => Self::InsertBlock { file, calls },
        })
    }

    /// Whether it concerns IPv6 only.
    pub(crate) fn is_ipv6(&self) -> bool {
        match self {
            Self::AddAddress { address } | Self::DeleteAddress { address } => address.is_ipv6(),
            Self::AddRule { program, .. } | Self::DeleteRule { program, .. } => {
                program.family() == Family::V6
            }
            _ => false,
        }
    }

    /// Whether a reboot takes it back.
    pub(crate) fn is_volatile(&self) -> bool {
        !matches!(self, Self::InsertBlock { .. } | Self::RemoveBlock { .. })
    }

    /// Does it. Undoing what is gone is success.
    pub(crate) fn perform(&self, netlink: &Netlink, kill: &Kill) -> Result<(), Error> {
        match self {
            Self::AddAddress { address } => netlink.add_to_lo(*address),
            Self::DeleteAddress { address } => netlink.delete_from_lo(*address).map(drop),
            Self::AddRule { program, rule } => program.insert(rule),
            Self::DeleteRule { program, rule } => program.delete(rule),
            Self::AddArpGuard { bridges } => nft::add_arp_guard(bridges),
            Self::DeleteArpGuard { .. } => nft::delete_arp_guard(),
            Self::DeleteEmptyChain { family, table, chain } => nft::delete_empty_chain(family, table, chain),
            Self::DeleteEmptyTable { family, table } => nft::delete_empty_table(family, table),
            Self::InsertBlock { file, calls } => edit(file, kill, |text| interfaces::insert(text, calls)),
            Self::RemoveBlock { file, .. } => edit(file, kill, interfaces::remove),
        }
    }
}

fn edit<F>(path: &Path, kill: &Kill, change: F) -> Result<(), Error>
where
    F: for<'a> FnOnce(&'a [u8]) -> Result<std::borrow::Cow<'a, [u8]>, interfaces::EditError>,
{
    let text = std::fs::read(path).map_err(|source| Error::Io {
        action: "read".into(),
        target: path.into(),
        source,
    })?;
    match change(&text) {
        Ok(std::borrow::Cow::Borrowed(_)) => Ok(()),
        Ok(std::borrow::Cow::Owned(wanted)) => {
            file::replace(path, &wanted, kill).map_err(|source| Error::Write { file: path.into(), source })
        }
        Err(cause) => Err(Error::Edit { file: path.into(), cause }),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddAddress { address: IpAddr::V4(address) } => {
                write!(f, "add {address}/32 to lo, scope host")
            }
            Self::AddAddress { address: IpAddr::V6(address) } => {
                write!(f, "add {address}/128 to lo, deprecated")
            }
            Self::DeleteAddress { address } => write!(f, "remove {address} from lo"),
            Self::AddRule { program, rule } => write!(f, "add rule: {program} {rule}"),
            Self::DeleteRule { program, rule } => {
                write!(f, "delete rule: {program} -t {} -D {} {}", rule.table, rule.chain, rule.spec)
            }
            Self::AddArpGuard { .. } => {
                write!(f, "add nftables table arp fake-metadata: no answer to who has {IPV4}")
            }
            Self::DeleteArpGuard { .. } => write!(f, "delete nftables table arp fake-metadata"),
            Self::DeleteEmptyChain { family, table, chain } => {
                write!(f, "delete empty nftables chain {family} {table} {chain}")
            }
            Self::DeleteEmptyTable { family, table } => {
                write!(f, "delete empty nftables table {family} {table}")
            }
            Self::InsertBlock { file, .. } => write!(f, "write our block into {}", file.display()),
            Self::RemoveBlock { file, .. } => write!(f, "take our block out of {}", file.display()),
        }
    }
}
