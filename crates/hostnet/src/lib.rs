//! What leads 169.254.169.254 to the daemon on this host: facts -> plan -> apply -> undo.
//!
//! - `config`: `listen` and `[network]` of config.toml; `target`: another host in place of the daemon
//! - `facts`: what is there now (`netlink`, `xtables`, files)
//! - `plan`: what should be there, and the difference as steps; pure
//! - `step`: one change and its inverse; `file`: replacing a file; `interfaces`: our block in ifupdown's file, pure
//! - `journal`: what runs have done, and their lock; `run`: apply, plan, status, remove; `kill`: the crash test hook
//!
//! It speaks no HTTP and knows nothing of the daemon but its address.

mod config;
mod error;
mod facts;
mod file;
pub mod interfaces;
mod journal;
mod kill;
mod listeners;
mod machine;
mod netlink;
mod nft;
mod plan;
mod refusals;
mod run;
mod step;
mod survey;
mod target;
mod xtables;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use config::{Bridge, Config, ConfigError, DEFAULT_LISTEN, DEFAULT_PATH, Ipv6, Network};
pub use error::{Error, chain};
pub use run::{Line, Options, Paths, Report, State, Status, apply, plan, plan_remove, remove, status};
pub use target::{ResolveError, Target};

/// The metadata address (EC2 User Guide, "Instance metadata service").
pub const IPV4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The metadata address over IPv6, fd00:ec2::254 (same page).
pub const IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
