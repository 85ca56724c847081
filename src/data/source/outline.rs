//! What a file named `.json` is that holds no list: one object per line, or one object that is no row.

use std::fmt;

use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Keys under which files that are one object have their list of rows.
const WRAPPERS: [&str; 7] = ["data", "rows", "train", "examples", "instances", "items", "records"];

/// Keys of rows: an object with one of them is a row, whatever other keys it has.
const ROW: [&str; 7] = ["prompt", "messages", "conversations", "instruction", "query", "chosen", "text"];

/// What a value is, without what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outline {
    /// A list of objects that is not empty.
    Rows,
    /// An object whose keys are all numbers, and which has some.
    Numbered,
    Other,
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OutlineVisitor)
    }
}

struct OutlineVisitor;

/// Whether a value is an object.
struct IsObject(bool);

impl<'de> Deserialize<'de> for IsObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IsObjectVisitor)
    }
}

struct IsObjectVisitor;

/// The methods of a visitor for values that hold no others.
macro_rules! plain_values {
    ($value:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("any valid JSON value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

impl<'de> Visitor<'de> for IsObjectVisitor {
    type Value = IsObject;

    plain_values!(IsObject(false));

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<IsObject, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(IsObject(false))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<IsObject, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(IsObject(true))
    }
}

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = Outline;

    plain_values!(Outline::Other);

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Outline, A::Error> {
        let (mut all, mut any) = (true, false);
        while let Some(IsObject(is_object)) = items.next_element()? {
            any = true;
            all &= is_object;
        }
        Ok(if all && any { Outline::Rows } else { Outline::Other })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Outline, A::Error> {
        let (mut all, mut any) = (true, false);
        while let Some((key, _)) = entries.next_entry::<String, IgnoredAny>()? {
            any = true;
            all &= is_number(&key);
        }
        Ok(if all && any { Outline::Numbered } else { Outline::Other })
    }
}

fn is_number(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `text` breaks off within a JSON value.
pub fn breaks_off(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

/// Says what a text is, if it is one object that is no row. `is_one_line`: whether it has no line end.
pub fn other_than_rows(text: &[u8], is_one_line: bool) -> Option<String> {
    let map = serde_json::from_slice::<IndexMap<String, Outline>>(text).ok()?;
    let names: Vec<&str> = map.keys().take(5).map(String::as_str).collect();
    let more = if map.len() > names.len() { ", …" } else { "" };
    let found = format!("one object with the keys `{}`{more}", names.join("`, `"));
    let is_row = ROW.iter().any(|key| map.contains_key(*key));
    let wrapper = WRAPPERS.iter().find(|key| !is_row && map.get(**key) == Some(&Outline::Rows));
    let is_numbered = !map.is_empty() && map.keys().all(|key| is_number(key));
    let is_table = !map.is_empty() && map.values().all(|column| *column == Outline::Numbered);
    match wrapper {
        Some(key) => Some(format!("{found}: make the list that `{key}` holds the whole file")),
        None if is_numbered || is_table => {
            Some(format!("{found}: write its rows as a list (pandas: `orient=\"records\"`)"))
        }
        None if !is_one_line => Some(format!("{found}: if it is a row, put it between `[` and `]`")),
        None => None,
    }
}
