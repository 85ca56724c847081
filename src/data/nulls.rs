//! Keys that hold null count as absent, at any depth: a row must mean the same in every kind of file, and
//! in tables every row has all keys, with null where it has no value.

use serde_json::{Map, Value};

use super::format::FileNotes;

/// Keys within which a null may have a meaning, because templates and tools get their values as the row has
/// them.
const OWN: [&str; 5] = ["arguments", "parameters", "tools", "functions", "chat_template_kwargs"];

/// Drops the keys that hold null. Those within the values of `OWN` are noted. Lists keep their items.
pub fn drop_from(row: &mut Map<String, Value>, notes: &mut FileNotes) {
    drop(row, false, &mut Vec::new(), notes);
}

/// `own`: whether the map is within a value of `OWN`. `at`: the keys above it, with `*` for an index of a
/// list.
fn drop(map: &mut Map<String, Value>, own: bool, at: &mut Vec<String>, notes: &mut FileNotes) {
    if own {
        for (key, _) in map.iter().filter(|(_, value)| value.is_null()) {
            notes.null(format!("/{}/{key}", at.join("/")));
        }
    }
    map.retain(|_, value| !value.is_null());
    for (key, value) in map.iter_mut().filter(|(_, value)| value.is_array() || value.is_object()) {
        at.push(key.clone());
        within(value, own || OWN.contains(&key.as_str()), at, notes);
        at.pop();
    }
}

fn within(value: &mut Value, own: bool, at: &mut Vec<String>, notes: &mut FileNotes) {
    match value {
        Value::Object(map) => drop(map, own, at, notes),
        Value::Array(items) => {
            at.push("*".to_owned());
            items.iter_mut().for_each(|item| within(item, own, at, notes));
            at.pop();
        }
        _ => {}
    }
}
