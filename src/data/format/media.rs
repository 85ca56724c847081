//! Pictures, videos and sounds. Rows with any of them are refused, since models are trained on text alone.

use serde_json::{Map, Value};

use crate::data::reason::RowReason;

/// Keys of a row, of a turn or of a part that hold such things.
pub const KEYS: [&str; 9] =
    ["images", "image", "image_url", "videos", "video", "audios", "audio", "input_audio", "video_url"];

/// The placeholders for a picture, a video or a sound in a text.
const PLACEHOLDERS: [&str; 3] = ["image", "video", "audio"];

/// Removes such keys from a row or a turn if they are empty. Errors if one of them is not.
pub fn refuse_keys(keys: &mut Map<String, Value>, pointer: &str) -> Result<(), RowReason> {
    for key in KEYS {
        let Some(value) = keys.get(key) else { continue };
        let is_empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.iter().all(Value::is_null),
            _ => false,
        };
        if !is_empty {
            return Err(RowReason::Media { what: key.to_owned(), pointer: format!("{pointer}/{key}") });
        }
        keys.shift_remove(key);
    }
    Ok(())
}

/// Errors if a text has a placeholder for a picture, a video or a sound.
pub fn refuse_tags(text: &str, pointer: &str) -> Result<(), RowReason> {
    match PLACEHOLDERS.into_iter().find(|name| holds_place(text, name)) {
        Some(name) => Err(RowReason::Media { what: format!("`<{name}>`"), pointer: pointer.to_owned() }),
        None => Ok(()),
    }
}

/// Whether a text has a placeholder called `name`. `<video>` and `<audio>` are tags of web pages too, where
/// they are closed or quoted as code.
fn holds_place(text: &str, name: &str) -> bool {
    let tag = format!("<{name}>");
    let is_page = || text.contains(&format!("</{name}>")) || text.contains(&format!("`{tag}`"));
    text.contains(&tag) && (name == "image" || !is_page())
}

/// Errors if a part of a turn is not text.
pub fn refuse_part(part: &mut Map<String, Value>, pointer: &str) -> Result<(), RowReason> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    if KEYS.contains(&kind) {
        return Err(RowReason::Media {
            what: format!("a part of type `{kind}`"),
            pointer: pointer.to_owned(),
        });
    }
    refuse_keys(part, pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_pages() {
        let refused = |text| refuse_tags(text, "/text").is_err();
        for text in ["<image>", "a <video> b", "<audio>\nWhat is said?"] {
            assert!(refused(text), "{text}");
        }
        for text in
            ["<img>", "a picture", "<video>a</video>", "Use the `<audio>` element.", "<video controls>"]
        {
            assert!(!refused(text), "{text}");
        }
    }
}
