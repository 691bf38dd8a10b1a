//! `/v1/changes`: what commands alter on the running service.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refused, refuse_beside_an_upstream};
use crate::live::{Change, Changes, canonical, is_of_roles};
use crate::state::{State, World};

/// Changes to make, all or none.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Request {
    changes: Vec<Change>,
    /// Paths whose live value is taken back; one without a live value is removed.
    unset: Vec<String>,
    /// Paths whose live change is taken back, whatever it is.
    undo: Vec<String>,
    /// Tags to remove.
    unset_tags: Vec<String>,
    /// Whether the changes outlive the daemon.
    persist: bool,
}

impl Request {
    /// Whether all of it shows where everything but roles is an upstream's. What was changed before that was so
    /// can be taken back.
    fn shows_beside_an_upstream(&self, present: &Changes) -> bool {
        let may_be_unset = |path: &String| {
            is_of_roles(path) || canonical(path).is_ok_and(|path| present.of_path(&path).is_some())
        };
        self.changes.iter().all(Change::shows_beside_an_upstream)
            && self.unset.iter().all(may_be_unset)
            && self.unset_tags.is_empty()
    }
}

pub(super) fn list(state: &State) -> Value {
    json!({ "changes": state.world().changes.list() })
}

pub(super) fn change(state: &State, request: Request) -> Result<Value, Refused> {
    let mut named = [&request.unset[..], &request.undo, &request.unset_tags].concat();
    let done = state.change(|world| {
        if !request.shows_beside_an_upstream(&world.changes) {
            refuse_beside_an_upstream(world)?;
        }
        let mut changes = Changes::clone(&world.changes);
        let mut done = Vec::new();
        for path in &request.unset {
            let path = canonical(path).map_err(Refused::wrong)?;
            done.push(unset(state, &mut changes, path, request.persist)?);
        }
        for path in &request.undo {
            let path = canonical(path).map_err(Refused::wrong)?;
            if !changes.forget_path(&path) {
                return Err(Refused::wrong(format!("{path} has no live change to take back")));
            }
            done.push(format!("{path}: as configured"));
        }
        for key in &request.unset_tags {
            done.push(unset_tag(world, &mut changes, key, request.persist)?);
        }
        let described: Vec<String> = request.changes.iter().map(Change::describe).collect();
        named.extend(request.changes.iter().map(Change::name));
        changes.add(request.changes, request.persist).map_err(Refused::wrong)?;
        done.extend(described);
        world.changes = Arc::new(changes);
        Ok(done)
    })?;
    log::info!("changed by command: {}", named.join(", "));
    Ok(json!({ "done": done }))
}

/// A live value is taken back; without one the path is removed.
fn unset(state: &State, changes: &mut Changes, path: String, persist: bool) -> Result<String, Refused> {
    match changes.of_path(&path) {
        Some(Change::Set { .. }) => {
            changes.forget_path(&path);
            Ok(format!("{path}: as configured"))
        }
        Some(_) => Err(Refused::wrong(format!("{path} is removed already (unset --undo brings it back)"))),
        None => {
            let live = state.live();
            if !exists(&live.stages.at(Timestamp::now()).trees, &path) {
                return Err(Refused::wrong(format!(
                    "there is no {path} (fake-metadata tree lists every path)"
                )));
            }
            let remove = Change::Remove { path: path.clone() };
            changes.add(vec![remove], persist).map_err(Refused::wrong)?;
            Ok(format!("{path}: removed"))
        }
    }
}

/// Whether any caller finds something at the path or below it.
fn exists(trees: &imds::Trees, path: &str) -> bool {
    let first = path.split('/').next().unwrap_or("");
    let whole = trees.tree(None).versions().any(|version| version == first);
    let (version, below) = match path.split_once('/') {
        Some((version, below)) if whole => (version, below),
        None if whole => return true,
        _ => ("latest", path),
    };
    let is_there = |tree: &imds::Tree| {
        tree.walk(version).any(|(found, _)| {
            found.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    is_there(trees.tree(None)) || trees.roles().any(|role| is_there(trees.tree(Some(&role.key))))
}

fn unset_tag(world: &World, changes: &mut Changes, key: &str, persist: bool) -> Result<String, Refused> {
    let configured = world.loaded.tags().contains_key(key);
    let changed = changes.instance().tags.get(key).cloned();
    let is_there = changed.map_or(configured, |value| value.is_some());
    if !is_there {
        if changes.forget_dormant_tag(key) {
            return Ok(format!("tag {key} removed"));
        }
        return Err(Refused::wrong(format!("there is no tag {key:?}")));
    }
    if configured {
        let gone = Change::Tag { key: key.to_owned(), value: None };
        changes.add(vec![gone], persist).map_err(Refused::wrong)?;
    } else {
        changes.forget_tag(key);
    }
    Ok(format!("tag {key} removed"))
}
