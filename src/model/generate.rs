//! Greedy generation with a cache of keys and values, several prompts at once, no padding.
//! A finished sequence leaves the batch.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};

use super::attention::{Angles, Rows};
use super::decoder::Decoder;
use crate::backend::embedding::gather;
use crate::backend::matmul::matmul;
use crate::backend::norm::rms_norm;
use crate::backend::storage::view;
use crate::backend::{Packing, Segment};

/// A sequence that is being generated and its rows of the cache.
struct Sequence {
    /// Index of the prompt.
    index: usize,
    first_row: usize,
    len: usize,
    next: u32,
}

/// The most probable continuation of each prompt: at most `max_new_tokens` tokens, ending after one
/// of `end_tokens` (which is kept). Empty prompts stay empty.
pub fn greedy(
    decoder: &Decoder,
    prompts: &[Vec<u32>],
    max_new_tokens: usize,
    end_tokens: &[u32],
) -> Result<Vec<Vec<u32>>> {
    let mut answers = vec![Vec::new(); prompts.len()];
    if max_new_tokens == 0 {
        return Ok(answers);
    }
    let mut rows = 0;
    let mut active = Vec::new();
    for (index, prompt) in prompts.iter().enumerate().filter(|(_, p)| !p.is_empty()) {
        active.push(Sequence { index, first_row: rows, len: 0, next: 0 });
        rows += prompt.len() + max_new_tokens;
    }
    let kv_width = 2 * decoder.config.key_width();
    let caches = (0..decoder.layers.len())
        .map(|_| Tensor::zeros((rows, kv_width), DType::F32, &Device::Cpu))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let mut fed: Vec<Vec<u32>> = active.iter().map(|s| prompts[s.index].clone()).collect();
    while !active.is_empty() {
        let next = step(decoder, &caches, &active, &fed)?;
        for ((sequence, fed), token) in active.iter_mut().zip(&fed).zip(next) {
            sequence.len += fed.len();
            sequence.next = token;
            answers[sequence.index].push(token);
        }
        active.retain(|s| answers[s.index].len() < max_new_tokens && !end_tokens.contains(&s.next));
        fed = active.iter().map(|s| vec![s.next]).collect();
    }
    Ok(answers)
}

/// Feeds each active sequence its tokens; returns the most probable token after each.
fn step(decoder: &Decoder, caches: &[Tensor], active: &[Sequence], fed: &[Vec<u32>]) -> Result<Vec<u32>> {
    let mut packing = Packing::default();
    let (mut ids, mut cache_rows, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (sequence, tokens)) in active.iter().zip(fed).enumerate() {
        packing.segments.push(Segment {
            start: ids.len(),
            len: tokens.len(),
            skip: sequence.len,
            own_key: sequence.first_row,
            prefix_start: 0,
            prefix_len: 0,
        });
        packing.groups.push(index..index + 1);
        ids.extend(tokens);
        let first = sequence.first_row + sequence.len;
        cache_rows.extend((first..first + tokens.len()).map(|row| row as u32));
        last.push(ids.len() as u32 - 1);
    }
    let (cos, sin) = decoder.config.rope.tables(&packing.positions())?;
    let angles = Angles { cos, sin };
    let rows = Rows {
        packing: &packing,
        query_angles: &angles,
        key_angles: &angles,
        query_dropout: None,
        key_dropout: None,
    };
    let mut x = gather(&decoder.embedding.value, &ids)?;
    for (layer, cache) in decoder.layers.iter().zip(caches) {
        x = layer.forward_cached(&x, &rows, cache, &cache_rows)?;
    }
    let (hidden, _) = rms_norm(&gather(&x, &last)?, &decoder.final_norm.value, decoder.config.rms_norm_eps)?;
    let logits = matmul(&hidden, &decoder.head().value.t()?)?;
    let logits = view(&logits)?;
    Ok(logits.chunks_exact(decoder.config.vocab_size).map(arg_max).collect())
}

/// Index of the largest element, the first of equal ones.
fn arg_max(row: &[f32]) -> u32 {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best as u32
}
