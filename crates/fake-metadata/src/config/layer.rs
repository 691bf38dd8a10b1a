//! One layer of configuration: a table of values and where each was written. Layers are the file,
//! the environment and the flags; later ones replace single values of earlier ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::error::{ConfigError, Origin, one_line};
use super::keys::KeyPath;

/// Values, and the origin of every key path in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub(super) values: Table,
    pub(super) origins: BTreeMap<KeyPath, Origin>,
    /// What was typed where the shell leaves no quotes, so that `1.10` can be a number or a text.
    typed: BTreeMap<KeyPath, Typed>,
    /// The other name under which the value at a path was written.
    aliases: BTreeMap<KeyPath, KeyPath>,
}

/// A key of `[instance]` and its other name.
const ALIAS: (&str, &str) = ("local-ipv4", "private-ipv4");
/// Keys of `[instance]` of which there is one at most.
const USER_DATA: [&str; 3] = ["user-data", "user-data-base64", "user-data-file"];

/// A value that was given without a type: both things that it can be.
#[derive(Clone, Debug)]
struct Typed {
    text: String,
    value: Value,
}

impl Typed {
    /// Whether a number or date would not be written as it was typed. It is then taken as text where text
    /// is wanted, even by a reader who would take the number.
    fn is_lost_in_its_value(&self) -> bool {
        match &self.value {
            Value::Integer(n) => n.to_string() != self.text,
            Value::Float(n) => n.to_string() != self.text,
            Value::Datetime(d) => d.to_string() != self.text,
            _ => false,
        }
    }
}

impl Layer {
    /// A file's text.
    pub(super) fn from_file(text: &str, path: &Path) -> Result<Layer, ConfigError> {
        let path: Arc<Path> = path.into();
        let at = |offset: usize| Origin::File(path.clone(), line_of(text, offset));
        let syntax = |error: toml::de::Error| {
            let span = error.span().unwrap_or_default();
            let near =
                text.get(span.clone()).map(str::trim).filter(|near| !near.is_empty() && !near.contains('\n'));
            let near = near.map(|near| format!(" near {near:?}")).unwrap_or_default();
            ConfigError::Syntax { origin: at(span.start), message: one_line(error.message()) + &near }
        };
        let document = DeTable::parse(text).map_err(syntax)?;
        let mut origins = BTreeMap::new();
        note_origins(document.get_ref(), &KeyPath::root(), &at, &mut origins);
        let values = toml::from_str(text).map_err(syntax)?;
        Ok(Layer { values, origins, ..Layer::default() })
    }

    /// Sets one value, given as TOML where it is any (`true`, `2`, `["a"]`) and as text otherwise.
    pub(super) fn set(&mut self, path: &KeyPath, text: &str, origin: Origin) {
        let Some((value, written)) = toml_value(text) else {
            return self.put(path, Value::String(text.into()), origin);
        };
        self.put(path, value.clone(), origin);
        let mut typed = BTreeMap::from([(path.clone(), Typed { text: text.into(), value })]);
        for (below, text) in written {
            let path = path.join(&below);
            if let Some(value) = self.value(&path).cloned() {
                typed.insert(path, Typed { text, value });
            }
        }
        for (path, typed) in typed {
            if typed.is_lost_in_its_value() {
                self.replace(&path, Value::String(typed.text.clone()));
            }
            self.typed.insert(path, typed);
        }
    }

    /// Sets one value, which has its type already.
    pub(super) fn put(&mut self, path: &KeyPath, value: Value, origin: Origin) {
        self.replace(path, value);
        self.origins.insert(path.clone(), origin);
        self.typed.retain(|known, _| !known.ancestors().any(|around| around == *path));
    }

    /// Puts another value in the place of one.
    pub(super) fn replace(&mut self, path: &KeyPath, value: Value) {
        let mut table = &mut self.values;
        let keys = path.keys();
        let Some((last, parents)) = keys.split_last() else { return };
        for key in parents {
            let next = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            if !next.is_table() {
                *next = Value::Table(Table::new());
            }
            match next {
                Value::Table(inner) => table = inner,
                _ => return,
            }
        }
        table.insert(last.clone(), value);
    }

    /// The table at `path`.
    pub(super) fn table(&self, path: &KeyPath) -> Option<&Table> {
        path.keys().iter().try_fold(&self.values, |table, key| table.get(key)?.as_table())
    }

    /// The value at `path`, unless it is in an array.
    pub(super) fn value(&self, path: &KeyPath) -> Option<&Value> {
        let last = path.keys().pop()?;
        self.table(&path.parent()?)?.get(&last)
    }

    /// The other thing that was perhaps meant by what was typed for `path`: a text that looks like a number
    /// or a list, or that number or list.
    pub(super) fn other_form(&self, path: &KeyPath) -> Option<Value> {
        let typed = self.typed.get(path)?;
        let text = Value::String(typed.text.clone());
        let other = if *self.value(path)? == text { typed.value.clone() } else { text };
        Some(other)
    }

    /// Lays `over` on top of this layer: tables are merged, everything else is replaced, by whichever of its
    /// names it is given.
    pub(super) fn lay(&mut self, mut over: Layer) {
        over.unalias();
        let instance = KeyPath::root().key("instance");
        if USER_DATA.iter().any(|key| over.value(&instance.key(key)).is_some()) {
            for key in USER_DATA {
                self.take(&instance.key(key));
            }
        }
        merge(&mut self.values, over.values);
        let replaced = |path: &KeyPath| path.ancestors().any(|around| over.origins.contains_key(&around));
        self.typed.retain(|path, _| !replaced(path));
        self.typed.extend(over.typed);
        self.aliases.retain(|path, _| !over.origins.contains_key(path));
        self.aliases.extend(over.aliases);
        self.origins.extend(over.origins);
    }

    /// Gives a value that has two names the one that lower layers know it by. One layer that has both is left to
    /// be refused.
    fn unalias(&mut self) {
        let instance = KeyPath::root().key("instance");
        let (path, alias) = (instance.key(ALIAS.0), instance.key(ALIAS.1));
        if self.value(&path).is_some() {
            return;
        }
        let Some((value, origin, typed)) = self.take(&alias) else { return };
        self.replace(&path, value);
        self.origins.extend(origin.map(|origin| (path.clone(), origin)));
        self.typed.extend(typed.map(|typed| (path.clone(), typed)));
        self.aliases.insert(path, alias);
    }

    /// Takes one value out, with what is known of it.
    fn take(&mut self, path: &KeyPath) -> Option<(Value, Option<Origin>, Option<Typed>)> {
        let (last, parents) =
            path.keys().split_last().map(|(last, parents)| (last.clone(), parents.to_vec()))?;
        let table =
            parents.iter().try_fold(&mut self.values, |table, key| table.get_mut(key)?.as_table_mut())?;
        let value = table.remove(&last)?;
        Some((value, self.origins.remove(path), self.typed.remove(path)))
    }

    /// The key of a value as it was written.
    pub(super) fn as_written<'a>(&'a self, path: &'a KeyPath) -> &'a KeyPath {
        self.aliases.get(path).unwrap_or(path)
    }

    /// Where the value at `path`, or the nearest table around it, was written.
    pub(super) fn origin(&self, path: &KeyPath) -> Option<&Origin> {
        path.ancestors().find_map(|p| self.origins.get(&p))
    }
}

/// The TOML value that `text` is, and how the numbers, truth values and dates in its tables are written; `None`
/// where it is none. A value and a comment are none: nobody comments there.
pub(super) fn toml_value(text: &str) -> Option<(Value, Vec<(KeyPath, String)>)> {
    let line = format!("value = {text}");
    let document = DeTable::parse(&line).ok()?;
    let value = document.get_ref().get("value")?;
    if document.get_ref().len() != 1 || value.span().end != line.trim_end().len() {
        return None;
    }
    let mut written = Vec::new();
    if let DeValue::Table(table) = value.get_ref() {
        note_written(table, &KeyPath::root(), &line, &mut written);
    }
    Some((toml::from_str::<Table>(&line).ok()?.remove("value")?, written))
}

fn note_written(table: &DeTable<'_>, path: &KeyPath, line: &str, written: &mut Vec<(KeyPath, String)>) {
    for (key, value) in table {
        let path = path.key(key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => note_written(inner, &path, line, written),
            DeValue::String(_) | DeValue::Array(_) => {}
            _ => written.extend(line.get(value.span()).map(|text| (path, text.to_owned()))),
        }
    }
}

fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => merge(inner, more),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count()
}

fn note_origins(
    table: &DeTable<'_>,
    path: &KeyPath,
    at: &impl Fn(usize) -> Origin,
    origins: &mut BTreeMap<KeyPath, Origin>,
) {
    for (key, value) in table {
        let path = path.key(key.get_ref());
        origins.insert(path.clone(), at(key.span().start));
        note_value(value, &path, at, origins);
    }
}

fn note_value(
    value: &Spanned<DeValue<'_>>,
    path: &KeyPath,
    at: &impl Fn(usize) -> Origin,
    origins: &mut BTreeMap<KeyPath, Origin>,
) {
    match value.get_ref() {
        DeValue::Table(table) => note_origins(table, path, at, origins),
        DeValue::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                let path = path.index(i);
                origins.insert(path.clone(), at(item.span().start));
                note_value(item, &path, at, origins);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_knows_its_line() {
        let text = "tokens = \"required\"\n\n[instance]\nregion = \"eu-west-1\"\n[[instance.interfaces]]\nmac = \"x\"\n";
        let layer = Layer::from_file(text, Path::new("c.toml")).unwrap();
        let line = |p: KeyPath| match layer.origin(&p) {
            Some(Origin::File(_, line)) => *line,
            other => panic!("{other:?}"),
        };
        let instance = KeyPath::root().key("instance");
        assert_eq!(line(KeyPath::root().key("tokens")), 1);
        assert_eq!(line(instance.key("region")), 4);
        assert_eq!(line(instance.key("interfaces").index(0).key("mac")), 6);
        assert_eq!(line(instance.key("absent")), 3, "the table around it");
    }

    #[test]
    fn a_syntax_error_names_the_line() {
        let error = Layer::from_file("a = 1\nb = = 2\n", Path::new("c.toml")).unwrap_err().to_string();
        assert!(error.starts_with("c.toml:2: invalid TOML: "), "{error}");
        assert!(!error.contains('\n'));
    }

    #[test]
    fn text_that_is_no_toml_value_is_a_string() {
        let mut layer = Layer::default();
        let flag = || Origin::Flag("--set".into());
        layer.set(&KeyPath::root().key("a"), "required", flag());
        layer.set(&KeyPath::root().key("b"), "2", flag());
        layer.set(&KeyPath::root().key("c").key("d"), "[\"x\"]", flag());
        layer.set(&KeyPath::root().key("e"), "1\nf = 2", flag());
        assert_eq!(
            layer.values.to_string(),
            toml::toml! { a = "required"
            b = 2
            e = "1\nf = 2"
            c = { d = ["x"] } }
            .to_string()
        );
    }
}
