//! `ec2-metadata-mock` as a process, over sockets: the facts of AEMM's own end-to-end suite, and what its pages
//! promise of flags, environment, files and exit codes.

#![allow(clippy::unwrap_used)]

mod answers;
mod configuration;
mod refusals;
mod support;
