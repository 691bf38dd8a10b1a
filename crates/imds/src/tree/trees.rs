//! The trees of all callers: one without a role, one for each role. They share everything but `iam/` and what
//! a role changes for itself, so two hundred roles cost a few hundred kilobytes and as many microseconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::edit::graft;
use super::{Overrides, Recording, RoleEntry, Tree, TreeError, build};
use crate::instance::Instance;
use crate::path::canonical;

const IAM: [&str; 2] = ["meta-data", "iam"];

/// Every tree of a snapshot. Immutable; cheap to clone.
#[derive(Clone, Debug)]
pub struct Trees(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Base,
    roles: Vec<Arc<RoleEntry>>,
    layers: Vec<Arc<Overrides>>,
    without_role: Tree,
    by_role: BTreeMap<String, Tree>,
}

/// The instance's tree before any change.
#[derive(Clone, Debug)]
struct Base {
    instance: Arc<Instance>,
    tree: Tree,
    /// Where the tree comes from when it was recorded.
    recording: Option<Arc<Recording>>,
}

impl Base {
    /// Whether this is the role of the recorded instance, whose `iam/` is served as it was.
    fn was_recorded_with(&self, role: &RoleEntry) -> bool {
        self.recording.as_ref().is_some_and(|recording| recording.role() == Some(&role.name))
    }

    /// The tree with the `iam/` of a role.
    fn with(&self, role: &RoleEntry) -> Result<Tree, TreeError> {
        match &self.recording {
            Some(recording) if self.was_recorded_with(role) => {
                recording.tree(Some(&role.key), self.tree.launched())
            }
            _ => graft(&self.tree, &IAM, &role.iam(&self.instance)),
        }
    }
}

impl Trees {
    /// The trees of an instance with these roles, `overrides` applied to each, and each role's own on top.
    pub fn build(
        instance: &Instance,
        roles: &[RoleEntry],
        overrides: &Overrides,
    ) -> Result<Trees, TreeError> {
        let instance = Arc::new(instance.clone());
        let base = Base { tree: build::tree(&instance), instance, recording: None };
        let roles = roles.iter().cloned().map(Arc::new).collect();
        Trees::assemble(base, roles, vec![Arc::new(overrides.clone())])
    }

    /// The trees of an instance that was recorded. The role of the name that it had sees its `iam/`, any other
    /// role one of its own; `launch` counts where no identity document tells when the instance started.
    pub fn recorded(
        recording: &Recording,
        roles: &[RoleEntry],
        overrides: &Overrides,
        launch: Timestamp,
    ) -> Result<Trees, TreeError> {
        let base = Base {
            instance: Arc::new(recording.instance(launch)),
            tree: recording.tree(None, launch)?,
            recording: Some(Arc::new(recording.clone())),
        };
        let roles = roles.iter().cloned().map(Arc::new).collect();
        Trees::assemble(base, roles, vec![Arc::new(overrides.clone())])
    }

    /// The same trees with further changes, over those made so far and below each role's own.
    pub fn edited(&self, overrides: &Overrides) -> Result<Trees, TreeError> {
        let mut layers = self.0.layers.clone();
        layers.push(Arc::new(overrides.clone()));
        self.again(self.0.roles.clone(), layers)
    }

    /// The same trees with a further role, or with a role of that key replaced.
    pub fn with_role(&self, role: RoleEntry) -> Result<Trees, TreeError> {
        let others = self.0.roles.iter().filter(|known| known.key != role.key).cloned();
        let roles = others.chain([Arc::new(role.clone())]).collect();
        self.again(roles, self.0.layers.clone())
    }

    fn again(&self, roles: Vec<Arc<RoleEntry>>, layers: Vec<Arc<Overrides>>) -> Result<Trees, TreeError> {
        Trees::assemble(self.0.base.clone(), roles, layers)
    }

    fn assemble(
        base: Base,
        roles: Vec<Arc<RoleEntry>>,
        layers: Vec<Arc<Overrides>>,
    ) -> Result<Trees, TreeError> {
        let layered = |tree: Tree| layers.iter().try_fold(tree, |tree, layer| layer.apply(&tree));
        let without_role = layered(base.tree.clone())?;
        // With the layers already in it, a tree of another role is a graft away, unless they change `iam/`.
        let shared = match roles.first() {
            Some(role) if !layers.iter().any(|layer| layer.touch_iam()) => {
                Some(layered(graft(&base.tree, &IAM, &role.iam(&base.instance))?)?)
            }
            _ => None,
        };
        let mut by_role = BTreeMap::new();
        for role in &roles {
            let tree = match &shared {
                Some(shared) if !base.was_recorded_with(role) => {
                    graft(shared, &IAM, &role.iam(&base.instance))?
                }
                _ => layered(base.with(role)?)?,
            };
            by_role.insert(role.key.clone(), role.tree.apply(&tree)?);
        }
        Ok(Trees(Arc::new(Inner { base, roles, layers, without_role, by_role })))
    }

    /// The tree that a caller with this role sees; the one without `iam/` for `None` or an unknown key.
    pub fn tree(&self, role: Option<&str>) -> &Tree {
        role.and_then(|key| self.0.by_role.get(key)).unwrap_or(&self.0.without_role)
    }

    /// Whether callers with different roles, or with one and without, may be answered differently at a target:
    /// at `iam/` and below, in the listings that lead there, and at `identity-credentials/`, whose credentials are
    /// somebody's too; everywhere once a role changes the tree for itself or is that of a recorded instance. A
    /// path that cannot exist counts.
    pub fn depend_on_role(&self, target: &str) -> bool {
        let differs = |role: &RoleEntry| !role.tree.is_empty() || self.0.base.was_recorded_with(role);
        if self.0.roles.iter().any(|role| differs(role)) {
            return true;
        }
        let Some(path) = canonical(target) else { return true };
        let mut names = path.split('/').skip(1);
        match (names.next(), names.next(), names.next()) {
            (_, Some("meta-data"), Some(below)) => matches!(below, "iam" | "identity-credentials"),
            // The lists of versions, of what a version has, and of `meta-data/`.
            (_, _, below) => below.is_none(),
        }
    }

    /// The roles there are trees for.
    pub fn roles(&self) -> impl Iterator<Item = &RoleEntry> {
        self.0.roles.iter().map(Arc::as_ref)
    }

    /// The instance the trees are of.
    pub fn instance(&self) -> &Instance {
        &self.0.base.instance
    }
}
