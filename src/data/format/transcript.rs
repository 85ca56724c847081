//! hh-rlhf's transcripts: one text, its turns opened by `\n\nHuman:` and `\n\nAssistant:`.

use crate::template::Message;

const TURNS: [(&str, &str); 2] = [("\n\nHuman:", "user"), ("\n\nAssistant:", "assistant")];

/// The turns of a transcript, each without the white space around it; `None` if the text does not begin
/// with a turn (the two newlines may be missing at the very beginning).
pub fn turns(text: &str) -> Option<Vec<Message>> {
    let text = format!("\n\n{}", text.trim_start());
    let mut rest = text.as_str();
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let (mark, role) = TURNS.iter().find(|(mark, _)| rest.starts_with(mark))?;
        rest = &rest[mark.len()..];
        let end = TURNS.iter().filter_map(|(mark, _)| rest.find(mark)).min().unwrap_or(rest.len());
        messages.push(Message::new(role, rest[..end].trim()));
        rest = &rest[end..];
    }
    (!messages.is_empty()).then_some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_marks() {
        let turns = turns("\n\nHuman: a\n\nAssistant: b \n\nc\n\nHuman:\n\nAssistant: d").unwrap();
        let said: Vec<String> = turns.iter().map(|turn| format!("{}={}", turn.role, turn.text())).collect();
        assert_eq!(said, ["user=a", "assistant=b \n\nc", "user=", "assistant=d"]);
    }

    #[test]
    fn other_text_is_no_transcript() {
        assert_eq!(turns("an answer"), None);
        assert_eq!(turns(""), None);
        assert_eq!(turns("Human: said\n\nAssistant: yes").map(|turns| turns.len()), Some(2));
    }
}
