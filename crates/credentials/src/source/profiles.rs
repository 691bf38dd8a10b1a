//! The AWS config and credentials files, read anew at each use by the SDK's own parser, and nothing
//! beside them: no environment variable and no default path comes into it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use aws_config::profile::{self, Profile, ProfileSet};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::property::PropertiesKey;
use aws_runtime::env_config::section::SsoSession;
use aws_types::os_shim_internal::{Env, Fs};
use jiff::Timestamp;

use super::trouble::Trouble;

/// Longest file that is read, in bytes. A company with hundreds of accounts has about 100 KB.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The profiles of both files.
pub(crate) struct Profiles {
    set: ProfileSet,
    /// The files, for messages.
    places: String,
    /// When the younger of the two was written.
    pub(crate) written: Option<Timestamp>,
}

impl Profiles {
    /// Reads the files that are there; either may be missing.
    pub(crate) async fn read(config: Option<&Path>, credentials: Option<&Path>) -> Result<Self, Trouble> {
        let mut files = EnvConfigFiles::builder();
        let mut written: Option<SystemTime> = None;
        let kinds = [(config, EnvConfigFileKind::Config), (credentials, EnvConfigFileKind::Credentials)];
        for (path, kind) in kinds {
            let Some(path) = path else { continue };
            if let Some(changed) = look(path).map_err(|e| Trouble::new(unreadable(path, &e)))? {
                written = written.max(Some(changed));
                files = files.with_file(kind, path);
            }
        }
        let set = profile::load(&Fs::real(), &Env::from_slice(&[]), &files.build(), None)
            .await
            .map_err(|e| Trouble::new(innermost(&e).replace(":\n ", ":").replace('\n', " ")))?;
        let places: Vec<String> =
            [config, credentials].iter().flatten().map(|path| path.display().to_string()).collect();
        let written = written.and_then(|time| Timestamp::try_from(time).ok());
        Ok(Profiles { set, places: places.join(" or "), written })
    }

    /// The profile of this name.
    pub(crate) fn get(&self, name: &str) -> Result<&Profile, Trouble> {
        self.set.get_profile(name).ok_or_else(|| {
            Trouble::new(format!("there is no profile {name:?} in {} (add it, or name another)", self.places))
        })
    }

    /// The section `[sso-session NAME]`.
    pub(crate) fn sso_session(&self, name: &str) -> Option<&SsoSession> {
        self.set.sso_session(name)
    }

    /// The URL that a profile wants a service (`sts`, `sso`, `sso_oidc`) to be asked at, from its
    /// `services` section or its `endpoint_url`. Source: SDK reference guide, "Service-specific endpoints".
    pub(crate) fn endpoint(&self, profile: &Profile, service: &str) -> Option<String> {
        let of_service = profile.get("services").and_then(|section| {
            let key = PropertiesKey::builder()
                .section_key("services")
                .section_name(section)
                .property_name(service)
                .sub_property_name("endpoint_url")
                .build()
                .ok()?;
            self.set.other_sections().get(&key).cloned()
        });
        of_service.or_else(|| profile.get("endpoint_url").map(str::to_owned))
    }
}

/// When a regular file of bearable size was written; `None`: it is not there.
fn look(path: &Path) -> io::Result<Option<SystemTime>> {
    let metadata = match std::fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() > LONGEST {
        return Err(io::Error::other(format!("longer than {LONGEST} bytes")));
    }
    File::open(path)?;
    Ok(Some(metadata.modified()?))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let hint = if error.kind() == io::ErrorKind::PermissionDenied {
        " (the daemon's user must be able to read it: mode 0640, group fake-metadata)"
    } else {
        ""
    };
    format!("read {}: {error}{hint}", path.display())
}

/// The cause at the end of a chain of errors.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
