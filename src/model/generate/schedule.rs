//! Which samples are in flight. Samples enter in the order of their prompts' first appearance, so
//! that those of one prompt follow each other and its keys and values are made once and let go early.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Result, ensure};
use candle_core::Tensor;

use super::cache::Cache;
use super::choice::Choice;
use super::pass::{Piece, feed};
use super::request::{Generation, Request};
use crate::backend::log_prob::chunk_rows_beside;
use crate::backend::sample::logits;
use crate::model::decoder::Decoder;
use crate::random::Stream;

/// Tokens of short prompts that go through the model at once, and of a long one: what bounds the
/// activations. Prompts are cut at multiples of the piece, whatever else there is.
const PASS: usize = 512;
const PIECE: usize = 512;

/// Hears (samples finished, samples) between steps; an `Err` stops the generation.
type OnProgress<'a> = dyn FnMut(u64, u64) -> Result<()> + 'a;

/// A distinct prompt.
struct PromptState<'a> {
    ids: &'a [u32],
    /// Samples of it that have not ended.
    open: usize,
    /// Once it goes through the model.
    fed: Option<Fed>,
}

/// What a prompt left.
struct Fed {
    /// Its rows of the cache.
    rows: Range<usize>,
    /// Its last token's hidden state, `[1, hidden]`, once that is known.
    hidden: Option<Tensor>,
}

/// A sample in flight.
struct Sequence {
    request: usize,
    prompt: usize,
    /// Its own rows of the cache: every token of the answer but the last.
    rows: Range<usize>,
}

/// A token to choose.
struct Taker {
    sequence: Sequence,
    /// Row of the hidden states that it is chosen from.
    row: usize,
}

struct Scheduler<'a> {
    decoder: &'a Decoder,
    requests: &'a [Request<'a>],
    generation: &'a Generation<'a>,
    cache: Cache,
    prompts: Vec<PromptState<'a>>,
    /// Requests that have not entered, the next one last.
    waiting: Vec<(usize, usize)>,
    active: Vec<Sequence>,
    answers: Vec<Vec<u32>>,
    finished: u64,
}

/// An answer for each request, `max_new_tokens` tokens at most; it ends after one of the end tokens,
/// which it keeps. An empty prompt has an empty answer. Errors if a number is out of its range, if the
/// model's logits are not finite, or with what `watch` says.
pub fn generate(
    decoder: &Decoder,
    requests: &[Request<'_>],
    generation: &Generation<'_>,
    watch: &mut dyn FnMut(u64, u64) -> Result<()>,
) -> Result<Vec<Vec<u32>>> {
    generation.choice.check()?;
    ensure!(generation.batch > 0, "a batch of `0` samples: it must be at least 1");
    if generation.max_new_tokens == 0 {
        return Ok(vec![Vec::new(); requests.len()]);
    }
    let mut run = Scheduler::new(decoder, requests, generation)?;
    while !(run.active.is_empty() && run.waiting.is_empty()) {
        run.enter(watch)?;
        run.watch(watch)?;
        run.step()?;
    }
    run.watch(watch)?;
    Ok(run.answers)
}

/// The most probable continuation of each prompt, all at once: [`generate`] with [`Choice::Greedy`].
pub fn greedy(
    decoder: &Decoder,
    prompts: &[Vec<u32>],
    max_new_tokens: usize,
    end_tokens: &[u32],
) -> Result<Vec<Vec<u32>>> {
    let requests: Vec<Request> =
        prompts.iter().map(|prompt| Request { prompt, stream: Stream::FIXED }).collect();
    let batch = prompts.len().max(1);
    let choice = Choice::Greedy;
    let generation = Generation { choice, max_new_tokens, end_tokens, batch, first_tokens: None };
    generate(decoder, &requests, &generation, &mut |_, _| Ok(()))
}

impl<'a> Scheduler<'a> {
    fn new(
        decoder: &'a Decoder,
        requests: &'a [Request<'a>],
        generation: &'a Generation<'a>,
    ) -> Result<Self> {
        let mut prompts: Vec<PromptState> = Vec::new();
        let mut waiting = Vec::new();
        let mut by_ids: HashMap<&[u32], usize> = HashMap::new();
        for (request, &Request { prompt: ids, .. }) in requests.iter().enumerate() {
            if !ids.is_empty() {
                let prompt = *by_ids.entry(ids).or_insert(prompts.len());
                if prompt == prompts.len() {
                    prompts.push(PromptState { ids, open: 0, fed: None });
                }
                prompts[prompt].open += 1;
                waiting.push((request, prompt));
            }
        }
        waiting.sort_by_key(|&(_, prompt)| prompt);
        let mut rows = 0;
        let mut counted = None;
        for &(_, prompt) in waiting.iter().take(generation.batch) {
            if counted.replace(prompt) != Some(prompt) {
                rows += prompts[prompt].ids.len();
            }
            rows += generation.max_new_tokens - 1;
        }
        waiting.reverse();
        let empty = requests.len() - waiting.len();
        Ok(Scheduler {
            decoder,
            requests,
            generation,
            cache: Cache::new(
                decoder.layers.len(),
                2 * decoder.config.key_width(),
                rows,
                &decoder.compute(),
            )?,
            prompts,
            waiting,
            active: Vec::new(),
            answers: vec![Vec::new(); requests.len()],
            finished: empty as u64,
        })
    }

    fn watch(&self, watch: &mut OnProgress) -> Result<()> {
        watch(self.finished, self.requests.len() as u64)
    }

    /// Fills the batch: new prompts go through the model, new samples get their first token.
    fn enter(&mut self, watch: &mut OnProgress) -> Result<()> {
        while self.active.len() < self.generation.batch && !self.waiting.is_empty() {
            let places = self.generation.batch - self.active.len();
            let first = self.waiting.len().saturating_sub(places);
            let mut entering = self.waiting.split_off(first);
            entering.reverse();
            let mut prompts: Vec<usize> = entering.iter().map(|&(_, prompt)| prompt).collect();
            prompts.dedup();
            self.feed_prompts(&prompts, watch)?;
            let fed = prompts.iter().filter_map(|&prompt| self.prompts[prompt].fed.as_ref());
            let states: Vec<&Tensor> = fed.filter_map(|fed| fed.hidden.as_ref()).collect();
            let hidden = Tensor::cat(&states, 0)?;
            let mut takers = Vec::new();
            let mut row = 0;
            for (request, prompt) in entering {
                if prompts[row] != prompt {
                    row += 1;
                }
                let rows = self.cache.take(self.generation.max_new_tokens - 1)?;
                takers.push(Taker { sequence: Sequence { request, prompt, rows }, row });
            }
            self.choose(&hidden, takers)?;
        }
        Ok(())
    }

    /// Feeds those of `prompts` that are new, a pass at a time.
    fn feed_prompts(&mut self, prompts: &[usize], watch: &mut OnProgress) -> Result<()> {
        let mut cut = Vec::new();
        for &prompt in prompts {
            if self.prompts[prompt].fed.is_some() {
                continue;
            }
            let ids = self.prompts[prompt].ids;
            let rows = self.cache.take(ids.len())?;
            for (index, part) in ids.chunks(PIECE).enumerate() {
                cut.push((prompt, Piece { ids: part, prefix: (0, 0), own: rows.start, fed: index * PIECE }));
            }
            self.prompts[prompt].fed = Some(Fed { rows, hidden: None });
        }
        let mut cut = cut.into_iter().peekable();
        while cut.peek().is_some() {
            self.watch(watch)?;
            let (mut of, mut pieces, mut tokens) = (Vec::new(), Vec::new(), 0);
            let fits = |piece: &Piece, tokens| {
                tokens == 0 || (!piece.goes_alone() && tokens + piece.ids.len() <= PASS)
            };
            while let Some((prompt, piece)) = cut.next_if(|(_, piece)| fits(piece, tokens)) {
                // nothing comes after a piece that goes alone
                tokens += if piece.goes_alone() { PASS } else { piece.ids.len() };
                of.push(prompt);
                pieces.push(piece);
            }
            let hidden = feed(self.decoder, &self.cache, &pieces)?;
            for (row, prompt) in of.into_iter().enumerate() {
                if let Some(fed) = &mut self.prompts[prompt].fed {
                    fed.hidden = Some(hidden.narrow(0, row, 1)?);
                }
            }
        }
        Ok(())
    }

    /// Every active sample's last token goes through the model and gives the next.
    fn step(&mut self) -> Result<()> {
        if self.active.is_empty() {
            return Ok(());
        }
        let active = std::mem::take(&mut self.active);
        let mut pieces = Vec::new();
        for sequence in &active {
            let answer = &self.answers[sequence.request];
            let prompt = &self.prompts[sequence.prompt];
            let row = prompt.fed.as_ref().map_or(0, |fed| fed.rows.start);
            let fed = answer.len() - 1;
            let prefix = (row, prompt.ids.len());
            pieces.push(Piece { ids: &answer[fed..], prefix, own: sequence.rows.start, fed });
        }
        let hidden = feed(self.decoder, &self.cache, &pieces)?;
        let takers = active.into_iter().enumerate().map(|(row, sequence)| Taker { sequence, row });
        self.choose(&hidden, takers.collect())
    }

    /// Chooses a token for each taker, ascending by row, from `hidden` `[rows, hidden]`; those that go
    /// on are active.
    fn choose(&mut self, hidden: &Tensor, takers: Vec<Taker>) -> Result<()> {
        let mut head = self.decoder.head()?.value.clone();
        let mut vocabulary = self.decoder.config.vocab_size;
        if let Some(first) = self.generation.first_tokens.filter(|first| *first < vocabulary) {
            head = head.narrow(0, 0, first)?;
            vocabulary = first;
        }
        let mut takers = takers.into_iter().peekable();
        let rows = hidden.dim(0)?;
        let chunk = chunk_rows_beside(hidden, vocabulary)?;
        for start in (0..rows).step_by(chunk) {
            let n = chunk.min(rows - start);
            let logits = logits(&hidden.narrow(0, start, n)?, &head)?;
            let mut here = Vec::new();
            while let Some(taker) = takers.next_if(|taker| taker.row < start + n) {
                here.push(taker);
            }
            let rows: Vec<u32> = here.iter().map(|taker| (taker.row - start) as u32).collect();
            let uniforms: Vec<f64> = here.iter().map(|taker| self.uniform(&taker.sequence)).collect();
            let tokens = self.generation.choice.tokens(&logits, &rows, &uniforms)?;
            for (taker, token) in here.into_iter().zip(tokens) {
                self.append(taker.sequence, token);
            }
        }
        Ok(())
    }

    /// What the next token of a sample is drawn with.
    fn uniform(&self, sequence: &Sequence) -> f64 {
        let t = self.answers[sequence.request].len() as u64;
        self.requests[sequence.request].stream.uniform(t)
    }

    fn append(&mut self, sequence: Sequence, token: u32) {
        let answer = &mut self.answers[sequence.request];
        answer.push(token);
        if answer.len() < self.generation.max_new_tokens && !self.generation.end_tokens.contains(&token) {
            self.active.push(sequence);
            return;
        }
        self.finished += 1;
        self.cache.give(sequence.rows);
        let prompt = &mut self.prompts[sequence.prompt];
        prompt.open -= 1;
        if let Some(fed) = prompt.fed.take_if(|_| prompt.open == 0) {
            self.cache.give(fed.rows);
        }
    }
}
