//! A spec resolved to one way of obtaining credentials. Two roles whose sources are equal obtain the
//! same credentials; the store still keeps them apart, by role.

pub(crate) mod file;
pub(crate) mod generated;

use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::spec::{RoleSpec, Settings, SourceKind, SpecError};

/// One way of obtaining credentials, with everything that its outcome depends on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Generated,
    Fed,
    File {
        path: PathBuf,
    },
    #[cfg(test)]
    Scripted(crate::store::tests::Script),
}

impl Source {
    /// The source that `spec` describes, or the key that is wrong.
    pub(crate) fn resolve(role: &str, spec: &RoleSpec, _settings: &Settings) -> Result<Source, SpecError> {
        let wrong = |key: &str, message: &str| SpecError {
            role: role.into(),
            key: key.into(),
            message: message.into(),
        };
        if spec.file.is_some() && spec.source != SourceKind::File {
            return Err(wrong("file", "goes with source = \"file\" only"));
        }
        match spec.source {
            SourceKind::Generated => Ok(Source::Generated),
            SourceKind::Fed => Ok(Source::Fed),
            SourceKind::File => match &spec.file {
                Some(path) if path.is_absolute() => Ok(Source::File { path: path.clone() }),
                Some(_) => Err(wrong("file", "is not an absolute path")),
                None => Err(wrong("file", "is missing (give the path of the JSON document)")),
            },
        }
    }

    /// The word in the configuration.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Source::Generated => "generated",
            Source::Fed => "fed",
            Source::File { .. } => "file",
            #[cfg(test)]
            Source::Scripted(_) => "scripted",
        }
    }

    /// What to look at when it fails, for `status` and the log.
    pub(crate) fn target(&self) -> String {
        match self {
            Source::Generated | Source::Fed => String::new(),
            Source::File { path } => path.display().to_string(),
            #[cfg(test)]
            Source::Scripted(_) => String::new(),
        }
    }

    /// Whether it needs the outgoing runtime.
    pub(crate) fn outgoing(&self) -> bool {
        !matches!(self, Source::Generated | Source::Fed)
    }

    /// Whether every answer asks it anew, instead of serving what is held.
    pub(crate) fn watched(&self) -> bool {
        matches!(self, Source::File { .. })
    }

    /// The longest that one attempt may take.
    pub(crate) fn limit(&self) -> Duration {
        match self {
            Source::File { .. } => Duration::from_secs(10),
            _ => Duration::from_secs(60),
        }
    }

    /// Asks it once.
    pub(crate) async fn fetch(&self, clock: &dyn Clock) -> Result<Credentials, Failure> {
        match self {
            Source::Generated | Source::Fed => {
                Err(Failure::new("this source is not asked", clock.moment().wall))
            }
            Source::File { path } => file::fetch(path, clock.moment().wall).await,
            #[cfg(test)]
            Source::Scripted(script) => script.fetch(clock).await,
        }
    }
}
