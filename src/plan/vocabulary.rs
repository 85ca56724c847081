//! Whether a tokenizer's tokens have rows in the embedding. Every token that the data uses must have one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::data::Tokenizer;
use crate::data::example::Example;
use crate::model::config::Config;
use crate::model::fault::Fault;

/// Tokens that a message lists.
const LISTED: usize = 3;

/// What to do about a table that is too small.
const GROW: &str = "take the tokenizer that belongs to the model, or grow the embedding in transformers \
                    (`model.resize_token_embeddings(len(tokenizer))`) and save model and tokenizer";

/// The tokenizer of the model in `folder` against its embedding: what is wrong in any case, and a warning
/// of tokens without a row, which is no harm where nothing uses them.
pub fn check(tokenizer: &Tokenizer, config: &Config, folder: &Path) -> (Vec<Fault>, Option<String>) {
    let (rows, place) = (config.vocab_size, folder.display());
    let mut faults = Vec::new();
    let pad = config.raw.get("pad_token_id").and_then(|id| id.as_u64());
    if let Some(pad) = pad.filter(|pad| *pad >= rows as u64) {
        let message = format!(
            "`pad_token_id` of `{}` is {pad}, past the {rows} rows of the embedding (`vocab_size`)",
            folder.join("config.json").display()
        );
        let help = "transformers does not load such a model: give a token below that, or null";
        faults.push(Fault::new(message).with_help(help));
    }
    let past = tokenizer.tokens_from(rows);
    let warning = (!past.is_empty()).then(|| {
        let (has, them) = if past.len() == 1 { ("has", "it") } else { ("have", "them") };
        format!(
            "{} of `{place}` {has} no row in the embedding, which has {rows}: rows of data that use {them} are refused; {GROW}",
            listed(&past)
        )
    });
    (faults, warning)
}

/// An embedding, by its number of rows.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingRows<'a> {
    pub rows: usize,
    /// The model's name in a message.
    pub whose: &'a str,
}

/// What a person should know of a policy that has rows for more tokens than the reward model: it does not
/// write these.
pub fn unwritten(tokenizer: &Tokenizer, policy: usize, reward: EmbeddingRows<'_>) -> Option<String> {
    let past = tokenizer.tokens_from(reward.rows).into_iter().filter(|(id, _)| (*id as usize) < policy);
    let past: Vec<(u32, String)> = past.collect();
    (!past.is_empty()).then(|| {
        let EmbeddingRows { rows, whose } = reward;
        format!("responses never have {}: past the {rows} rows of the embedding of {whose}", listed(&past))
    })
}

/// What is wrong with rows of a data set: tokens past the rows of an embedding.
pub fn check_examples<'a>(
    examples: impl Iterator<Item = &'a Example>,
    tokenizer: &Tokenizer,
    table: EmbeddingRows<'_>,
    data: &str,
) -> Option<Fault> {
    let EmbeddingRows { rows, whose } = table;
    let mut past = BTreeSet::new();
    let mut affected = BTreeSet::new();
    for example in examples {
        let tokens =
            example.completions.iter().flat_map(|completion| &completion.tokens).chain(&example.prompt);
        for &token in tokens.filter(|token| **token as usize >= rows) {
            past.insert(token);
            affected.insert(example.row);
        }
    }
    let first = affected.first()?;
    let name = |&id: &u32| (id, tokenizer.token(id).unwrap_or_default());
    let named: Vec<(u32, String)> = past.iter().map(name).collect();
    let message = format!(
        "{} in {} rows of data `{data}` (first in row {}) is past the {rows} rows of the embedding of {whose}",
        listed(&named),
        affected.len(),
        first + 1
    );
    Some(Fault::new(message).with_help(GROW))
}

/// What is wrong with the tokens that end responses: the model must be able to write one.
pub fn check_ends(ends: &[u32], tokenizer: &Tokenizer, table: EmbeddingRows<'_>) -> Option<Fault> {
    let EmbeddingRows { rows, whose } = table;
    if ends.is_empty() || ends.iter().any(|end| (*end as usize) < rows) {
        return None;
    }
    let named: Vec<(u32, String)> =
        ends.iter().map(|&id| (id, tokenizer.token(id).unwrap_or_default())).collect();
    let message = format!(
        "responses would never end: {} is past the {rows} rows of the embedding of {whose}",
        listed(&named)
    );
    Some(Fault::new(message).with_help(GROW))
}

/// token `<|im_end|>` (507), …
fn listed(tokens: &[(u32, String)]) -> String {
    let shown: Vec<String> =
        tokens.iter().take(LISTED).map(|(id, token)| format!("token `{token}` ({id})")).collect();
    match tokens.len().saturating_sub(LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
