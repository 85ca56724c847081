//! A question and its two answers, out of rows that repeat the question in both.

use crate::data::reason::Reason;
use crate::data::row::Message;

/// Prompt, chosen answer, rejected answer.
pub type Pair = (Vec<Message>, Vec<Message>, Vec<Message>);

/// Takes what two conversations begin with as their prompt. The prompt ends before an assistant
/// turn, and both answers have at least one turn.
pub fn split_common_prompt(mut chosen: Vec<Message>, rejected: Vec<Message>) -> Result<Pair, Reason> {
    let common = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
    let longest = common.min(chosen.len().saturating_sub(1)).min(rejected.len().saturating_sub(1));
    let ends_in_question =
        |length: &usize| chosen.get(length - 1).is_some_and(|last| last.role != "assistant");
    let length = (1..=longest).rev().find(ends_in_question).ok_or(Reason::NoCommonPrompt)?;
    let answer = chosen.split_off(length);
    Ok((chosen, answer, rejected[length..].to_vec()))
}

/// Whether an answer of a row is in fact the whole conversation, prompt included.
pub fn is_whole(answer: &[Message]) -> bool {
    answer.first().is_some_and(|first| first.role != "assistant")
}

/// Whether a prompt written beside whole conversations is the one they begin with.
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
        // They part at a question: the answer before it belongs to both answers.
        assert_eq!(lengths("u1 a1 u2 a2", "u1 a1 u3 a3"), Ok((1, 3, 3)));
        assert_eq!(lengths("u1 a1", "u1 a1"), Ok((1, 1, 1)));
        assert_eq!(lengths("u1 a1", "u2 a1"), Err(Reason::NoCommonPrompt));
        assert_eq!(lengths("u1", "u1"), Err(Reason::NoCommonPrompt));
    }
}
