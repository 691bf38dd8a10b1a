//! Recordings of a metadata service: a file that `record` writes and `serve --snapshot` serves.
//!
//! - `file` is the file's form, both ways; docs/recorded.md describes it for people;
//! - `walk` reads a whole service, version by version, and `source` asks it;
//! - `anonymise` puts other accounts, addresses and ids in the place of the real ones, `scan` finds them.
//!
//! What is recorded and how it is served is `imds::Recording`'s to say. Credentials and signatures are never
//! asked for.

mod anonymise;
mod file;
mod scan;
mod source;
mod walk;

pub(crate) use anonymise::{Anonymiser, anonymised};
pub(crate) use file::{Heading, read, write};
pub(crate) use source::Source;
pub(crate) use walk::walk;
