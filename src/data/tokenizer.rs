//! A model's tokenizer: `tokenizer.json` and the special tokens of `tokenizer_config.json`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use tokenizers::PostProcessorWrapper;
use tokenizers::models::ModelWrapper;
use tokenizers::tokenizer::Tokenizer as HfTokenizer;

use super::added_tokens;
use crate::caught::caught;
use crate::json_file;
use crate::template::SpecialTokens;

/// A tokenizer that encodes whole texts without adding special tokens, since templates write those
/// themselves.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: HfTokenizer,
    /// The `tokenizer.json`.
    file: PathBuf,
    special_tokens: SpecialTokens,
    special_ids: Vec<u32>,
    leading: Vec<u32>,
    /// The special tokens that the vocabulary does not have, with their names.
    missing: Vec<(String, String)>,
}

/// Token ids and the bytes of the text that each covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub ids: Vec<u32>,
    /// Start and end byte of each token, `[ids.len()]`. Tokens that share a character all cover the whole
    /// of it.
    pub offsets: Vec<(usize, usize)>,
}

impl Tokenizer {
    /// Reads the tokenizer of a model's folder. Errors if the library that follows it panics over it.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        caught(|| Self::read(folder, &path)).unwrap_or_else(|panic| Err(unusable(&path, &panic)))
    }

    fn read(folder: &Path, path: &Path) -> Result<Self> {
        let cannot = || format!("cannot read the tokenizer `{}`", path.display());
        let text = fs::read(path).with_context(cannot)?;
        json_file::parse_bytes(&text).map_err(|error| anyhow!("{}: {error}", cannot()))?;
        let mut inner = HfTokenizer::from_bytes(&text).map_err(|error| anyhow!("{}: {error}", cannot()))?;
        without_chance(&mut inner);
        let leading = leading(&inner);
        // Texts are never cut or padded here, and a post-processor would only shift offsets.
        inner
            .with_truncation(None)
            .map_err(|error| anyhow!("`{}`: {error}", path.display()))?
            .with_padding(None)
            .with_post_processor(None::<PostProcessorWrapper>);
        let special_tokens = SpecialTokens::read(folder)?;
        let missing = added_tokens::complete(&mut inner, folder, &special_tokens)?;
        if let Some((_, eos)) = missing.iter().find(|(name, _)| name == "eos_token") {
            bail!(
                "`{}` has no token `{eos}`, which the tokenizer's settings beside it name as `eos_token`: \
                 the end of an answer would be cut into pieces; name a token that is there in \
                 `tokenizer_config.json`, or add it to the tokenizer and to the model's embeddings",
                path.display()
            );
        }
        let added = inner.get_added_tokens_decoder();
        let mut special_ids: Vec<u32> =
            added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        special_ids.sort_unstable();
        // What cannot be written again is noticed here, and not at the end of a run.
        inner.decode(&[0, 1], false).map_err(|error| anyhow!("{}: {error}", cannot()))?;
        Ok(Tokenizer { inner, file: path.to_owned(), special_tokens, special_ids, leading, missing })
    }

    /// Ids and byte offsets of a text.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Encoded> {
        let encoding = caught(|| self.inner.encode(text, false).map_err(|error| anyhow!("{error}")))
            .unwrap_or_else(|panic| Err(unusable(&self.file, &panic)))
            .with_context(|| format!("cannot tokenise {:?}", excerpt(text)))?;
        Ok(Encoded { ids: encoding.get_ids().to_vec(), offsets: encoding.get_offsets().to_vec() })
    }

    /// Tokens that the tokenizer puts before a text that no template writes, such as BOS.
    pub fn leading(&self) -> &[u32] {
        &self.leading
    }

    /// The text of tokens, special ones included.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.decoded(ids, false)
    }

    /// The text of tokens without the special ones.
    pub fn decode_plain(&self, ids: &[u32]) -> Result<String> {
        self.decoded(ids, true)
    }

    fn decoded(&self, ids: &[u32], plain: bool) -> Result<String> {
        caught(|| self.inner.decode(ids, plain).map_err(|error| anyhow!("cannot decode tokens: {error}")))
            .unwrap_or_else(|panic| Err(unusable(&self.file, &panic)))
    }

    /// A token as the vocabulary writes it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Entries of the vocabulary, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The number of rows that an embedding needs for all tokens: the largest id plus one.
    pub fn embedding_rows(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1)
    }

    /// The tokens whose ids are `first` or more, ascending.
    pub fn tokens_from(&self, first: usize) -> Vec<(u32, String)> {
        let vocabulary = self.inner.get_vocab(true).into_iter();
        let past = vocabulary.filter(|(_, id)| *id as usize >= first);
        let mut past: Vec<(u32, String)> = past.map(|(token, id)| (id, token)).collect();
        past.sort_unstable();
        past
    }

    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special_tokens
    }

    /// The name and text of the first special token that occurs in a text and is not in the vocabulary.
    pub fn missing_in(&self, text: &str) -> Option<(&str, &str)> {
        let found = self.missing.iter().find(|(_, token)| !token.is_empty() && text.contains(token));
        found.map(|(name, token)| (name.as_str(), token.as_str()))
    }

    pub fn bos_id(&self) -> Option<u32> {
        self.id(self.special_tokens.get("bos_token")?)
    }

    pub fn eos_id(&self) -> Option<u32> {
        self.id(self.special_tokens.get("eos_token")?)
    }

    /// Whether a token is one of the tokenizer's special ones, which end turns in chat templates.
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.binary_search(&id).is_ok()
    }
}

/// The error of a `tokenizer.json` that the library which follows it panics over.
fn unusable(file: &Path, panic: &str) -> anyhow::Error {
    anyhow!(
        "the tokenizer `{}` cannot be used: {panic}; correct it, or take the file of the model that was published",
        file.display()
    )
}

/// Turns off what draws lots when a text is split, so that a text always has the same tokens: the dropout of
/// a BPE, and the sampling of a unigram model.
fn without_chance(inner: &mut HfTokenizer) {
    let model = match inner.get_model() {
        ModelWrapper::BPE(bpe) if bpe.dropout.is_some() => {
            let mut bpe = bpe.clone();
            bpe.dropout = None;
            ModelWrapper::BPE(bpe)
        }
        ModelWrapper::Unigram(unigram) if unigram.alpha.is_some() || unigram.nbest_size.is_some() => {
            let mut unigram = unigram.clone();
            (unigram.alpha, unigram.nbest_size) = (None, None);
            ModelWrapper::Unigram(unigram)
        }
        _ => return,
    };
    inner.with_model(model);
}

/// The tokens that the post-processor puts before a text; empty if there is no post-processor.
fn leading(inner: &HfTokenizer) -> Vec<u32> {
    let ids = |special| inner.encode("a", special).map(|encoding| encoding.get_ids().to_vec());
    let (Ok(with), Ok(without)) = (ids(true), ids(false)) else { return Vec::new() };
    let start = with.windows(without.len().max(1)).position(|window| window == without);
    start.map_or_else(Vec::new, |start| with[..start].to_vec())
}

fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}
