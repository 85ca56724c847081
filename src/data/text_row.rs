//! Rows of text that is trained whole, as in TRL's language modelling. Their tokens are those that the
//! tokenizer puts before any text (BOS, if it has one), the text's, and the end token, unless the text ends
//! with it.
//!
//! Unlike TRL, a text that begins with BOS itself does not get a second one. The first token is never
//! predicted from anything, so it counts as prompt.

use anyhow::{Result, bail};

use super::example::{Completion, Example};
use super::long_text;
use super::row::Row;
use super::tokenizer::Tokenizer;

/// The tokens of a text. All except the first are trained. Errors if there is only one.
pub fn example(text: &str, row: &Row, tokenizer: &Tokenizer) -> Result<Example> {
    let mut whole = text.to_owned();
    if let Some(end) = tokenizer.special_tokens().get("eos_token")
        && !whole.ends_with(end)
    {
        whole.push_str(end);
    }
    let mut tokens = long_text::encode(tokenizer, &whole)?.ids;
    let leading = tokenizer.leading();
    if !tokens.starts_with(leading) {
        tokens.splice(..0, leading.iter().copied());
    }
    if tokens.len() < 2 {
        bail!("{}: the text is one token, of which nothing can be learnt", row.origin);
    }
    let answer = tokens.split_off(1);
    let trained = vec![true; answer.len()];
    Ok(Example {
        row: row.origin.row,
        prompt: tokens,
        completions: vec![Completion { tokens: answer, trained }],
        label: None,
        margin: None,
    })
}
