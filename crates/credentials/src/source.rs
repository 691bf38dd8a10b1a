//! A spec resolved to one way of obtaining credentials. Two roles whose sources are equal obtain the
//! same credentials; the store still keeps them apart, by role.

pub(crate) mod ask;
pub(crate) mod aws;
pub(crate) mod chain;
pub(crate) mod file;
pub(crate) mod generated;
mod process;
pub(crate) mod profiles;
mod resolve;
mod role_ref;
pub(crate) mod sdk;
mod sso;
pub(crate) mod sso_cache;
mod sts;
pub(crate) mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::process::Terminal;
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::spec::{RoleSpec, Settings, SourceKind, SpecError};

/// What a source that keeps its own time limit has on top, to end in good order.
const SETTLING: Duration = Duration::from_secs(5);

/// One way of obtaining credentials, with everything that its outcome depends on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Generated,
    Fed,
    File {
        path: PathBuf,
    },
    Static(Arc<aws::Static>),
    Process(Arc<aws::Process>),
    Profile(Arc<aws::Profile>),
    AssumeRole(Arc<aws::AssumeRole>),
    #[cfg(test)]
    Scripted(crate::store::scripted::Script),
}

impl Source {
    /// The source that `spec` describes, or the key that is wrong.
    pub(crate) fn resolve(role: &str, spec: &RoleSpec, settings: &Settings) -> Result<Source, SpecError> {
        resolve::resolve(role, spec, settings)
    }

    /// The word in the configuration.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Source::Generated => resolve::word(SourceKind::Generated),
            Source::Fed => resolve::word(SourceKind::Fed),
            Source::File { .. } => resolve::word(SourceKind::File),
            Source::Static(_) => resolve::word(SourceKind::Static),
            Source::Process(_) => resolve::word(SourceKind::Process),
            Source::Profile(_) => resolve::word(SourceKind::Profile),
            Source::AssumeRole(_) => resolve::word(SourceKind::AssumeRole),
            #[cfg(test)]
            Source::Scripted(_) => "scripted",
        }
    }

    /// What to look at when it fails, for `status` and the log.
    pub(crate) fn target(&self) -> String {
        match self {
            Source::Generated | Source::Fed => String::new(),
            Source::File { path } => path.display().to_string(),
            Source::Static(keys) => keys.profile.clone(),
            Source::Process(process) => process.shown(),
            Source::Profile(profile) => profile.name.clone(),
            Source::AssumeRole(role) => role.arn.clone(),
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
            Source::Process(process) => process.timeout + SETTLING,
            Source::Profile(profile) => profile.aws.timeout + SETTLING,
            Source::AssumeRole(role) => role.aws.timeout + SETTLING,
            Source::File { .. } | Source::Static(_) => Duration::from_secs(10),
            _ => Duration::from_secs(60),
        }
    }

    /// Asks it once, for the role of this name.
    pub(crate) async fn fetch(&self, role: &str, clock: &dyn Clock) -> Result<Credentials, Failure> {
        match self {
            Source::Generated | Source::Fed => {
                Err(Failure::new("this source is not asked", clock.moment().wall))
            }
            Source::File { path } => file::fetch(path, clock.moment().wall).await,
            Source::Static(keys) => ask::static_keys(keys, role, clock.moment().wall).await,
            Source::Process(process) => {
                let now = clock.moment().wall;
                let made = process::credentials(&process.command, Terminal::None, process.timeout, now).await;
                made.map_err(|e| e.failure(&format!("get credentials from command {}", process.shown()), now))
            }
            Source::Profile(profile) => ask::profile(profile, role, clock.moment().wall).await,
            Source::AssumeRole(assumed) => ask::role(assumed, role, clock.moment().wall).await,
            #[cfg(test)]
            Source::Scripted(script) => script.fetch(clock).await,
        }
    }
}
