//! Tokenised rows as bytes, packed tightly: numbers take as few bytes as they need, and of which tokens are
//! trained the lengths of the runs are kept.

use anyhow::{Context, Result};

use super::example::{Completion, Example};
use super::tokens::Tokenized;

const LABELLED: u64 = 1;
const DESIRABLE: u64 = 2;
const MARGIN: u64 = 4;
const UNCUT: u64 = 8;

/// A row's example, and its answer as it was before it was cut.
pub fn pack(row: &Tokenized) -> Vec<u8> {
    let Tokenized { example: Example { row, prompt, completions, label, margin }, uncut, .. } = row;
    let mut bytes = Vec::new();
    let flag = |flag: u64, is_set: bool| if is_set { flag } else { 0 };
    let flags = flag(LABELLED, label.is_some())
        | flag(DESIRABLE, *label == Some(true))
        | flag(MARGIN, margin.is_some())
        | flag(UNCUT, uncut.is_some());
    put(&mut bytes, flags);
    put(&mut bytes, *row as u64);
    put(&mut bytes, completions.len() as u64);
    if let Some(margin) = margin {
        bytes.extend(margin.to_le_bytes());
    }
    put_tokens(&mut bytes, prompt);
    for Completion { tokens, trained } in completions.iter().chain(uncut) {
        put_tokens(&mut bytes, tokens);
        // Runs of tokens that are not trained and of those that are take turns; the first may be empty.
        if trained.first() == Some(&true) {
            put(&mut bytes, 0);
        }
        for run in trained.chunk_by(|one, next| one == next) {
            put(&mut bytes, run.len() as u64);
        }
    }
    bytes
}

/// What [`pack`] packed. Errors if the bytes are not from there.
pub fn unpack(bytes: &[u8]) -> Result<(Example, Option<Completion>)> {
    let mut bytes = Unpacker(bytes);
    bytes.row().context("a tokenised row is damaged")
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn put_tokens(bytes: &mut Vec<u8>, tokens: &[u32]) {
    put(bytes, tokens.len() as u64);
    tokens.iter().for_each(|token| put(bytes, u64::from(*token)));
}

struct Unpacker<'a>(&'a [u8]);

impl Unpacker<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A number of things that take a byte each or more.
    fn length(&mut self) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= self.0.len()).then_some(length)
    }

    fn tokens(&mut self) -> Option<Vec<u32>> {
        let length = self.length()?;
        (0..length).map(|_| self.number().map(|token| token as u32)).collect()
    }

    fn completion(&mut self) -> Option<Completion> {
        let tokens = self.tokens()?;
        let mut trained = Vec::with_capacity(tokens.len());
        let mut is_trained = false;
        while trained.len() < tokens.len() {
            let run = usize::try_from(self.number()?).ok()?;
            if run > tokens.len() - trained.len() {
                return None;
            }
            trained.resize(trained.len() + run, is_trained);
            is_trained = !is_trained;
        }
        Some(Completion { tokens, trained })
    }

    fn row(&mut self) -> Option<(Example, Option<Completion>)> {
        let flags = self.number()?;
        let row = usize::try_from(self.number()?).ok()?;
        let completions = self.length()?;
        let margin = match flags & MARGIN {
            0 => None,
            _ => {
                let (number, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                Some(f64::from_le_bytes(*number))
            }
        };
        let prompt = self.tokens()?;
        let completions = (0..completions).map(|_| self.completion()).collect::<Option<_>>()?;
        let uncut = if flags & UNCUT == 0 { None } else { Some(self.completion()?) };
        let label = (flags & LABELLED != 0).then_some(flags & DESIRABLE != 0);
        self.0.is_empty().then_some((Example { row, prompt, completions, label, margin }, uncut))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn completion() -> impl Strategy<Value = Completion> {
        prop::collection::vec((any::<u32>(), any::<bool>()), 0..9).prop_map(|pairs| {
            let (tokens, trained) = pairs.into_iter().unzip();
            Completion { tokens, trained }
        })
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(
            row in 0..1usize << 40,
            prompt in prop::collection::vec(any::<u32>(), 0..9),
            completions in prop::collection::vec(completion(), 0..3),
            label in any::<Option<bool>>(),
            margin in any::<Option<i32>>(),
            uncut in prop::option::of(completion()),
        ) {
            let margin = margin.map(f64::from);
            let example = Example { row, prompt, completions, label, margin };
            let packed = pack(&Tokenized {
                example: example.clone(), cuts: Vec::new(), uncut: uncut.clone(), notes: Default::default(),
            });
            prop_assert_eq!(unpack(&packed).unwrap(), (example, uncut));
            prop_assert!(unpack(&packed[..packed.len() - 1]).is_err());
        }

        #[test]
        fn other_bytes_are_refused_or_are_a_row(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            drop(unpack(&bytes));
        }
    }
}
