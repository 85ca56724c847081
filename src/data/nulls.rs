//! Keys that hold null are no keys, at any depth: one row has one meaning in every kind of file, and files
//! of tables have a null for every key that another row has.

use serde_json::{Map, Value};

use super::format::FileNotes;

/// Keys within which a null may mean something: what a template or a tool gets is the row's own.
const OWN: [&str; 5] = ["arguments", "parameters", "tools", "functions", "chat_template_kwargs"];

/// Drops the keys that hold null; those within what is the row's own are noted. Lists keep their items.
pub fn drop_from(row: &mut Map<String, Value>, notes: &mut FileNotes) {
    drop(row, false, &mut Vec::new(), notes);
}

/// `own`: whether the map is within what is the row's own. `at`: the keys above it, `*` for a place in a list.
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
