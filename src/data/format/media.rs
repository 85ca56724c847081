//! Pictures, videos and sounds: rows with any are refused, since models here read text.

use serde_json::{Map, Value};

use crate::data::reason::Reason;

/// Keys of a row, of a turn or of a part that hold such things.
pub const KEYS: [&str; 9] =
    ["images", "image", "image_url", "videos", "video", "audios", "audio", "input_audio", "video_url"];

/// What stands for a picture in a text.
const PLACEHOLDER: &str = "<image>";

/// Takes the empty ones out of the keys of a row or a turn. Errors if any holds something.
pub fn refuse_keys(keys: &mut Map<String, Value>, pointer: &str) -> Result<(), Reason> {
    for key in KEYS {
        let Some(value) = keys.get(key) else { continue };
        let is_empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.iter().all(Value::is_null),
            _ => false,
        };
        if !is_empty {
            return Err(Reason::Media { what: key.to_owned(), pointer: format!("{pointer}/{key}") });
        }
        keys.shift_remove(key);
    }
    Ok(())
}

/// Errors if a text has a place for a picture.
pub fn refuse_image_tag(text: &str, pointer: &str) -> Result<(), Reason> {
    match text.contains(PLACEHOLDER) {
        true => Err(Reason::Media { what: format!("`{PLACEHOLDER}`"), pointer: pointer.to_owned() }),
        false => Ok(()),
    }
}

/// Errors if a part of a turn is no text.
pub fn refuse_part(part: &mut Map<String, Value>, pointer: &str) -> Result<(), Reason> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    if KEYS.contains(&kind) {
        return Err(Reason::Media { what: format!("a part of type `{kind}`"), pointer: pointer.to_owned() });
    }
    refuse_keys(part, pointer)
}
