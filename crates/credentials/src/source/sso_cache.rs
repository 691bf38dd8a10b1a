//! The file in which a login of IAM Identity Center is kept, in the AWS CLI's own form, so that either
//! finds the other's: `HOME/.aws/sso/cache/SHA1.json`, where SHA1 is that of the session's name, or of
//! the start URL in the older form. Source: botocore, `tokens.py` and `utils.py`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::chain::Sso;
use crate::credentials::Secret;

/// A login.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Login {
    pub(crate) access_token: Secret,
    /// Whole seconds.
    pub(crate) expires: Timestamp,
    pub(crate) renewal: Option<Renewal>,
}

/// What a login can be renewed with, without a person.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Renewal {
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    pub(crate) client_expires: Timestamp,
    pub(crate) refresh_token: Secret,
}

/// The file's content, in the AWS CLI's order.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    start_url: String,
    #[serde(default)]
    region: String,
    access_token: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// Where the login for `sso` is kept.
pub(crate) fn path(home: &Path, sso: &Sso) -> PathBuf {
    let key = sso.session.as_ref().unwrap_or(&sso.start_url);
    let name: String = Sha1::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    home.join(".aws/sso/cache").join(name + ".json")
}

/// The login kept at `path`; `None` when nobody has logged in.
pub(crate) fn read(path: &Path) -> io::Result<Option<Login>> {
    let text = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // What the file holds is secret: no error quotes it.
    let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "not a login as the AWS CLI writes it");
    let written: Written = serde_json::from_slice(&text).map_err(|_| unreadable())?;
    let renewal = match (written.client_id, written.client_secret, written.refresh_token) {
        (Some(client_id), Some(client_secret), Some(refresh_token)) => {
            written.registration_expires_at.as_deref().and_then(time).map(|client_expires| Renewal {
                client_id,
                client_secret: Secret::new(client_secret),
                client_expires,
                refresh_token: Secret::new(refresh_token),
            })
        }
        _ => None,
    };
    Ok(Some(Login {
        access_token: Secret::new(written.access_token),
        expires: time(&written.expires_at).ok_or_else(unreadable)?,
        renewal,
    }))
}

/// Older AWS CLIs wrote `UTC` in place of `Z`.
fn time(text: &str) -> Option<Timestamp> {
    text.replace("UTC", "Z").parse().ok()
}

/// Keeps `login` at `path`, whole or not at all, for nobody but its owner.
pub(crate) fn write(path: &Path, sso: &Sso, login: &Login) -> io::Result<()> {
    let renewal = login.renewal.as_ref();
    let written = Written {
        start_url: sso.start_url.clone(),
        region: sso.region.clone(),
        access_token: login.access_token.expose().to_owned(),
        expires_at: format!("{:.0}", login.expires),
        client_id: renewal.map(|renewal| renewal.client_id.clone()),
        client_secret: renewal.map(|renewal| renewal.client_secret.expose().to_owned()),
        registration_expires_at: renewal.map(|renewal| format!("{:.0}", renewal.client_expires)),
        refresh_token: renewal.map(|renewal| renewal.refresh_token.expose().to_owned()),
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    serde_json::to_writer(&mut file, &written)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sso(session: Option<&str>) -> Sso {
        Sso {
            session: session.map(str::to_owned),
            start_url: "https://example.awsapps.com/start".into(),
            region: "eu-west-1".into(),
            scopes: vec![],
            account: "111122223333".into(),
            role: "Dev".into(),
        }
    }

    #[test]
    fn the_files_name_is_the_aws_clis() {
        // printf my-sso | sha1sum
        let home = Path::new("/h");
        let name = |session| path(home, &sso(session)).display().to_string();
        assert_eq!(name(Some("my-sso")), "/h/.aws/sso/cache/0ad374308c5a4e22f723adf10145eafad7c4031c.json");
        assert!(name(None).ends_with(".json") && name(None) != name(Some("my-sso")));
    }

    #[test]
    fn what_is_written_is_read_again_and_only_its_owner_may() {
        let folder = tempfile::tempdir().unwrap();
        let sso = sso(Some("my-sso"));
        let path = path(folder.path(), &sso);
        assert_eq!(read(&path).unwrap(), None);
        let login = Login {
            access_token: Secret::new("token"),
            expires: "2026-11-21T16:00:00Z".parse().unwrap(),
            renewal: Some(Renewal {
                client_id: "id".into(),
                client_secret: Secret::new("secret"),
                client_expires: "2027-02-19T16:00:00Z".parse().unwrap(),
                refresh_token: Secret::new("refresh"),
            }),
        };
        write(&path, &sso, &login).unwrap();
        assert_eq!(read(&path).unwrap(), Some(login));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"startUrl\":\"https://example.awsapps.com/start\",\"region\":\"eu-west-1\",\
             \"accessToken\":\"token\",\"expiresAt\":\"2026-11-21T16:00:00Z\",\"clientId\":\"id\",\
             \"clientSecret\":\"secret\",\"registrationExpiresAt\":\"2027-02-19T16:00:00Z\",\
             \"refreshToken\":\"refresh\"}"
        );
    }

    #[test]
    fn a_broken_file_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        fs::write(&path, "{\"accessToken\":\"hunter2\",\"expiresAt\":\"hunter3\"}").unwrap();
        let said = read(&path).unwrap_err().to_string();
        assert_eq!(said, "not a login as the AWS CLI writes it");
        fs::write(&path, "{\"accessToken\":\"t\",\"expiresAt\":\"2020-06-17T10:02:08UTC\"}").unwrap();
        assert!(read(&path).unwrap().unwrap().renewal.is_none());
    }
}
