//! From turns as files write them to messages.

use serde_json::{Map, Value};

use super::notes::FileNotes;
use super::roles::{RoleMap, TOOL_CALL};
use super::{calls, marks, media, roles, thought, transcript, wire};
use crate::data::reason::RowReason;
use crate::template::Message;

/// Keys of a turn that chat templates are known to read, besides role and content.
const TEMPLATE_KEYS: [&str; 10] = [
    "tool_calls",
    "tool_call_id",
    "name",
    "reasoning",
    "reasoning_content",
    "thinking",
    "tool_plan",
    "citations",
    "documents",
    "function_call",
];

/// Reads turns, with the recipe's names of roles.
pub struct MessageReader<'a> {
    pub roles: &'a RoleMap,
    pub notes: &'a mut FileNotes,
}

pub fn asked(text: impl Into<String>) -> Vec<Message> {
    vec![Message::new("user", text.into())]
}

pub fn said(text: impl Into<String>) -> Vec<Message> {
    vec![Message::new("assistant", text.into())]
}

/// Earlier questions and answers.
pub fn earlier(history: wire::History) -> Result<Vec<Message>, RowReason> {
    for (place, pair) in history.iter().enumerate() {
        for (side, text) in pair.iter().enumerate() {
            media::refuse_tags(text, &format!("/history/{place}/{side}"))?;
        }
    }
    Ok(history.into_iter().flat_map(|[question, answer]| [asked(question), said(answer)].concat()).collect())
}

impl MessageReader<'_> {
    /// A prompt. Text is one turn of the user, or a transcript, which may end with the opening of the
    /// answer.
    pub fn question(&mut self, turns: wire::Turns, pointer: &str) -> Result<Vec<Message>, RowReason> {
        match turns {
            wire::Turns::Text(text) if text.starts_with("\n\nHuman:") => {
                media::refuse_tags(&text, pointer)?;
                let mut turns = transcript::turns(&text).unwrap_or_default();
                turns.pop_if(|last| last.role == "assistant" && last.is_empty());
                Ok(turns)
            }
            wire::Turns::Text(text) => {
                media::refuse_tags(&text, pointer)?;
                Ok(asked(text))
            }
            wire::Turns::Messages(turns) => self.messages(turns, pointer),
            wire::Turns::Message(turn) => Ok(vec![self.message(turn, pointer)?]),
        }
    }

    /// An answer. Text is one turn of the assistant.
    pub fn answer(&mut self, turns: wire::Turns, pointer: &str) -> Result<Vec<Message>, RowReason> {
        match turns {
            wire::Turns::Text(text) => {
                media::refuse_tags(&text, pointer)?;
                Ok(said(text))
            }
            turns => self.question(turns, pointer),
        }
    }

    /// All answers of a list, or the one answer.
    pub fn answers(&mut self, answers: wire::Answers, pointer: &str) -> Result<Vec<Vec<Message>>, RowReason> {
        use wire::Turns::{Message, Messages, Text};
        let one = match answers {
            wire::Answers::Text(text) => Text(text),
            wire::Answers::Messages(turns) => Messages(turns),
            wire::Answers::Message(turn) => Message(turn),
            wire::Answers::Texts(texts) => {
                let one = |(n, text)| self.answer(Text(text), &format!("{pointer}/{n}"));
                return texts.into_iter().enumerate().map(one).collect();
            }
            wire::Answers::Conversations(lists) => {
                let one = |(n, turns)| self.messages(turns, &format!("{pointer}/{n}"));
                return lists.into_iter().enumerate().map(one).collect();
            }
        };
        Ok(vec![self.answer(one, pointer)?])
    }

    /// Turns in order. Calls of tools that follow each other, or what the assistant says before them,
    /// become one turn of the assistant, as chat templates expect it.
    pub fn messages(&mut self, turns: Vec<wire::Turn>, pointer: &str) -> Result<Vec<Message>, RowReason> {
        let mut messages: Vec<Message> = Vec::with_capacity(turns.len());
        for (index, turn) in turns.into_iter().enumerate() {
            let calls_only = self.is_call(&turn);
            let mut message = self.message(turn, &format!("{pointer}/{index}"))?;
            match messages.last_mut() {
                Some(last) if calls_only && has_room(last, &message) => {
                    let mut calls = take_calls(last);
                    calls.extend(take_calls(&mut message));
                    last.extra.extend(message.extra);
                    last.extra.insert("tool_calls".to_owned(), Value::Array(calls));
                }
                _ => messages.push(message),
            }
        }
        Ok(messages)
    }

    fn is_call(&self, turn: &wire::Turn) -> bool {
        let name = match turn {
            wire::Turn::Chat(turn) => &turn.role,
            wire::Turn::ShareGpt(turn) => &turn.from,
        };
        roles::role(name, self.roles) == Some(TOOL_CALL)
    }

    pub fn message(&mut self, turn: wire::Turn, pointer: &str) -> Result<Message, RowReason> {
        let TurnFields { name, key, content, content_key, mut extra } = parts(turn, pointer)?;
        if key == "from" {
            self.leave_unread(&mut extra, pointer);
        }
        let Some(role) = roles::role(&name, self.roles) else {
            return Err(RowReason::UnknownRole { role: name, pointer: format!("{pointer}/{key}") });
        };
        let keys: Vec<String> = [key.to_owned()].into_iter().chain(extra.keys().cloned()).collect();
        let at = format!("{pointer}/{content_key}");
        let speaker = if role == TOOL_CALL { "assistant" } else { role };
        media::refuse_keys(&mut extra, pointer)?;
        let trained = marks::take(&mut extra, speaker, pointer)?;
        calls::settle(&mut extra, pointer)?;
        let unread = |key: &str| self.notes.unread(format!("{}/function_call/{key}", starred(pointer)));
        calls::take_older(&mut extra, speaker, pointer, unread)?;
        let called = extra.get("tool_calls").and_then(Value::as_array).cloned().unwrap_or_default();
        self.note_calls(&called, &starred(&format!("{pointer}/tool_calls")));
        // A turn of the assistant with calls needs no text.
        if content.is_none() && (speaker != "assistant" || called.is_empty()) {
            return Err(RowReason::Missing { pointer: at, keys });
        }
        let mut message = Message { role: speaker.to_owned(), content: Value::Null, extra, trained };
        let mut thought = None;
        if role == TOOL_CALL {
            let unread = |key: &str| self.notes.unread(format!("{}/{key}", starred(&at)));
            let said = match &content {
                Some(content) if called.is_empty() || !is_blank(content) => {
                    calls::calls(Some(content), &at, unread)?
                }
                _ => Vec::new(),
            };
            message.content = "".into();
            message.extra.insert("tool_calls".to_owned(), [called, said].concat().into());
        } else if let Some(content) = content {
            let said = self.said(content, role, &at)?;
            (message.content, thought) = (said.content, said.thought);
        }
        thought::settle(&mut message.extra, thought, pointer)?;
        Ok(message)
    }

    /// Takes out the keys of a ShareGPT turn that no chat template is known to read: unlike those of chat
    /// turns they are not meant for one.
    fn leave_unread(&mut self, extra: &mut Map<String, Value>, pointer: &str) {
        let is_read = |key: &str| {
            TEMPLATE_KEYS.contains(&key) || marks::MARKS.contains(&key) || media::KEYS.contains(&key)
        };
        extra.retain(|key, value| {
            if !is_read(key) && !value.is_null() {
                self.notes.unread(format!("{}/{key}", starred(pointer)));
            }
            is_read(key) && !value.is_null()
        });
    }

    /// Notes keys of calls that chat templates are not known to read.
    fn note_calls(&mut self, calls: &[Value], at: &str) {
        for call in calls.iter().filter_map(Value::as_object) {
            self.note_unknown(call, &calls::CALL_KEYS, &format!("{at}/*"));
            if let Some(function) = call.get("function").and_then(Value::as_object) {
                self.note_unknown(function, &calls::CALLED_KEYS, &format!("{at}/*/function"));
            }
        }
    }

    /// Notes the keys of what a template gets that are not known.
    pub fn note_unknown(&mut self, object: &Map<String, Value>, known: &[&str], at: &str) {
        let unknown = object.iter().filter(|(key, value)| !known.contains(&key.as_str()) && !value.is_null());
        unknown.for_each(|(key, _)| self.notes.passed_on(format!("{at}/{key}")));
    }
}

/// The fields of a turn, in whichever way it is written.
struct TurnFields {
    name: String,
    /// The key that says who speaks.
    key: &'static str,
    content: Option<wire::TurnContent>,
    content_key: &'static str,
    extra: Map<String, Value>,
}

/// Splits a turn into its fields. Errors if two keys differ in what the turn says.
fn parts(turn: wire::Turn, pointer: &str) -> Result<TurnFields, RowReason> {
    let (mut parts, other_keys) = match turn {
        wire::Turn::Chat(wire::ChatTurn { role: name, content, text, extra }) => {
            let (content, content_key, text) = match (content, text) {
                (None, Some(text)) => (Some(wire::TurnContent::Text(text)), "text", None),
                (Some(content), Some(text)) if is_blank(&content) && !text.trim().is_empty() => {
                    (Some(wire::TurnContent::Text(text)), "text", None)
                }
                (content, text) => (content, "content", text),
            };
            let mut parts = TurnFields { name, key: "role", content, content_key, extra };
            parts.extra.extend(text.map(|text| ("text".to_owned(), Value::String(text))));
            (parts, ["text", "value"])
        }
        wire::Turn::ShareGpt(wire::ShareGptTurn { from: name, value, extra }) => {
            let parts = TurnFields { name, key: "from", content: Some(value), content_key: "value", extra };
            (parts, ["text", "content"])
        }
    };
    let Some(content) = &parts.content else { return Ok(parts) };
    for key in other_keys {
        let repeats = match (parts.extra.get(key), content) {
            (Some(Value::String(text)), wire::TurnContent::Text(said)) => {
                text.trim().is_empty() || text.trim() == said.trim()
            }
            (Some(Value::String(text)), _) => text.trim().is_empty(),
            // Other values, such as a number, are not meant as what the turn says.
            _ => continue,
        };
        if !repeats {
            let why = "both are what the turn says; keep one of them";
            let other = format!("{pointer}/{}", parts.content_key);
            return Err(RowReason::contradiction(&format!("{pointer}/{key}"), &other, why));
        }
        parts.extra.shift_remove(key);
    }
    Ok(parts)
}

fn is_blank(content: &wire::TurnContent) -> bool {
    match content {
        wire::TurnContent::Text(text) => text.trim().is_empty(),
        wire::TurnContent::Parts(parts) => parts.is_empty(),
        wire::TurnContent::Call(_) => false,
    }
}

/// Whether the calls and other keys of another turn can be moved into an assistant's turn.
fn has_room(last: &Message, calling: &Message) -> bool {
    let same = |(key, value): (&String, &Value)| match last.extra.get(key) {
        Some(held) => key == "tool_calls" || held == value,
        None => true,
    };
    let thoughts = [last.reasoning(), calling.reasoning()].map(|held| held.map(|(_, text)| text));
    last.role == "assistant"
        && last.trained == calling.trained
        && calling.extra.iter().all(same)
        && !matches!(thoughts, [Some(before), Some(after)] if before != after)
}

fn take_calls(message: &mut Message) -> Vec<Value> {
    match message.extra.shift_remove("tool_calls") {
        Some(Value::Array(calls)) => calls,
        _ => Vec::new(),
    }
}

/// A pointer with `*` for indices of lists, so that a key has the same name in all rows.
pub fn starred(pointer: &str) -> String {
    let step = |step: &str| match !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
        true => "*".to_owned(),
        false => step.to_owned(),
    };
    pointer.split('/').map(step).collect::<Vec<_>>().join("/")
}
