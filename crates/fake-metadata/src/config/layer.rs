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
        Ok(Layer { values, origins })
    }

    /// Sets one value, given as TOML where it is any (`true`, `2`, `["a"]`) and as text otherwise.
    pub(super) fn set(&mut self, path: &KeyPath, text: &str, origin: Origin) {
        let value = toml_value(text).unwrap_or_else(|| Value::String(text.into()));
        self.put(path, value, origin);
    }

    /// Sets one value to a text, whatever it looks like.
    pub(super) fn put(&mut self, path: &KeyPath, value: Value, origin: Origin) {
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
        self.origins.insert(path.clone(), origin);
    }

    /// The table at `path`.
    pub(super) fn table(&self, path: &KeyPath) -> Option<&Table> {
        path.keys().iter().try_fold(&self.values, |table, key| table.get(key)?.as_table())
    }

    /// The text of the number, truth value or date at `path`.
    pub(super) fn scalar_text(&self, path: &KeyPath) -> Option<String> {
        let last = path.keys().pop()?;
        match self.table(&path.parent()?)?.get(&last)? {
            Value::Integer(n) => Some(n.to_string()),
            Value::Float(n) => Some(n.to_string()),
            Value::Boolean(b) => Some(b.to_string()),
            Value::Datetime(d) => Some(d.to_string()),
            _ => None,
        }
    }

    /// Lays `over` on top of this layer: tables are merged, everything else is replaced.
    pub(super) fn lay(&mut self, over: Layer) {
        merge(&mut self.values, over.values);
        self.origins.extend(over.origins);
    }

    /// Where the value at `path`, or the nearest table around it, was written.
    pub(super) fn origin(&self, path: &KeyPath) -> Option<&Origin> {
        path.ancestors().find_map(|p| self.origins.get(&p))
    }
}

/// The TOML value that `text` is, `None` where it is none.
fn toml_value(text: &str) -> Option<Value> {
    toml::from_str::<Table>(&format!("value = {text}")).ok().filter(|t| t.len() == 1)?.remove("value")
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
