//! What a row asks, read from all the keys that hold a part of it.

use super::decode::RowReader;
use super::turns::{asked, earlier};
use super::wire;
use crate::data::reason::RowReason;
use crate::template::Message;

impl RowReader<'_> {
    /// The question of a row that must have one: `input` follows on a line of its own, earlier turns come first.
    pub fn prompt(
        &mut self,
        prompt: Option<wire::Turns>,
        input: Option<String>,
        history: Option<wire::History>,
    ) -> Result<Vec<Message>, RowReason> {
        let question = wire::Question { prompt, input, history, ..wire::Question::default() };
        Ok(self.question(question)?.unwrap_or_default())
    }

    /// The question of a row; `None` if it has no key for one.
    pub fn question(&mut self, question: wire::Question) -> Result<Option<Vec<Message>>, RowReason> {
        let wire::Question { prompt, instruction, query, input, history } = question;
        let is_blank =
            |turns: &wire::Turns| matches!(turns, wire::Turns::Text(text) if text.trim().is_empty());
        let keys = [
            ("/prompt", prompt),
            ("/instruction", instruction.map(wire::Turns::Text)),
            ("/query", query.map(wire::Turns::Text)),
        ];
        let has_key = keys.iter().any(|(_, turns)| turns.is_some());
        let given = keys.into_iter().filter_map(|(key, turns)| Some((key, turns?)));
        let mut given: Vec<(&str, wire::Turns)> = given.filter(|(_, turns)| !is_blank(turns)).collect();
        given.dedup_by(|later, first| later.1 == first.1);
        if let [(first, _), (second, _), ..] = given.as_slice() {
            let why = "both say what is asked; keep one, or say with `columns` what each is";
            return Err(RowReason::contradiction(second, first, why));
        }
        let input = input.filter(|input| !input.trim().is_empty());
        let earlier = earlier(history.filter(is_said).unwrap_or_default())?;
        let turns = match (given.pop(), input) {
            (None, None) if has_key => asked(""),
            (None, None) if !earlier.is_empty() => {
                return Err(RowReason::WouldBeLost { pointer: "/history".into() });
            }
            (None, None) => return Ok(None),
            (None, Some(input)) => self.reader.question(wire::Turns::Text(input), "/input")?,
            (Some((key, turns)), None) => self.reader.question(turns, key)?,
            (Some((key, wire::Turns::Text(text))), Some(input)) if !text.starts_with("\n\nHuman:") => {
                self.reader.question(wire::Turns::Text(format!("{text}\n{input}")), key)?
            }
            (Some(_), Some(_)) => return Err(RowReason::WouldBeLost { pointer: "/input".into() }),
        };
        after(earlier, turns).map(Some)
    }
}

/// Whether earlier turns contain any text.
fn is_said(history: &wire::History) -> bool {
    history.iter().flatten().any(|text| !text.trim().is_empty())
}

/// The keys besides `prompt` that hold a part of what is asked, with their texts.
pub fn beside_prompt(question: &wire::Question) -> Vec<(&'static str, Vec<String>)> {
    let one = |text: &Option<String>| text.clone().into_iter().collect();
    let history = question.history.iter().flatten().flatten().cloned().collect();
    let mut keys: Vec<(&str, Vec<String>)> = vec![
        ("/instruction", one(&question.instruction)),
        ("/query", one(&question.query)),
        ("/input", one(&question.input)),
        ("/history", history),
    ];
    keys.retain(|(_, texts)| texts.iter().any(|text| !text.trim().is_empty()));
    keys
}

/// Puts earlier turns before those of a question, but after its system turns. Errors if the question is a
/// conversation of its own.
fn after(mut earlier: Vec<Message>, mut turns: Vec<Message>) -> Result<Vec<Message>, RowReason> {
    if earlier.is_empty() {
        return Ok(turns);
    }
    if turns.iter().any(|turn| turn.role == "assistant") {
        return Err(RowReason::WouldBeLost { pointer: "/history".into() });
    }
    let head = turns.iter().take_while(|turn| matches!(turn.role.as_str(), "system" | "developer")).count();
    let asked = turns.split_off(head);
    turns.append(&mut earlier);
    turns.extend(asked);
    Ok(turns)
}
