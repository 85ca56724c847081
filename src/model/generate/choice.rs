//! A token from a row of logits: the most probable one, or one drawn after temperature, top-k and
//! top-p, in this order and with the meaning of transformers' logits warpers.

use anyhow::{Result, bail, ensure};

use crate::backend::lanes::{exp_and_sum, max, wide};

/// Candidates sorted first when top-p looks for its cut, and how many times more each time that these
/// are not enough.
const CANDIDATES: usize = 256;
const MORE: usize = 8;

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divides the logits; above 0.
    pub temperature: f64,
    /// Only logits not below the k-th largest remain (more than k, if several equal it); from 1.
    pub top_k: Option<usize>,
    /// Of what remains, renormalised, the least probable tokens that weigh `1 − top_p` or less
    /// together are left out; in (0, 1]. Of equal logits, that of the first token goes first.
    pub top_p: f64,
}

/// How a token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// The most probable token, the first of equals.
    Greedy,
    Sample(Sampling),
}

impl Choice {
    /// Errors if a number is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        let Choice::Sample(Sampling { temperature, top_k, top_p }) = *self else { return Ok(()) };
        ensure!(
            temperature.is_finite() && temperature > 0.0,
            "a temperature of `{temperature}`: it must be above 0"
        );
        ensure!(top_k != Some(0), "a top_k of `0`: it must be at least 1");
        ensure!(top_p > 0.0 && top_p <= 1.0, "a top_p of `{top_p}`: it must be above 0 and at most 1");
        Ok(())
    }

    /// The token for `logits` `[vocabulary]` and `uniform` in [0, 1). Errors if the logits are no
    /// numbers.
    pub(super) fn token(&self, logits: &[f32], uniform: f64) -> Result<u32> {
        let top = wide(
            #[inline(always)]
            || max(logits),
        );
        let sampling = match self {
            Choice::Greedy => {
                let Some(best) = logits.iter().position(|&l| l == top && l.is_finite()) else {
                    bail!("the model's logits are not finite")
                };
                return Ok(best as u32);
            }
            Choice::Sample(sampling) => sampling,
        };
        let weights = sampling.weights(logits, top);
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        ensure!(total.is_finite(), "the model's logits are not finite");
        let mut left = uniform * total;
        let mut last = 0;
        for (token, &weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            last = token;
            left -= f64::from(weight);
            if left < 0.0 {
                break;
            }
        }
        Ok(last as u32)
    }
}

impl Sampling {
    /// Probabilities up to a factor, 0 of what is left out. `top` is the largest logit.
    fn weights(&self, logits: &[f32], top: f32) -> Vec<f32> {
        let temperature = self.temperature as f32;
        let mut weights: Vec<f32> = logits.iter().map(|&l| l / temperature).collect();
        let k = self.top_k.filter(|&k| k < weights.len());
        if let Some(k) = k {
            let mut sorted = weights.clone();
            let (_, &mut least, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
            weights.iter_mut().filter(|w| **w < least).for_each(|w| *w = f32::NEG_INFINITY);
        }
        wide(
            #[inline(always)]
            || exp_and_sum(&mut weights, top / temperature),
        );
        if self.top_p < 1.0 {
            keep_top_p(&mut weights, self.top_p);
        }
        weights
    }
}

/// Sets to 0 the smallest weights that are `1 − top_p` or less of the whole together; the largest
/// weight stays.
fn keep_top_p(weights: &mut [f32], top_p: f64) {
    let mut order: Vec<u32> = (0..weights.len() as u32).filter(|&i| weights[i as usize] > 0.0).collect();
    let heavier = |a: &u32, b: &u32| {
        let weight = |i: &u32| weights[*i as usize];
        weight(b).total_cmp(&weight(a)).then(b.cmp(a))
    };
    let total: f64 = order.iter().map(|&i| f64::from(weights[i as usize])).sum();
    let mut sorted = 0;
    let mut before = 0.0;
    let mut keep = order.len();
    'search: while sorted < order.len() {
        let rest = &mut order[sorted..];
        let more = if sorted == 0 { CANDIDATES } else { sorted * (MORE - 1) }.min(rest.len());
        if more < rest.len() {
            rest.select_nth_unstable_by(more, heavier);
        }
        rest[..more].sort_unstable_by(heavier);
        for (i, &token) in rest[..more].iter().enumerate() {
            // a token stays while those before it weigh less than top_p
            if sorted + i > 0 && before >= top_p * total {
                keep = sorted + i;
                break 'search;
            }
            before += f64::from(weights[token as usize]);
        }
        sorted += more;
    }
    for &token in &order[keep..] {
        weights[token as usize] = 0.0;
    }
}
