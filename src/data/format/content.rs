//! What a turn says: text, or parts that are text. A part of any other kind cannot be trained on, so it is
//! refused; what an assistant thinks before its answer becomes the turn's reasoning.

use serde_json::{Map, Value};

use super::turns::{MessageReader, starred};
use super::{media, wire};
use crate::data::reason::RowReason;

/// Kinds of parts that hold what the assistant thinks, each under the key of its own name.
const THOUGHTS: [&str; 2] = ["thinking", "reasoning"];

const TEXT: &str = "text, or a list of parts of text";

const PART: &str = "`text`: a part is `{\"type\": \"text\", \"text\": \"…\"}`; calls of tools stand in the turn's \
                    `tool_calls`, their results in turns of the role `tool`";

const RESULT: &str =
    "text, or a list of parts of text; write what a tool gives as its JSON text (`json.dumps`)";

/// What a turn says, and the reasoning that separate parts before it hold.
pub struct Said {
    pub content: Value,
    pub thought: Option<String>,
}

impl MessageReader<'_> {
    /// Reads a turn's content. `role` is our name of its role.
    pub fn said(&mut self, content: wire::TurnContent, role: &str, pointer: &str) -> Result<Said, RowReason> {
        let accepted = if role == "tool" { RESULT } else { TEXT };
        match content {
            wire::TurnContent::Text(text) => {
                media::refuse_tags(&text, pointer)?;
                Ok(Said { content: Value::String(text), thought: None })
            }
            wire::TurnContent::Call(found) => {
                Err(RowReason::wrong_type(pointer, &Value::Object(found), accepted))
            }
            wire::TurnContent::Parts(parts) => {
                let is_part =
                    |part: &Map<String, Value>| part.contains_key("type") || part.contains_key("text");
                match parts.iter().any(|part| !is_part(part)) && role == "tool" {
                    true => {
                        let found = parts.into_iter().map(Value::Object).collect();
                        Err(RowReason::wrong_type(pointer, &found, accepted))
                    }
                    false => self.parts(parts, role, pointer),
                }
            }
        }
    }

    fn parts(
        &mut self,
        parts: Vec<Map<String, Value>>,
        role: &str,
        pointer: &str,
    ) -> Result<Said, RowReason> {
        let mut thoughts = Vec::new();
        let mut read = Vec::with_capacity(parts.len());
        for (index, mut part) in parts.into_iter().enumerate() {
            let at = format!("{pointer}/{index}");
            media::refuse_part(&mut part, &at)?;
            let kind = match part.get("type") {
                None => "text",
                Some(kind) => kind.as_str().unwrap_or_default(),
            };
            if role == "assistant" && read.is_empty() && THOUGHTS.contains(&kind) {
                let key = if part.contains_key(kind) { kind } else { "text" };
                let thought = text_of(&part, key, &at)?.to_owned();
                media::refuse_tags(&thought, &format!("{at}/{key}"))?;
                let unread = part.keys().filter(|other| !["type", key].contains(&other.as_str()));
                unread.for_each(|other| self.notes.unread(format!("{}/{other}", starred(&at))));
                thoughts.push(thought);
                continue;
            }
            if kind != "text" {
                return Err(RowReason::wrong_type(format!("{at}/type"), &part["type"], PART));
            }
            media::refuse_tags(text_of(&part, "text", &at)?, &format!("{at}/text"))?;
            self.note_unknown(&part, &["type", "text"], &starred(&at));
            read.push(Value::Object(part));
        }
        if thoughts.is_empty() {
            return Ok(Said { content: Value::Array(read), thought: None });
        }
        // Templates that read reasoning expect the content to be text.
        let content: String = read.iter().filter_map(|part| part["text"].as_str()).collect();
        Ok(Said { content: content.into(), thought: Some(thoughts.join("\n\n")) })
    }
}

/// The text of a part.
fn text_of<'a>(part: &'a Map<String, Value>, key: &str, at: &str) -> Result<&'a str, RowReason> {
    match part.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(RowReason::wrong_type(format!("{at}/{key}"), other, "text")),
        None => {
            Err(RowReason::Missing { pointer: format!("{at}/{key}"), keys: part.keys().cloned().collect() })
        }
    }
}
