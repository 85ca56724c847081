//! How a template ends an answer, found by rendering a made-up exchange.

use anyhow::{Context, Result};

use serde_json::json;

use super::tokenizer::Tokenizer;
use crate::template::Message;
use crate::template::{ChatTemplate, Rendering};

const QUESTION: &str = "Which fruit is yellow?";
const ANSWER: &str = "A banana.";

/// The tokens that follow an answer's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// The end-of-turn token; `None` if the template writes none.
    pub end: Option<u32>,
    /// The tokens that the template writes after it: a newline for chatml, none for llama3.
    pub closing: Vec<u32>,
}

impl Ending {
    /// Errors if the template cannot render one question and its answer.
    pub fn of(template: &ChatTemplate, tokenizer: &Tokenizer) -> Result<Self> {
        let exchange = [Message::new("user", QUESTION), Message::new("assistant", ANSWER)];
        let text = template.render(&exchange, Rendering::default()).or_else(|error| {
            // A model may have only a template for rows with tools.
            let tools = json!([{"type": "function", "function": {"name": "fruit", "parameters": {}}}]);
            let with_tools = Rendering { tools: Some(&tools), ..Rendering::default() };
            template.render(&exchange, with_tools).map_err(|_| error)
        });
        let text = text.context("the template fails on one question and its answer")?;
        let encoded = tokenizer.encode_with_offsets(&text)?;
        let answered = text.rfind(ANSWER).map_or(text.len(), |start| start + ANSWER.len());
        let ends = |id: u32| tokenizer.is_special(id) || tokenizer.eos_id() == Some(id);
        let tokens = encoded.ids.iter().zip(&encoded.offsets);
        let after = tokens.skip_while(|(_, (_, end))| *end <= answered).map(|(id, _)| *id);
        let after: Vec<u32> = after.collect();
        // It is the first such token, since a template may end the whole conversation with another one.
        Ok(match after.iter().position(|id| ends(*id)) {
            Some(first) => Self { end: Some(after[first]), closing: after[first + 1..].to_vec() },
            None => Self::default(),
        })
    }
}
