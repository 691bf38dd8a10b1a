//! A stand-in for Amazon's ec2-metadata-mock (AEMM) 1.13: its commands, flags, environment, configuration file,
//! default values, listings and answers, for scripts that were written for it.
//!
//! It does as AEMM where AEMM and EC2 differ, and so shares nothing with the `imds` crate, which does as EC2.
//! The facts are AEMM's public source and documentation; none of its code is here.
//!
//! - [`settings`]: values by AEMM's keys, from defaults, file, environment and flags;
//! - [`defaults`]: what AEMM serves and where when nothing is said;
//! - [`config`]: settings as they are used, and what is refused;
//! - [`routes`]: which paths exist under which command;
//! - [`mock`]: request and time to reply, without I/O;
//! - `server` and `refusal` speak HTTP, `log` has the words of AEMM's log, `cli` reads the command line, [`run()`] is the program.
//!
//! `fake-metadata import aemm` reads AEMM's files through [`settings`] and [`defaults`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;
pub mod config;
pub mod defaults;
mod document;
mod instant;
mod log;
pub mod mock;
mod page;
mod path;
mod refusal;
mod reply;
pub mod routes;
mod run;
mod server;
pub mod settings;
mod tokens;

pub use run::run;
