//! Trains a byte-level BPE tokenizer for a model that starts from random weights, and writes its files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use tokenizers::AddedToken;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::Tokenizer as HfTokenizer;

/// Special tokens, in the order of their ids (from 0): padding, opening and closing a turn.
pub const SPECIAL_TOKENS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Every byte has a token of its own.
const BYTES: usize = 256;

/// The most tokens that a tokenizer may be trained to have: memory is taken for all of them at once.
pub const LARGEST: usize = 1 << 20;

/// Trains on `texts` and writes `tokenizer.json`, `tokenizer_config.json` and
/// `chat_template.jinja` (`template`'s source) into `folder`. The same texts give the same files.
/// Errors if `vocab_size` has no room for bytes and special tokens, or is more than [`LARGEST`].
pub fn train_tokenizer(texts: &[String], vocab_size: usize, template: &str, folder: &Path) -> Result<()> {
    if vocab_size < BYTES + SPECIAL_TOKENS.len() {
        bail!(
            "`vocab_size` {vocab_size} is too small for a byte-level tokenizer; give it at least {}",
            BYTES + SPECIAL_TOKENS.len()
        );
    }
    if vocab_size > LARGEST {
        bail!("`vocab_size` {vocab_size} is too large for a tokenizer; give it at most {LARGEST}");
    }
    let byte_level = ByteLevel::new(false, true, true);
    let mut tokenizer = HfTokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level)).with_decoder(Some(byte_level));
    let trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(SPECIAL_TOKENS.map(|token| AddedToken::from(token, true)).to_vec())
        .build();
    let mut trainer = TrainerWrapper::from(trainer);
    tokenizer
        .train(&mut trainer, texts.iter())
        .map_err(|error| anyhow!("cannot train a tokenizer: {error}"))?;
    let text =
        tokenizer.to_string(true).map_err(|error| anyhow!("cannot write the trained tokenizer: {error}"))?;
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": SPECIAL_TOKENS[2],
        "pad_token": SPECIAL_TOKENS[0],
        "clean_up_tokenization_spaces": false,
    });
    for (name, content) in [
        ("tokenizer.json", text),
        ("tokenizer_config.json", format!("{config:#}\n")),
        ("chat_template.jinja", template.to_owned()),
    ] {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}
