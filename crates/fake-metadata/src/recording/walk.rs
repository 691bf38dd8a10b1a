//! Reads a whole metadata service, version by version.
//!
//! A listing says of most entries what they are: a folder ends with a slash. Exceptions are known by their place:
//! a version's root lists folders without slashes, `public-keys/` lists `0=name` for the folder `0`, tags are
//! values whatever their keys look like. What lies at the paths of credentials and signatures is not asked for.
//! Paths that EC2 may answer without listing them are tried as well.

use std::collections::BTreeSet;

use imds::{Recorded, Recording, TreeError};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::source::{Found, Source, SourceError};

/// Deeper than any tree of EC2; a service that lists without end is none.
const DEEPEST: usize = 16;
/// The most paths of one version, many times what the largest instance has.
const MOST_PATHS: usize = 20_000;

/// What has to be escaped in a path on the wire.
const IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// What every version has, and folders and values that exist under conditions, and that not every service lists.
/// Sources: EC2's category table; clients that ask for them unseen.
const UNLISTED: [(&str, Kind); 25] = [
    ("meta-data", Kind::Folder),
    ("dynamic", Kind::Folder),
    ("user-data", Kind::Value),
    ("meta-data/ancestor-ami-ids", Kind::Value),
    ("meta-data/autoscaling", Kind::Folder),
    ("meta-data/elastic-gpus", Kind::Folder),
    ("meta-data/elastic-inference", Kind::Folder),
    ("meta-data/events", Kind::Folder),
    ("meta-data/events/maintenance", Kind::Folder),
    ("meta-data/events/recommendations", Kind::Folder),
    ("meta-data/iam", Kind::Folder),
    ("meta-data/identity-credentials", Kind::Folder),
    ("meta-data/ipv6", Kind::Value),
    ("meta-data/kernel-id", Kind::Value),
    ("meta-data/managed-ssh-keys/signer-cert", Kind::Value),
    ("meta-data/placement/group-name", Kind::Value),
    ("meta-data/placement/host-id", Kind::Value),
    ("meta-data/placement/partition-number", Kind::Value),
    ("meta-data/product-codes", Kind::Value),
    ("meta-data/public-hostname", Kind::Value),
    ("meta-data/public-ipv4", Kind::Value),
    ("meta-data/ramdisk-id", Kind::Value),
    ("meta-data/spot", Kind::Folder),
    ("meta-data/tag-sets", Kind::Folder),
    ("dynamic/fws", Kind::Folder),
];

/// Why a service was not recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{0}: lists no versions, so this is no metadata service")]
    NoVersions(String),
    #[error("there is no API version {version} (there are {known})")]
    NoSuchVersion { version: String, known: String },
    #[error("{version}/{path}: {what}, so this is no metadata service")]
    Endless { version: String, path: String, what: &'static str },
    #[error("record {0}")]
    Path(#[from] TreeError),
}

/// A recording, and what is to be said about it.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) recording: Recording,
    /// Paths of credentials and signatures, which were not asked for.
    pub(crate) secrets: usize,
    /// Paths that are listed and lead nowhere.
    pub(crate) dead: usize,
}

/// Reads the versions asked for; none: all. `progress` is told each version that is done, and its number of paths.
pub(crate) async fn walk(
    source: &mut Source,
    versions: &[String],
    mut progress: impl FnMut(&str, usize),
) -> Result<Walked, WalkError> {
    let index = source.get("/").await?;
    let index = index.ok_or_else(|| WalkError::NoVersions(source.endpoint().to_string()))?;
    let text = String::from_utf8_lossy(&index.body).into_owned();
    let known: Vec<&str> = lines(&text).map(|line| line.trim_end_matches('/')).collect();
    if known.is_empty() {
        return Err(WalkError::NoVersions(source.endpoint().to_string()));
    }
    if let Some(version) = versions.iter().find(|version| !known.contains(&version.as_str())) {
        return Err(WalkError::NoSuchVersion { version: version.clone(), known: known.join(", ") });
    }
    let mut walked = Walked::default();
    // The newest first: it is what most people wait for.
    for version in known.into_iter().rev() {
        if versions.is_empty() || versions.iter().any(|asked| asked == version) {
            let mut walk = Walk { source: &mut *source, version, walked: &mut walked, seen: BTreeSet::new() };
            walk.root().await?;
            progress(version, walked.recording.paths(version).count());
        }
    }
    Ok(walked)
}

fn lines(listing: &str) -> impl Iterator<Item = &str> {
    listing.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty())
}

/// One version on its way.
struct Walk<'a> {
    source: &'a mut Source,
    version: &'a str,
    walked: &'a mut Walked,
    /// Every path that was asked for.
    seen: BTreeSet<String>,
}

/// A path to be looked at.
#[derive(Debug)]
struct Next {
    path: String,
    kind: Kind,
    /// Whether a listing has it.
    is_listed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    Value,
    /// An entry of a version's root, which says nothing by its spelling.
    Either,
}

impl Walk<'_> {
    async fn root(&mut self) -> Result<(), WalkError> {
        let mut waiting = vec![Next { path: String::new(), kind: Kind::Folder, is_listed: true }];
        self.all(&mut waiting).await?;
        let unlisted = UNLISTED.into_iter().rev();
        waiting.extend(unlisted.map(|(path, kind)| Next { path: path.to_owned(), kind, is_listed: false }));
        self.all(&mut waiting).await
    }

    async fn all(&mut self, waiting: &mut Vec<Next>) -> Result<(), WalkError> {
        while let Some(next) = waiting.pop() {
            self.one(next, waiting).await?;
        }
        Ok(())
    }

    async fn one(&mut self, next: Next, waiting: &mut Vec<Next>) -> Result<(), WalkError> {
        let Next { path, kind, is_listed } = next;
        if !self.seen.insert(path.clone()) {
            return Ok(());
        }
        let endless =
            |what| WalkError::Endless { version: self.version.to_owned(), path: path.clone(), what };
        if self.seen.len() > MOST_PATHS {
            return Err(endless("there is no end to its paths"));
        }
        if path.split('/').count() > DEEPEST {
            return Err(endless("there is no end to its folders"));
        }
        if imds::is_secret(&path) {
            self.walked.secrets += 1;
            return self.keep(&path, Recorded::Secret);
        }
        let Some(found) = self.get(&path).await? else {
            self.walked.dead += usize::from(is_listed);
            return Ok(());
        };
        let is_folder = match kind {
            Kind::Folder => true,
            Kind::Value => false,
            Kind::Either => self.has_something_below(&path, &found).await?,
        };
        if !is_folder {
            let recorded = if found.is_octets { Recorded::UserData } else { Recorded::Value };
            return self.keep(&path, recorded(found.body));
        }
        let text = String::from_utf8_lossy(&found.body).into_owned();
        self.keep(&path, Recorded::Listing(found.body))?;
        let entries: Vec<Next> = lines(&text).filter_map(|line| entry(&path, line)).collect();
        waiting.extend(entries.into_iter().rev());
        Ok(())
    }

    /// Whether any of its lines leads on: nothing lies below a value.
    async fn has_something_below(&mut self, path: &str, found: &Found) -> Result<bool, WalkError> {
        if matches!(path, "meta-data" | "dynamic") {
            return Ok(true);
        }
        let text = String::from_utf8_lossy(&found.body).into_owned();
        let Some(first) = lines(&text).next().and_then(|line| entry(path, line)) else { return Ok(false) };
        Ok(!found.is_octets && self.get(&first.path).await?.is_some())
    }

    async fn get(&mut self, path: &str) -> Result<Option<Found>, WalkError> {
        let whole = format!("/{}/{path}", self.version);
        let whole = utf8_percent_encode(whole.trim_end_matches('/'), IN_PATHS).to_string();
        Ok(self.source.get(&whole).await?)
    }

    fn keep(&mut self, path: &str, recorded: Recorded) -> Result<(), WalkError> {
        Ok(self.walked.recording.insert(self.version, path, recorded)?)
    }
}

/// What a line of a folder's listing leads to; nothing where it can be no name.
fn entry(folder: &str, line: &str) -> Option<Next> {
    let (name, kind) = match (folder, line) {
        ("", "user-data") => (line, Kind::Value),
        ("", "meta-data" | "meta-data/" | "dynamic" | "dynamic/") => {
            (line.trim_end_matches('/'), Kind::Folder)
        }
        ("", line) if !line.ends_with('/') => (line, Kind::Either),
        ("meta-data/public-keys", line) => match line.split_once('=') {
            Some((number, _)) => (number, Kind::Folder),
            None => plain(line),
        },
        // AEMM lists it without a slash; it is where the role's name stands.
        ("meta-data/iam", "security-credentials") => (line, Kind::Folder),
        ("meta-data/tags/instance" | "meta-data/tag-sets", line) => (line, Kind::Value),
        (_, line) => plain(line),
    };
    let is_name = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    is_name.then_some(Next { path, kind, is_listed: true })
}

fn plain(line: &str) -> (&str, Kind) {
    line.strip_suffix('/').map_or((line, Kind::Value), |name| (name, Kind::Folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folders_or_values_by_their_place() {
        let shown = |folder: &str, line: &str| entry(folder, line).map(|next| (next.path, next.kind));
        let is = |path: &str, kind| Some((path.to_owned(), kind));
        assert_eq!(shown("", "meta-data"), is("meta-data", Kind::Folder));
        assert_eq!(shown("", "user-data"), is("user-data", Kind::Value));
        assert_eq!(shown("", "own"), is("own", Kind::Either));
        assert_eq!(shown("meta-data", "iam/"), is("meta-data/iam", Kind::Folder));
        assert_eq!(shown("meta-data", "mac"), is("meta-data/mac", Kind::Value));
        assert_eq!(shown("meta-data/public-keys", "0=a=b"), is("meta-data/public-keys/0", Kind::Folder));
        let credentials = "meta-data/iam/security-credentials";
        assert_eq!(shown("meta-data/iam", "security-credentials"), is(credentials, Kind::Folder));
        assert_eq!(shown("meta-data/iam", "security-credentials/"), is(credentials, Kind::Folder));
        let tags = "meta-data/tags/instance";
        assert_eq!(shown(tags, "a/b"), is("meta-data/tags/instance/a/b", Kind::Value));
        assert_eq!(shown(tags, "a=b"), is("meta-data/tags/instance/a=b", Kind::Value));
        assert_eq!(shown("meta-data/tag-sets", "instance"), is("meta-data/tag-sets/instance", Kind::Value));
        for odd in ["..", "a//b", "/", "./x"] {
            assert_eq!(shown(tags, odd), None, "{odd}");
        }
    }
}
