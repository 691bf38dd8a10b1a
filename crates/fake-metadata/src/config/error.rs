//! What is wrong with the configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file and a line in it, from 1.
    File(Arc<Path>, usize),
    /// An environment variable.
    Environment(String),
    /// A command-line option as it was typed.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Flag(text) => write!(f, "option {text}"),
        }
    }
}

/// What may have been meant by a key that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// A known key that is spelt much like it.
    Nearest(&'static str),
    /// It is a key of another table.
    BelongsIn(&'static str),
    /// Nothing that is known looks like it.
    Nothing,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hint::Nearest(key) => write!(f, "the nearest known one is {key}"),
            Hint::BelongsIn(table) => write!(f, "it belongs in {table}"),
            Hint::Nothing => {
                f.write_str("no known one looks like it (/etc/fake-metadata/config.toml shows all)")
            }
        }
    }
}

/// A configuration that is refused. Prints as one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("read {path}: {cause}")]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{origin}: invalid TOML: {message}")]
    Syntax { origin: Origin, message: String },
    #[error("{origin}: unknown key {key}: {hint}")]
    UnknownKey { origin: Origin, key: String, hint: Hint },
    #[error("{origin}: {key}: {message}")]
    Value { origin: Origin, key: String, message: String },
    /// A contradiction in which nothing that was written stands out.
    #[error("configuration: {key}: {message}")]
    Contradiction { key: String, message: String },
    /// A change to the tree, by a command or an event, that cannot be made.
    #[error("change {0}")]
    Tree(#[from] imds::TreeError),
    /// The state directory does not take what is to be kept.
    #[error("{0}")]
    State(String),
}

impl ConfigError {
    /// Whether it is an option of the command line that is wrong. Only `--set` can be: clap has looked at the
    /// values of the others, and what is in a file that one of them names is not its fault.
    pub(crate) fn is_of_an_option(&self) -> bool {
        match self {
            ConfigError::Syntax { origin, .. }
            | ConfigError::UnknownKey { origin, .. }
            | ConfigError::Value { origin, .. } => {
                matches!(origin, Origin::Flag(flag) if flag.starts_with("--set "))
            }
            _ => false,
        }
    }

    pub(crate) fn state(problem: impl ToString) -> Self {
        ConfigError::State(problem.to_string())
    }
}

/// A library's message on one line.
pub(super) fn one_line(message: &str) -> String {
    message.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(", ")
}
