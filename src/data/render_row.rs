//! A row through its template: whole texts and the parts of them that are trained.

use std::ops::Range;

use anyhow::{Context, Result};

use super::reason::Reason;
use super::row::{Row, Turns};
use crate::template::{ChatTemplate, Rendering};

/// One text of a row and its trained parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedText {
    pub text: String,
    /// Byte ranges that are trained, in order.
    pub trained: Vec<Range<usize>>,
}

/// Renders every branch of a row; of a row that only asks, its prompt with the assistant's turn
/// opened. An `Err` is the template's own; a reason says why this row cannot
/// be cut into what is trained and what is not.
///
/// Rows of prompt and answers train all that the full text adds to the prompt's text (rendered with
/// the assistant's turn opened). Conversations train what the template's generation blocks hold, or,
/// where it has none, of each assistant turn what it adds to the text before it.
pub fn render_row(row: &Row, template: &ChatTemplate) -> Result<Result<Vec<RenderedText>, Reason>> {
    let tools = row.tools.as_ref();
    let open = Rendering { tools, add_generation_prompt: true };
    let closed = Rendering { tools, add_generation_prompt: false };
    let of_row = || format!("{}: the template fails", row.origin);
    match &row.turns {
        Turns::Answers { prompt, answers } => {
            let asked = template.render(prompt, open).with_context(of_row)?;
            if answers.is_empty() {
                return Ok(Ok(vec![RenderedText { text: asked, trained: Vec::new() }]));
            }
            let mut texts = Vec::with_capacity(answers.len());
            for answer in answers {
                let whole = [prompt.as_slice(), answer].concat();
                let text = template.render(&whole, closed).with_context(of_row)?;
                if !text.starts_with(&asked) {
                    return Ok(Err(Reason::PromptNotAPrefix));
                }
                let trained = asked.len()..text.len();
                texts.push(RenderedText { text, trained: vec![trained] });
            }
            Ok(Ok(texts))
        }
        // No template has a say in it; what is added to it is the tokenizer's: see `text_row`.
        Turns::Text(text) => {
            let whole = 0..text.len();
            Ok(Ok(vec![RenderedText { text: text.clone(), trained: Vec::from([whole]) }]))
        }
        Turns::Conversation(messages) if template.marks_generation() => {
            let (text, trained) = template.render_marked(messages, closed).with_context(of_row)?;
            Ok(Ok(vec![RenderedText { text, trained }]))
        }
        Turns::Conversation(messages) => {
            let text = template.render(messages, closed).with_context(of_row)?;
            let mut trained = Vec::new();
            for (turn, _) in messages.iter().enumerate().filter(|(_, m)| m.role == "assistant") {
                let before = template.render(&messages[..turn], open).with_context(of_row)?;
                let after = template.render(&messages[..=turn], closed).with_context(of_row)?;
                if !text.starts_with(&after) || !after.starts_with(&before) {
                    return Ok(Err(Reason::PromptNotAPrefix));
                }
                trained.push(before.len()..after.len());
            }
            Ok(Ok(vec![RenderedText { text, trained }]))
        }
    }
}
