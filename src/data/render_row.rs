//! Renders a row with its template, to whole texts and the parts of them that are trained.

use std::ops::Range;

use super::opening::parts;
use super::reason::RowReason;
use super::row::{Row, RowTurns};
use super::spans;
use super::{kept, kept_values};
use crate::template::{ChatTemplate, Message, Rendering, is_reserved, reserved};

/// One text of a row and its trained parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RenderedText {
    pub text: String,
    /// Byte ranges that are trained, in order.
    pub trained: Vec<Range<usize>>,
    /// Where the completion starts; only for rows of a prompt and answers.
    pub completion: Option<usize>,
}

/// A row's texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedRow {
    /// One text for each completion. If the row only asks, its prompt.
    pub texts: Vec<RenderedText>,
    /// For rows of a prompt and answers, the text of the prompt alone, with the assistant's turn opened. If
    /// the texts do not begin with it, their completions start where they begin to differ from it.
    pub asked: Option<String>,
    /// Whether the template leaves out reasoning of turns before the last question.
    pub lacks_reasoning: bool,
}

/// Renders every completion of a row. If the row only asks, renders its prompt with the assistant's turn
/// opened. A reason says why the row cannot be trained on: the template fails, leaves out some of its
/// content, or cannot be cut into what is trained and what is not.
///
/// Of rows of a prompt and answers, everything is trained that the full text adds to the prompt's text
/// (rendered with the assistant's turn opened), as TRL does. Of conversations, the template's generation
/// blocks are trained, or if it has none, what [`spans`] finds for each turn of the assistant. Turns that a
/// row marks as not trained are left out in both cases.
pub fn render_row(row: &Row, template: &ChatTemplate) -> Result<RenderedRow, RowReason> {
    let rendering = Rendering {
        tools: row.tools.as_ref(),
        add_generation_prompt: false,
        kwargs: row.chat_template_kwargs.as_ref(),
    };
    if let Some(name) = row.chat_template_kwargs.as_ref().and_then(reserved) {
        return Err(RowReason::ReservedKwarg(format!("/chat_template_kwargs/{name}: {}", is_reserved(name))));
    }
    let renderer = Renderer { template, rendering };
    match &row.turns {
        // No template is applied to it. What the tokenizer adds to it is described in `text_row`.
        RowTurns::Text(text) => {
            let whole = 0..text.len();
            let text = RenderedText { text: text.clone(), trained: vec![whole], ..RenderedText::default() };
            Ok(RenderedRow { texts: vec![text], asked: None, lacks_reasoning: false })
        }
        RowTurns::Answers { prompt, answers } => renderer.answers(prompt, answers),
        RowTurns::Conversation(messages) => renderer.conversation(messages),
    }
}

/// How a row is rendered.
struct Renderer<'a> {
    template: &'a ChatTemplate,
    rendering: Rendering<'a>,
}

impl Renderer<'_> {
    fn answers(&self, prompt: &[Message], answers: &[Vec<Message>]) -> Result<RenderedRow, RowReason> {
        self.check_reasoning(prompt, 0)?;
        let open = Rendering { add_generation_prompt: true, ..self.rendering };
        let asked = self.template.render(prompt, open).map_err(fails)?;
        if answers.is_empty() {
            let lacks_reasoning = self.check(prompt, open, &asked)?;
            let text = RenderedText { text: asked, ..RenderedText::default() };
            return Ok(RenderedRow { texts: vec![text], asked: None, lacks_reasoning });
        }
        let mut lacks_reasoning = false;
        let mut texts = Vec::with_capacity(answers.len());
        for answer in answers {
            self.check_reasoning(answer, prompt.len())?;
            let whole = [prompt, answer].concat();
            let text = self.template.render(&whole, self.rendering).map_err(fails)?;
            lacks_reasoning |= self.check(&whole, self.rendering, &text)?;
            let start = spans::completion_start(self.template, prompt, open, &asked, &text);
            let start = start.ok_or(RowReason::PromptNotAPrefix)?;
            let untrained: Vec<usize> = (prompt.len()..whole.len())
                .filter(|&turn| whole[turn].role == "assistant" && !whole[turn].trained)
                .collect();
            let completion = start..text.len();
            let trained = match untrained.is_empty() {
                true => vec![completion],
                false if answer.iter().all(|turn| !turn.trained || turn.role != "assistant") => {
                    return Err(RowReason::NothingTrained);
                }
                false => {
                    let parts = parts(self.template, &whole, self.rendering, &text);
                    let parts = parts.ok_or(RowReason::TurnNotFound)?;
                    spans::without(vec![completion], &parts, &untrained).ok_or(RowReason::TurnNotFound)?
                }
            };
            texts.push(RenderedText { text, trained, completion: Some(start) });
        }
        Ok(RenderedRow { texts, asked: Some(asked), lacks_reasoning })
    }

    fn conversation(&self, messages: &[Message]) -> Result<RenderedRow, RowReason> {
        if !messages.iter().any(|turn| turn.role == "assistant" && turn.trained) {
            return Err(RowReason::NothingTrained);
        }
        self.check_reasoning(messages, 0)?;
        let text = self.template.render(messages, self.rendering).map_err(fails)?;
        let lacks_reasoning = self.check(messages, self.rendering, &text)?;
        let trained = match self.template.marks_generation(self.rendering) {
            true => self.marked(messages, &text)?,
            false => spans::of_turns(self.template, messages, self.rendering, &text)?,
        };
        let texts = vec![RenderedText { text, trained, completion: None }];
        Ok(RenderedRow { texts, asked: None, lacks_reasoning })
    }

    /// What the template's generation blocks hold, except for turns that are not trained.
    fn marked(&self, messages: &[Message], text: &str) -> Result<Vec<Range<usize>>, RowReason> {
        let (_, marked) = self.template.render_marked(messages, self.rendering).map_err(fails)?;
        let is_untrained = |&turn: &usize| messages[turn].role == "assistant" && !messages[turn].trained;
        let untrained: Vec<usize> = (0..messages.len()).filter(is_untrained).collect();
        if untrained.is_empty() {
            return Ok(marked);
        }
        let parts = parts(self.template, messages, self.rendering, text).ok_or(RowReason::TurnNotFound)?;
        spans::without(marked, &parts, &untrained).ok_or(RowReason::TurnNotFound)
    }

    /// Errors if turns hold reasoning and the template reads none. `before` is the number of turns before
    /// them.
    fn check_reasoning(&self, messages: &[Message], before: usize) -> Result<(), RowReason> {
        let held = |(turn, message): (usize, &Message)| Some((turn, message.reasoning()?.0));
        match messages.iter().enumerate().find_map(held) {
            Some((turn, key)) if !self.template.reads_reasoning(self.rendering) => {
                Err(RowReason::ReasoningUnread(format!("`{key}` of turn {}", before + turn + 1)))
            }
            _ => Ok(()),
        }
    }

    fn check(&self, messages: &[Message], rendering: Rendering, text: &str) -> Result<bool, RowReason> {
        let tools = rendering.tools.filter(|tools| tools.as_array().is_none_or(|list| !list.is_empty()));
        let lacks_reasoning = kept::check(messages, tools, text, |messages, tools| {
            self.template.render(messages, Rendering { tools, ..rendering }).ok()
        })?;
        kept_values::check(messages, text, |messages| self.template.render(messages, rendering).ok())?;
        Ok(lacks_reasoning)
    }
}

fn fails(error: anyhow::Error) -> RowReason {
    RowReason::TemplateFails(format!("{error:#}"))
}
