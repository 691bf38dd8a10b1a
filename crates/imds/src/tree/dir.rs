//! A directory: sorted entries, each with the version it starts at, and a listing per view.

use std::sync::Arc;

use bytes::Bytes;

use super::Leaf;
use crate::version::Version;

/// What an entry leads to.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Dir(Arc<Dir>),
    Leaf(Leaf),
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The beginning of the name, for a search that seldom has to look at the rest.
    start: u64,
    name: Arc<str>,
    /// The line of the listing where it is not the name (and a slash): `0=my-key` for `0`. Empty: not listed.
    label: Option<Arc<str>>,
    since: Version,
    node: Node,
}

impl Entry {
    /// An entry that starts at `since`, or as early as anything in it can be seen.
    pub(crate) fn new(name: &str, since: Version, node: Node) -> Entry {
        let since = match &node {
            Node::Dir(dir) => since.max(dir.first()),
            Node::Leaf(_) => since,
        };
        Entry { start: start_of(name.as_bytes()), name: name.into(), label: None, since, node }
    }

    /// The same entry, listed as `label`.
    pub(crate) fn labelled(self, label: Option<Arc<str>>) -> Entry {
        Entry { label, ..self }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn since(&self) -> Version {
        self.since
    }

    pub(crate) fn label(&self) -> Option<Arc<str>> {
        self.label.clone()
    }

    /// The line of the listing; empty for what is not listed.
    pub(crate) fn line(&self, place: Place) -> String {
        match (&self.label, &self.node, place) {
            (Some(label), _, _) => label.to_string(),
            (None, Node::Dir(_), Place::Inner) => format!("{}/", self.name),
            _ => self.name.to_string(),
        }
    }

    /// Whether a listing shows both alike.
    fn listed_like(&self, other: &Entry) -> bool {
        let kind = |entry: &Entry| matches!(entry.node, Node::Dir(_));
        self.since == other.since && self.label == other.label && kind(self) == kind(other)
    }
}

/// Where a directory lies: the root of a version lists its names without slashes, and always the same three,
/// whether they answer or not (`user-data` that was never set, `dynamic` before 2009-04-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    VersionRoot,
    Inner,
}

const ALWAYS_LISTED: [&str; 3] = ["dynamic", "meta-data", "user-data"];

/// A directory. Immutable.
#[derive(Debug)]
pub(crate) struct Dir {
    place: Place,
    /// By name, in byte order.
    entries: Vec<Entry>,
    /// Lines of the listing that lead nowhere: recordings have such.
    dead_lines: Arc<[Arc<str>]>,
    /// The listing from each version on at which it changes.
    listings: Arc<[(Version, Bytes)]>,
}

impl Dir {
    pub(crate) fn new(place: Place, entries: Vec<Entry>) -> Dir {
        Dir::with_dead_lines(place, entries, Arc::default())
    }

    fn with_dead_lines(place: Place, mut entries: Vec<Entry>, dead_lines: Arc<[Arc<str>]>) -> Dir {
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let listings = listings(place, &entries, &dead_lines);
        Dir { place, entries, dead_lines, listings }
    }

    /// A directory whose listing is what was recorded, or none, until it is changed.
    pub(crate) fn recorded(
        place: Place,
        entries: Vec<Entry>,
        dead_lines: Arc<[Arc<str>]>,
        listing: Option<Bytes>,
    ) -> Dir {
        let listings = listing.map(|listing| (Version::FIRST, listing)).into_iter().collect();
        Dir { listings, ..Dir::with_dead_lines(place, entries, dead_lines) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn position(&self, name: &[u8]) -> Result<usize, usize> {
        let start = start_of(name);
        self.entries
            .binary_search_by(|entry| entry.start.cmp(&start).then_with(|| entry.name.as_bytes().cmp(name)))
    }

    /// What `name` leads to under a version.
    pub(crate) fn get(&self, name: &[u8], seen: Version) -> Option<&Node> {
        let entry = self.entries.get(self.position(name).ok()?)?;
        (entry.since <= seen).then_some(&entry.node)
    }

    /// The entry of that name, whatever its version.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(self.position(name.as_bytes()).ok()?)
    }

    /// The listing under a version; nothing where nothing is to be seen.
    pub(crate) fn listing(&self, seen: Version) -> Option<&Bytes> {
        self.listings.iter().rev().find(|(since, _)| *since <= seen).map(|(_, listing)| listing)
    }

    /// The version at which the first entry can be seen.
    pub(crate) fn first(&self) -> Version {
        self.entries.iter().map(|entry| entry.since).min().unwrap_or(Version::FIRST)
    }

    /// A copy in which `entry` takes the place of the one of its name, if there is one.
    pub(crate) fn with(&self, entry: Entry) -> Dir {
        let mut entries = self.entries.clone();
        match self.position(entry.name.as_bytes()) {
            Ok(at) => {
                let same_listing = entries[at].listed_like(&entry);
                entries[at] = entry;
                if same_listing {
                    let dead_lines = Arc::clone(&self.dead_lines);
                    return Dir {
                        place: self.place,
                        entries,
                        dead_lines,
                        listings: Arc::clone(&self.listings),
                    };
                }
            }
            Err(at) => entries.insert(at, entry),
        }
        Dir::with_dead_lines(self.place, entries, Arc::clone(&self.dead_lines))
    }

    /// A copy without the entry of that name.
    pub(crate) fn without(&self, name: &str) -> Dir {
        let entries = self.entries.iter().filter(|entry| &*entry.name != name).cloned().collect();
        Dir::with_dead_lines(self.place, entries, Arc::clone(&self.dead_lines))
    }

    pub(super) fn walk<'a>(&'a self, seen: Version, path: &mut String, leaves: &mut Vec<(String, &'a Leaf)>) {
        for entry in self.entries.iter().filter(|entry| entry.since <= seen) {
            let length = path.len();
            if length > 0 {
                path.push('/');
            }
            path.push_str(&entry.name);
            match &entry.node {
                Node::Dir(dir) => dir.walk(seen, path, leaves),
                Node::Leaf(leaf) => leaves.push((path.clone(), leaf)),
            }
            path.truncate(length);
        }
    }
}

/// The first eight bytes of a name, zeros behind a shorter one, as a number: in the order of the names, but for names
/// that are alike in them.
fn start_of(name: &[u8]) -> u64 {
    match name.first_chunk() {
        Some(start) => u64::from_be_bytes(*start),
        None => (0..8).fold(0, |start, at| start << 8 | u64::from(name.get(at).copied().unwrap_or(0))),
    }
}

fn listings(place: Place, entries: &[Entry], dead_lines: &[Arc<str>]) -> Arc<[(Version, Bytes)]> {
    let mut starts: Vec<Version> = entries.iter().map(|entry| entry.since).collect();
    if place == Place::VersionRoot || !dead_lines.is_empty() {
        starts.push(Version::FIRST);
    }
    starts.sort_unstable();
    starts.dedup();
    let mut lines: Vec<(Version, String)> =
        entries.iter().map(|entry| (entry.since, entry.line(place))).collect();
    lines.extend(dead_lines.iter().map(|line| (Version::FIRST, line.to_string())));
    lines.retain(|(_, line)| !line.is_empty());
    if place == Place::VersionRoot {
        lines.retain(|(_, line)| !ALWAYS_LISTED.contains(&line.as_str()));
        lines.extend(ALWAYS_LISTED.map(|name| (Version::FIRST, name.to_owned())));
    }
    // By line, not by name: with its slash `iam/` comes after `iam-ecs-1/`.
    lines.sort_by(|(_, one), (_, other)| one.cmp(other));
    let listing = |seen: Version| {
        let shown: Vec<&str> =
            lines.iter().filter(|(since, _)| *since <= seen).map(|(_, line)| line.as_str()).collect();
        Bytes::from(shown.join("\n"))
    };
    starts.into_iter().map(|since| (since, listing(since))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaf(name: &str, since: &str) -> Entry {
        let node = Node::Leaf(Leaf::Value(Bytes::from_static(b"x")));
        Entry::new(name, Version::named(since).unwrap(), node)
    }

    fn dir(entries: Vec<Entry>) -> Node {
        Node::Dir(Arc::new(Dir::new(Place::Inner, entries)))
    }

    fn listed(dir: &Dir, seen: &str) -> Option<String> {
        let listing = dir.listing(Version::named(seen).unwrap())?;
        Some(String::from_utf8(listing.to_vec()).unwrap())
    }

    #[test]
    fn each_version_sees_its_own_listing() {
        let inner = dir(vec![leaf("x", "2014-02-25")]);
        let dir = Dir::new(
            Place::Inner,
            vec![leaf("b", "1.0"), leaf("a", "2009-04-04"), Entry::new("c", Version::FIRST, inner)],
        );
        assert_eq!(listed(&dir, "1.0").as_deref(), Some("b"));
        assert_eq!(listed(&dir, "2009-04-04").as_deref(), Some("a\nb"));
        assert_eq!(listed(&dir, "2012-01-12").as_deref(), Some("a\nb"));
        assert_eq!(listed(&dir, "latest").as_deref(), Some("a\nb\nc/"));
        assert!(dir.get(b"c", Version::named("2012-01-12").unwrap()).is_none());
        assert!(dir.get(b"c", Version::LATEST).is_some());
    }

    #[test]
    fn listings_are_in_byte_order_of_their_lines() {
        let dir = Dir::new(
            Place::Inner,
            vec![
                Entry::new("iam", Version::FIRST, dir(vec![leaf("x", "1.0")])),
                Entry::new("iam-ecs-1", Version::FIRST, dir(vec![leaf("x", "1.0")])),
                leaf("iam-", "1.0"),
                leaf("a", "1.0").labelled(Some("z=1".into())),
            ],
        );
        assert_eq!(listed(&dir, "latest").as_deref(), Some("iam-\niam-ecs-1/\niam/\nz=1"));
    }

    #[test]
    fn a_root_always_lists_three() {
        let root = Dir::new(Place::VersionRoot, vec![Entry::new("own", Version::FIRST, dir(vec![]))]);
        assert_eq!(listed(&root, "1.0").as_deref(), Some("dynamic\nmeta-data\nown\nuser-data"));
        assert_eq!(listed(&Dir::new(Place::Inner, vec![]), "latest"), None);
    }

    #[test]
    fn replacing_a_value_shares_the_listings() {
        let before = Dir::new(Place::Inner, vec![leaf("a", "1.0"), leaf("b", "1.0")]);
        let after = before.with(leaf("a", "1.0"));
        assert!(Arc::ptr_eq(&before.listings, &after.listings));
        let later = before.with(leaf("a", "latest"));
        assert_eq!(listed(&later, "1.0").as_deref(), Some("b"));
        assert_eq!(listed(&later.without("b"), "1.0"), None);
    }

    proptest! {
        #[test]
        fn every_entry_is_found_by_its_name_and_no_other_is(
            names in "([ab\\x00\u{e9}]{0,10}/){0,12}",
            other in "[ab]{0,10}",
        ) {
            let dir = Dir::new(Place::Inner, names.split('/').map(|name| leaf(name, "1.0")).collect());
            for name in names.split('/') {
                prop_assert_eq!(dir.entry(name).map(|entry| &*entry.name), Some(name));
            }
            prop_assert_eq!(dir.entry(&other).is_some(), names.split('/').any(|name| name == other));
        }
    }
}
