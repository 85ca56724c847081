//! Turns as files write them, to messages.

use serde_json::{Map, Value};

use super::notes::Notes;
use super::roles::{Roles, TOOL_CALL};
use super::{calls, marks, media, roles, transcript, wire};
use crate::data::reason::Reason;
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
pub struct Reader<'a> {
    pub roles: &'a Roles,
    pub notes: &'a mut Notes,
}

pub fn asked(text: impl Into<String>) -> Vec<Message> {
    vec![Message::new("user", text.into())]
}

pub fn said(text: impl Into<String>) -> Vec<Message> {
    vec![Message::new("assistant", text.into())]
}

/// Earlier questions and answers.
pub fn earlier(history: Option<wire::History>) -> Vec<Message> {
    let pairs = history.unwrap_or_default().into_iter();
    pairs.flat_map(|[question, answer]| [asked(question), said(answer)].concat()).collect()
}

impl Reader<'_> {
    /// A prompt: text is one user turn, or a transcript that may end by opening the answer.
    pub fn question(&mut self, turns: wire::Turns, pointer: &str) -> Result<Vec<Message>, Reason> {
        match turns {
            wire::Turns::Text(text) if text.starts_with("\n\nHuman:") => {
                media::refuse_image_tag(&text, pointer)?;
                let mut turns = transcript::turns(&text).unwrap_or_default();
                turns.pop_if(|last| last.role == "assistant" && last.is_empty());
                Ok(turns)
            }
            wire::Turns::Text(text) => {
                media::refuse_image_tag(&text, pointer)?;
                Ok(asked(text))
            }
            wire::Turns::Messages(turns) => self.messages(turns, pointer),
            wire::Turns::Message(turn) => Ok(vec![self.message(turn, pointer)?]),
        }
    }

    /// An answer: text is one assistant turn.
    pub fn answer(&mut self, turns: wire::Turns, pointer: &str) -> Result<Vec<Message>, Reason> {
        match turns {
            wire::Turns::Text(text) => {
                media::refuse_image_tag(&text, pointer)?;
                Ok(said(text))
            }
            turns => self.question(turns, pointer),
        }
    }

    /// All answers of a list, or the one.
    pub fn answers(&mut self, answers: wire::Answers, pointer: &str) -> Result<Vec<Vec<Message>>, Reason> {
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
    /// are one turn of the assistant's, as chat templates have it.
    pub fn messages(&mut self, turns: Vec<wire::Turn>, pointer: &str) -> Result<Vec<Message>, Reason> {
        let mut messages: Vec<Message> = Vec::with_capacity(turns.len());
        for (index, turn) in turns.into_iter().enumerate() {
            let calls_only = self.is_call(&turn);
            let mut message = self.message(turn, &format!("{pointer}/{index}"))?;
            match messages.last_mut() {
                Some(last) if calls_only && last.role == "assistant" && last.trained == message.trained => {
                    let mut calls = take_calls(last);
                    calls.extend(take_calls(&mut message));
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

    pub fn message(&mut self, turn: wire::Turn, pointer: &str) -> Result<Message, Reason> {
        let (name, key, content, content_key, mut extra) = match turn {
            wire::Turn::Chat(wire::ChatTurn { role, content, text, mut extra }) => match (content, text) {
                (None, Some(text)) => (role, "role", Some(wire::TurnContent::Text(text)), "text", extra),
                (content, text) => {
                    extra.extend(text.map(|text| ("text".to_owned(), Value::String(text))));
                    (role, "role", content, "content", extra)
                }
            },
            wire::Turn::ShareGpt(wire::ShareGptTurn { from, value, mut extra }) => {
                self.leave_unread(&mut extra, pointer);
                (from, "from", Some(value), "value", extra)
            }
        };
        let Some(role) = roles::role(&name, self.roles) else {
            return Err(Reason::UnknownRole { role: name, pointer: format!("{pointer}/{key}") });
        };
        media::refuse_keys(&mut extra, pointer)?;
        calls::parse_text(&mut extra, pointer)?;
        if let Some(calls) = extra.get("tool_calls").and_then(Value::as_array) {
            self.note_calls(calls, &starred(&format!("{pointer}/tool_calls")));
        }
        let at = format!("{pointer}/{content_key}");
        if role == TOOL_CALL {
            let trained = marks::take(&mut extra, "assistant", pointer)?;
            let mut called = extra.get("tool_calls").and_then(Value::as_array).cloned().unwrap_or_default();
            let unread = |key: &str| self.notes.unread(format!("{}/{key}", starred(&at)));
            called.extend(calls::calls(content.as_ref(), &at, unread)?);
            extra.insert("tool_calls".to_owned(), Value::Array(called));
            return Ok(Message { role: "assistant".into(), content: "".into(), extra, trained });
        }
        let trained = marks::take(&mut extra, role, pointer)?;
        let content = match content {
            None => Value::Null,
            Some(wire::TurnContent::Text(text)) => {
                media::refuse_image_tag(&text, &at)?;
                Value::String(text)
            }
            Some(wire::TurnContent::Parts(parts)) => self.parts(parts, &at)?,
            Some(wire::TurnContent::Call(found)) => {
                return Err(Reason::wrong_type(at, &Value::Object(found), "text, or a list of parts"));
            }
        };
        Ok(Message { role: role.to_owned(), content, extra, trained })
    }

    fn parts(&mut self, parts: Vec<Map<String, Value>>, pointer: &str) -> Result<Value, Reason> {
        let mut read = Vec::with_capacity(parts.len());
        for (index, mut part) in parts.into_iter().enumerate() {
            let at = format!("{pointer}/{index}");
            media::refuse_part(&mut part, &at)?;
            if let Some(text) = part.get("text").and_then(Value::as_str) {
                media::refuse_image_tag(text, &format!("{at}/text"))?;
                self.note_unknown(&part, &["type", "text"], &starred(&at));
            }
            read.push(Value::Object(part));
        }
        Ok(Value::Array(read))
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

fn take_calls(message: &mut Message) -> Vec<Value> {
    match message.extra.shift_remove("tool_calls") {
        Some(Value::Array(calls)) => calls,
        _ => Vec::new(),
    }
}

/// A pointer with `*` for places in lists, so that all rows name a key alike.
pub fn starred(pointer: &str) -> String {
    let step = |step: &str| match !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
        true => "*".to_owned(),
        false => step.to_owned(),
    };
    pointer.split('/').map(step).collect::<Vec<_>>().join("/")
}
