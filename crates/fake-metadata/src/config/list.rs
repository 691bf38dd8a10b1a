//! Keys that take one thing or a list of them, each written as a text.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

/// What such a key holds.
pub(super) trait Item: Sized {
    /// What to write.
    const WRITE: &str;

    /// `None` where the text is none of these.
    fn read(text: &str) -> Option<Self>;
}

impl Item for SocketAddr {
    const WRITE: &str = crate::cli::WRITE_ADDRESS_AND_PORT;

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Item for String {
    const WRITE: &str = "write a host name, as in \"metadata.example.internal\", or a list of them";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// Reads one or many.
pub(super) fn one_or_many<'de, D: Deserializer<'de>, T: Item>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(ListVisitor(PhantomData))
}

struct One<T>(T);

impl<'de, T: Item> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<One<T>, D::Error> {
        // Only texts: a list in a list is none of either.
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => read(&text).map(One),
            other => Err(de::Error::custom(format!("{other}: {}", T::WRITE))),
        }
    }
}

fn read<T: Item, E: de::Error>(text: &str) -> Result<T, E> {
    T::read(text).ok_or_else(|| E::custom(format!("{text:?}: {}", T::WRITE)))
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Item> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text or a list of texts: {}", T::WRITE)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        Ok(vec![read(text)?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(One(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}
