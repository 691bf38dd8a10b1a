//! What a configuration plays: the instance resolved, the trees of every caller, the events it names.

use jiff::Timestamp;

use super::events::add_configured_events;
use super::roles;
use crate::config::{ConfigError, KeyPath, Loaded};
use crate::events::{Clock, Timeline};
use crate::live::InstanceChanges;

/// What the configuration plays, before it is anybody's snapshot.
#[derive(Clone)]
pub(crate) struct Played {
    /// The instance as written, files read, and what commands have changed of it.
    spec: imds::InstanceSpec,
    pub(super) changed: InstanceChanges,
    /// Roles beside those of the configuration.
    pub(super) more: Vec<imds::RoleEntry>,
    pub(super) trees: imds::Trees,
    pub(super) events: Timeline,
}

impl Played {
    /// Resolves the configuration: everything derived, files read, contradictions refused.
    pub(crate) fn from(loaded: &Loaded, launch: Timestamp) -> Result<Played, ConfigError> {
        let config = &loaded.config;
        let key = KeyPath::root().key("instance");
        let mut spec = config.instance.clone();
        if let Some(file) = spec.user_data_file.take() {
            let path = loaded.folder.join(&file);
            let bytes = std::fs::read(&path).map_err(|e| {
                loaded.refuse(&key.key("user-data-file"), format!("read {}: {e}", path.display()))
            })?;
            spec.user_data_bytes = Some(bytes.into());
        }
        let trees = trees(loaded, &spec, &InstanceChanges::default(), Vec::new(), launch)?;
        roles::check(loaded, trees.instance())?;
        let mut events = Timeline::default();
        let clock = Clock::system().at(launch);
        add_configured_events(&mut events, loaded, 0..loaded.config.events.len(), &clock)?;
        Ok(Played { spec, changed: InstanceChanges::default(), more: Vec::new(), trees, events })
    }

    /// The same with other changes to the instance, and other roles beside those of the configuration.
    pub(super) fn with(
        &self,
        loaded: &Loaded,
        changed: InstanceChanges,
        more: Vec<imds::RoleEntry>,
        launch: Timestamp,
    ) -> Result<Played, ConfigError> {
        let mut spec = self.spec.clone();
        changed.apply(&mut spec).map_err(|m| loaded.refuse(&KeyPath::root().key("instance"), m))?;
        let trees = trees(loaded, &spec, &changed, more.clone(), launch)?;
        Ok(Played { changed, more, trees, ..self.clone() })
    }

    /// The trees of every caller.
    pub(crate) fn trees(&self) -> &imds::Trees {
        &self.trees
    }
}

fn trees(
    loaded: &Loaded,
    spec: &imds::InstanceSpec,
    changed: &InstanceChanges,
    more: Vec<imds::RoleEntry>,
    launch: Timestamp,
) -> Result<imds::Trees, ConfigError> {
    let config = &loaded.config;
    let roles: Vec<imds::RoleEntry> =
        config.roles().iter().map(|(name, role)| role.entry(name)).chain(more).collect();
    let refuse = |e: imds::TreeError| loaded.refuse(&KeyPath::root().key("tree").key(&e.path), e.message);
    if let Some(recording) = &loaded.recording {
        // As with an instance, what is said of a path goes before what follows from a tag.
        let mut edits = changed.edits(recording)?;
        edits.extend(&config.tree);
        return imds::Trees::recorded(recording, &roles, &edits, launch).map_err(refuse);
    }
    let key = KeyPath::root().key("instance");
    let instance =
        imds::Instance::resolve(spec, launch).map_err(|e| loaded.refuse(&key.below(&e.key), e.message))?;
    imds::Trees::build(&instance, &roles, &config.tree).map_err(refuse)
}
