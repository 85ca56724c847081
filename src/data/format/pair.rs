//! Splits rows that repeat the question in both answers into the question and its two answers.

use crate::data::reason::{RowReason, quoted};
use crate::template::Message;

/// The first character of scripts that put no spaces between words.
const CJK: char = '\u{2e80}';

/// The turns of the prompt, of the chosen answer and of the rejected answer.
pub type PreferencePair = (Vec<Message>, Vec<Message>, Vec<Message>);

/// Takes the turns that two conversations have in common at the beginning as their prompt. The prompt ends
/// before an assistant turn, and both answers have at least one turn.
pub fn split_common_prompt(
    mut chosen: Vec<Message>,
    rejected: Vec<Message>,
) -> Result<PreferencePair, RowReason> {
    let common = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
    let longest = common.min(chosen.len().saturating_sub(1)).min(rejected.len().saturating_sub(1));
    let ends_in_question =
        |length: &usize| chosen.get(length - 1).is_some_and(|last| last.role != "assistant");
    let Some(length) = (1..=longest).rev().find(ends_in_question) else {
        let begins = |turns: &[Message]| match turns.first() {
            Some(turn) => format!("`{}: {}`", turn.role, quoted(&turn.text())),
            None => "nothing".to_owned(),
        };
        return Err(RowReason::NoCommonPrompt { chosen: begins(&chosen), rejected: begins(&rejected) });
    };
    let answer = chosen.split_off(length);
    Ok((chosen, answer, rejected[length..].to_vec()))
}

/// Takes the words that two texts have in common at the beginning as their prompt. TRL may also split them
/// within a word; but nobody asks a question that ends in half a word.
pub fn split_common_text(chosen: &str, rejected: &str) -> Result<(String, String, String), RowReason> {
    let same = chosen.chars().zip(rejected.chars()).take_while(|(a, b)| a == b);
    let common: usize = same.map(|(same, _)| same.len_utf8()).sum();
    // Words end at white space. In scripts that put no spaces between words, every character counts as a
    // word.
    let ends_word = |c: char| c.is_whitespace() || c >= CJK;
    let parts = |end: &usize| {
        let (prompt, chosen, rejected) = (&chosen[..*end], &chosen[*end..], &rejected[*end..]);
        let at_word =
            prompt.chars().next_back().is_some_and(ends_word) || chosen.starts_with(char::is_whitespace);
        at_word && ![prompt, chosen, rejected].iter().any(|part| part.trim().is_empty())
    };
    let mut ends = chosen.char_indices().map(|(start, _)| start).take_while(|start| *start <= common);
    let mut ends: Vec<usize> = ends.by_ref().collect();
    ends.extend((common == chosen.len()).then_some(common));
    match ends.into_iter().rev().find(parts) {
        Some(end) => {
            let answer = |text: &str| text[end..].trim_start().to_owned();
            Ok((chosen[..end].trim_end().to_owned(), answer(chosen), answer(rejected)))
        }
        None if chosen == rejected => Err(RowReason::ChosenEqualsRejected),
        None => {
            let begins = |text: &str| format!("`{}`", quoted(text));
            Err(RowReason::NoCommonPrompt { chosen: begins(chosen), rejected: begins(rejected) })
        }
    }
}

/// Whether an answer of a row is in fact the whole conversation, prompt included.
pub fn is_whole(answer: &[Message]) -> bool {
    answer.first().is_some_and(|first| first.role != "assistant")
}

/// Whether a prompt that a row has beside whole conversations is what these begin with.
pub fn agrees(written: &[Message], implied: &[Message]) -> bool {
    written.iter().all(|turn| {
        implied.iter().any(|said| said.role == turn.role && said.text().trim() == turn.text().trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(text: &str) -> Vec<Message> {
        text.split(' ')
            .map(|turn| match turn.as_bytes()[0] {
                b'u' => Message::new("user", turn),
                _ => Message::new("assistant", turn),
            })
            .collect()
    }

    #[test]
    fn the_prompt_is_what_both_begin_with_up_to_a_question() {
        let lengths = |chosen, rejected| {
            split_common_prompt(talk(chosen), talk(rejected)).map(|(p, c, r)| (p.len(), c.len(), r.len()))
        };
        assert_eq!(lengths("u1 a1", "u1 a2"), Ok((1, 1, 1)));
        assert_eq!(lengths("u1 a1 u2 a2", "u1 a1 u2 a3"), Ok((3, 1, 1)));
        // They differ from a question on, so the turn of the assistant before it is part of both answers.
        assert_eq!(lengths("u1 a1 u2 a2", "u1 a1 u3 a3"), Ok((1, 3, 3)));
        assert_eq!(lengths("u1 a1", "u1 a1"), Ok((1, 1, 1)));
        for (chosen, rejected) in [("u1 a1", "u2 a1"), ("u1", "u1")] {
            let (chosen_begins, rejected_begins) = (&chosen[..2], &rejected[..2]);
            let begins = |turn: &str| format!("`user: {turn}`");
            let reason = RowReason::NoCommonPrompt {
                chosen: begins(chosen_begins),
                rejected: begins(rejected_begins),
            };
            assert_eq!(lengths(chosen, rejected), Err(reason));
        }
    }

    #[test]
    fn texts_part_at_a_word() {
        let split = |chosen, rejected| split_common_text(chosen, rejected).ok();
        let parts = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(
            split("Two and two? Four.", "Two and two? Five."),
            parts("Two and two?", "Four.", "Five.")
        );
        assert_eq!(split("Say banana", "Say banjo"), parts("Say", "banana", "banjo"));
        assert_eq!(split("Q: a\nA: b", "Q: a\nA: b c"), parts("Q: a\nA:", "b", "b c"));
        assert_eq!(split("你好吗我好", "你好吗他坏"), parts("你好吗", "我好", "他坏"));
        assert_eq!(split("Four.", "Five."), None);
        assert_eq!(split("same words", "same words"), parts("same", "words", "words"));
    }
}
