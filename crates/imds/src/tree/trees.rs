//! The trees of all callers: one without a role, one for each role. They share everything but `iam/` and what
//! a role changes for itself, so two hundred roles cost a few hundred kilobytes and as many microseconds.

use std::collections::HashMap;
use std::sync::Arc;

use super::edit::graft;
use super::{Overrides, RoleEntry, Tree, TreeError, build};
use crate::instance::Instance;

const IAM: [&str; 2] = ["meta-data", "iam"];

/// Every tree of a snapshot. Immutable; cheap to clone.
#[derive(Clone, Debug)]
pub struct Trees(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    instance: Arc<Instance>,
    /// The instance's tree before any change.
    base: Tree,
    roles: Vec<Arc<RoleEntry>>,
    layers: Vec<Arc<Overrides>>,
    without_role: Tree,
    by_role: HashMap<String, Tree>,
}

impl Trees {
    /// The trees of an instance with these roles, `overrides` applied to each, and each role's own on top.
    pub fn build(
        instance: &Instance,
        roles: &[RoleEntry],
        overrides: &Overrides,
    ) -> Result<Trees, TreeError> {
        let instance = Arc::new(instance.clone());
        let base = build::tree(&instance);
        let roles = roles.iter().cloned().map(Arc::new).collect();
        Trees::assemble(instance, base, roles, vec![Arc::new(overrides.clone())])
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
        Trees::assemble(Arc::clone(&self.0.instance), self.0.base.clone(), roles, layers)
    }

    fn assemble(
        instance: Arc<Instance>,
        base: Tree,
        roles: Vec<Arc<RoleEntry>>,
        layers: Vec<Arc<Overrides>>,
    ) -> Result<Trees, TreeError> {
        let layered = |tree: Tree| layers.iter().try_fold(tree, |tree, layer| layer.apply(&tree));
        let without_role = layered(base.clone())?;
        // With the layers already in it, a tree of another role is a graft away, unless they change `iam/`.
        let shared = match roles.first() {
            Some(role) if !layers.iter().any(|layer| layer.touch_iam()) => {
                Some(layered(graft(&base, &IAM, &role.iam(&instance))?)?)
            }
            _ => None,
        };
        let mut by_role = HashMap::with_capacity(roles.len());
        for role in &roles {
            let iam = role.iam(&instance);
            let tree = match &shared {
                Some(shared) => graft(shared, &IAM, &iam)?,
                None => layered(graft(&base, &IAM, &iam)?)?,
            };
            by_role.insert(role.key.clone(), role.tree.apply(&tree)?);
        }
        Ok(Trees(Arc::new(Inner { instance, base, roles, layers, without_role, by_role })))
    }

    /// The tree that a caller with this role sees; the one without `iam/` for `None` or an unknown key.
    pub fn tree(&self, role: Option<&str>) -> &Tree {
        role.and_then(|key| self.0.by_role.get(key)).unwrap_or(&self.0.without_role)
    }

    /// The roles there are trees for.
    pub fn roles(&self) -> impl Iterator<Item = &RoleEntry> {
        self.0.roles.iter().map(Arc::as_ref)
    }

    /// The instance the trees are of.
    pub fn instance(&self) -> &Instance {
        &self.0.instance
    }
}
