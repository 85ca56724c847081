//! Tokenises long texts piece by piece: a tokenizer takes about ninety times a text's size in memory.
//!
//! A text is cut between two words, before the space, where tokenizers that look at words one by one never
//! have a token across. Whether a tokenizer is of that kind is tried out; if it is not, texts stay whole.

use anyhow::Result;

use super::tokenizer::{Encoded, Tokenizer};

/// Texts of at least this many bytes are cut.
const LONG: usize = 256 << 10;
/// About how many bytes a piece has.
const PIECE: usize = 64 << 10;
/// Bytes before a cut that must not open a tag, which may be a token with spaces in it.
const NEAR: usize = 128;
/// Words of which a text is made that shows whether it may be cut.
const TRIED: [&str; 4] = ["One", " word", " and another", " ends"];

/// Ids and byte offsets of a text.
pub fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Encoded> {
    if text.len() < LONG || !may_be_cut(tokenizer)? {
        return tokenizer.encode_with_offsets(text);
    }
    in_pieces(tokenizer, text, PIECE)
}

fn in_pieces(tokenizer: &Tokenizer, text: &str, piece: usize) -> Result<Encoded> {
    let mut whole = Encoded { ids: Vec::new(), offsets: Vec::new() };
    let mut start = 0;
    while start < text.len() {
        let end = cut(text, start + piece).unwrap_or(text.len());
        let Encoded { ids, offsets } = tokenizer.encode_with_offsets(&text[start..end])?;
        whole.ids.extend(ids);
        whole.offsets.extend(offsets.into_iter().map(|(first, last)| (start + first, start + last)));
        start = end;
    }
    Ok(whole)
}

/// The first place at or after `from` where a text may be cut: after a letter and before a space and another
/// letter, far from what may be a tag.
fn cut(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_place = |at: &usize| {
        let at = *at;
        let is_letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_lowercase);
        bytes[at] == b' '
            && is_letter(at - 1)
            && is_letter(at + 1)
            && !bytes[at.saturating_sub(NEAR)..at].iter().any(|byte| b"<[{|".contains(byte))
    };
    (from.max(1)..bytes.len()).find(is_place)
}

/// Whether the pieces of a text have the tokens that the whole text has.
fn may_be_cut(tokenizer: &Tokenizer) -> Result<bool> {
    let whole = tokenizer.encode_with_offsets(&TRIED.concat())?.ids;
    let mut pieces = Vec::new();
    for piece in TRIED {
        pieces.extend(tokenizer.encode_with_offsets(piece)?.ids);
    }
    Ok(whole == pieces)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn pieces_have_the_tokens_of_the_whole() {
        let words = [
            "a word",
            " B",
            "\n\n",
            "  two",
            " don't",
            " 12345",
            ", é",
            " 🍎x",
            "<|im_end|>",
            " of it",
            " is",
        ];
        let text: String = (0..4000).map(|word| words[(word * word + word / 7) % words.len()]).collect();
        let mut cut = 0;
        for name in ["llama3", "mistral", "qwen2", "qwen3"] {
            let tokenizer = Tokenizer::from_folder(&Path::new("tests/golden/models").join(name)).unwrap();
            if may_be_cut(&tokenizer).unwrap() {
                cut += 1;
                let whole = tokenizer.encode_with_offsets(&text).unwrap();
                assert!(in_pieces(&tokenizer, &text, 200).unwrap() == whole, "{name}");
            }
        }
        assert!(cut >= 3, "only {cut} tokenizers cut texts");
    }
}
