//! Prints tokens on a terminal or into a pipe, and marks those that are trained.

use std::io::Write;
use std::iter::repeat_n;

use anyhow::Result;

use crate::data::Tokenizer;
use crate::data::example::{Completion, Example};

/// How trained tokens are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Green on a terminal.
    Colour,
    /// `[token]`.
    Brackets,
}

/// Writes the tokens of every completion, prompt included, or of the prompt alone where nothing follows
/// it: counts, the tokens, the checks.
pub fn write_example(
    example: &Example,
    names: &[&str],
    tokenizer: &Tokenizer,
    mark: Mark,
    out: &mut impl Write,
) -> Result<()> {
    if example.completions.is_empty() {
        writeln!(out, "prompt: {} tokens", example.prompt.len())?;
        let prompt = example.prompt.iter().map(|id| (*id, false));
        writeln!(out, "{}", line(prompt, tokenizer, mark))?;
        writeln!(out, "{}\n", bos(&example.prompt, tokenizer))?;
    }
    let shared = example.prompt.len();
    for (index, (completion, name)) in example.completions.iter().zip(names).enumerate() {
        let ids = [example.prompt.as_slice(), &completion.tokens].concat();
        let marked = completion.trained.iter().filter(|trained| **trained).count();
        write!(out, "{name}: {} tokens, {shared} shared prompt, ", ids.len())?;
        if index >= example.answers().len() {
            // Another row's answer is read for the KL alone.
            writeln!(out, "{marked} compared with the reference, none trained")?;
            writeln!(out, "{}\n", line(ids.iter().map(|id| (*id, false)), tokenizer, mark))?;
            continue;
        }
        writeln!(out, "{marked} trained")?;
        let trained = repeat_n(false, shared).chain(completion.trained.iter().copied());
        writeln!(out, "{}", line(ids.iter().copied().zip(trained), tokenizer, mark))?;
        writeln!(out, "{}; {}\n", bos(&ids, tokenizer), end_of_turn(completion, tokenizer))?;
    }
    Ok(())
}

/// Writes tokens, those that are trained marked, and starts a new line where the text does.
fn line(tokens: impl Iterator<Item = (u32, bool)>, tokenizer: &Tokenizer, mark: Mark) -> String {
    let mut line = String::new();
    for (id, trained) in tokens {
        let token = readable(id, tokenizer);
        line.push_str(&match (trained, mark) {
            (false, Mark::Brackets) => format!("{token}·"),
            (true, Mark::Brackets) => format!("[{token}]"),
            (false, Mark::Colour) => format!("{token}\u{1b}[2m·\u{1b}[0m"),
            (true, Mark::Colour) => format!("\u{1b}[32m{token}\u{1b}[2m·\u{1b}[0m"),
        });
        if token.ends_with("\\n") {
            line.push('\n');
        }
    }
    line.trim_end_matches('\n').to_owned()
}

/// A token's text with its control characters written out; one that is a part of a character as the
/// vocabulary has it.
fn readable(id: u32, tokenizer: &Tokenizer) -> String {
    let text = tokenizer.decode(&[id]).ok().filter(|text| !text.contains('\u{fffd}'));
    let text = text.or_else(|| tokenizer.token(id)).unwrap_or_else(|| format!("<{id}>"));
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

fn bos(ids: &[u32], tokenizer: &Tokenizer) -> String {
    let Some(bos) = tokenizer.bos_id() else { return "no BOS token in the tokenizer".to_owned() };
    let name = tokenizer.token(bos).unwrap_or_default();
    let leading = ids.iter().take_while(|id| **id == bos).count();
    match leading {
        0 => format!("no BOS `{name}` at the start"),
        1 => format!("one BOS `{name}` at the start"),
        more => format!("{more} BOS `{name}` at the start"),
    }
}

fn end_of_turn(completion: &Completion, tokenizer: &Tokenizer) -> String {
    let ends = |id: u32| tokenizer.is_special(id) || tokenizer.eos_id() == Some(id);
    let mut trained =
        completion.tokens.iter().zip(&completion.trained).filter(|(_, trained)| **trained).rev();
    match trained.find(|(id, _)| ends(**id)) {
        Some((id, _)) => {
            format!("end of turn `{}` is trained", tokenizer.token(*id).unwrap_or_default())
        }
        None => "no end-of-turn token is trained".to_owned(),
    }
}
