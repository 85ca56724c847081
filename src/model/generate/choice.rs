//! A token from a row of logits: the most probable one, or one drawn after temperature, top-k and
//! top-p, in this order and with the meaning of transformers' logits warpers.

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::backend::sample::{self, Draw};
use crate::backend::simd::{exp_and_sum, max, wide};
use crate::backend::storage::view;

const NOT_FINITE: &str = "the model's logits are not finite";

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

    /// A token each for `rows` of the logits `[*, vocabulary]`, float32, and uniform numbers in [0, 1): where
    /// the logits lie, if there is a kernel for the choice, else here. Errors if the logits are no numbers.
    pub(super) fn tokens(&self, logits: &Tensor, rows: &[u32], uniforms: &[f64]) -> Result<Vec<u32>> {
        let draw = match *self {
            Choice::Greedy => Some(Draw::Greedy),
            Choice::Sample(Sampling { temperature, top_k: None, top_p: 1.0 }) => {
                Some(Draw::Sample { temperature, uniforms })
            }
            Choice::Sample(_) => None,
        };
        if let Some(draw) = draw
            && let Some(tokens) = sample::tokens(logits, rows, draw)?
        {
            return tokens.into_iter().map(|token| token.context(NOT_FINITE)).collect();
        }
        let vocabulary = logits.dim(1)?;
        let logits = logits.to_device(&Device::Cpu)?;
        let logits = view(&logits)?;
        let tokens = rows
            .par_iter()
            .zip(uniforms)
            .map(|(&row, &uniform)| self.token(&logits[row as usize * vocabulary..][..vocabulary], uniform));
        tokens.collect()
    }

    /// The token for `logits` `[vocabulary]` and `uniform` in [0, 1). Errors if the logits are no
    /// numbers.
    fn token(&self, logits: &[f32], uniform: f64) -> Result<u32> {
        let top = wide(
            #[inline(always)]
            || max(logits),
        );
        let sampling = match self {
            Choice::Greedy => {
                let Some(best) = logits.iter().position(|&l| l == top && l.is_finite()) else {
                    bail!(NOT_FINITE)
                };
                return Ok(best as u32);
            }
            Choice::Sample(sampling) => sampling,
        };
        let weights = sampling.weights(logits, top);
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        ensure!(total.is_finite(), NOT_FINITE);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::gpu::trial;
    use candle_core::DType;

    const LOGITS: [f32; 12] = [1.5, -0.25, 0.75, 3.0, 0.75, -2.0, 2.25, 0.0, 0.75, -1.0, 1.25, -4.0];

    fn sampling(temperature: f64, top_k: Option<usize>, top_p: f64) -> Sampling {
        Sampling { temperature, top_k, top_p }
    }

    fn probabilities(sampling: Sampling, logits: &[f32]) -> Vec<f64> {
        let weights = sampling.weights(logits, logits.iter().copied().fold(f32::MIN, f32::max));
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        weights.iter().map(|&w| f64::from(w) / total).collect()
    }

    /// transformers 5.23.0: `TopPLogitsWarper(p)(None, TopKLogitsWarper(k)(None,
    /// TemperatureLogitsWarper(t)(None, logits))).softmax(-1)`, what changes nothing left out.
    #[test]
    fn what_remains_is_what_transformers_leaves() {
        let expected: [(_, [f64; 12]); 8] = [
            (
                sampling(0.7, None, 1.0),
                [
                    0.069419, 0.005698, 0.023777, 0.591715, 0.023777, 0.000468, 0.202674, 0.008144, 0.023777,
                    0.001952, 0.048571, 2.7e-05,
                ],
            ),
            (
                sampling(2.0, Some(4), 1.0),
                [0.183335, 0.0, 0.0, 0.388121, 0.0, 0.0, 0.266751, 0.0, 0.0, 0.0, 0.161793, 0.0],
            ),
            // three tokens equal the fifth largest
            (
                sampling(1.0, Some(5), 1.0),
                [
                    0.102097, 0.0, 0.048227, 0.457568, 0.048227, 0.0, 0.21614, 0.0, 0.048227, 0.0, 0.079513,
                    0.0,
                ],
            ),
            (
                sampling(0.7, None, 0.7),
                [0.0, 0.0, 0.0, 0.744868, 0.0, 0.0, 0.255132, 0.0, 0.0, 0.0, 0.0, 0.0],
            ),
            (
                sampling(1.5, Some(6), 0.6),
                [0.186324, 0.0, 0.0, 0.50648, 0.0, 0.0, 0.307196, 0.0, 0.0, 0.0, 0.0, 0.0],
            ),
            (sampling(1.0, None, 0.05), [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            // the cut goes through equal tokens
            (
                sampling(1.0, None, 0.85),
                [0.112996, 0.0, 0.0, 0.506414, 0.0, 0.0, 0.239213, 0.0, 0.053376, 0.0, 0.088002, 0.0],
            ),
            (
                sampling(1.0, None, 0.88),
                [0.107271, 0.0, 0.0, 0.480753, 0.050671, 0.0, 0.227092, 0.0, 0.050671, 0.0, 0.083542, 0.0],
            ),
        ];
        for (sampling, expected) in expected {
            for (token, (got, want)) in probabilities(sampling, &LOGITS).into_iter().zip(expected).enumerate()
            {
                assert!((got - want).abs() < 1e-6, "{sampling:?}, token {token}: {got}, not {want}");
            }
        }
    }

    #[test]
    fn a_cut_far_down_is_that_of_a_full_sort() {
        let logits: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 5000) as f32 / 5000.0).collect();
        let all = probabilities(sampling(1.0, None, 1.0), &logits);
        for top_p in [0.01, 0.06, 0.3, 0.9] {
            let mut order: Vec<usize> = (0..5000).collect();
            order.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
            let mut mass = 0.0;
            let stays = order.iter().take_while(|&&token| {
                let stay = mass < top_p;
                mass += all[token];
                stay
            });
            let mut stays: Vec<usize> = stays.copied().collect();
            stays.sort_unstable();
            let cut = probabilities(sampling(1.0, None, top_p), &logits);
            let got: Vec<usize> = (0..5000).filter(|&token| cut[token] > 0.0).collect();
            assert_eq!(got, stays, "{top_p}");
        }
    }

    #[test]
    fn a_number_picks_the_token_whose_share_holds_it() {
        let choice = Choice::Sample(sampling(1.0, None, 1.0));
        let logits = [0.25f32.ln(), f32::NEG_INFINITY, 0.5f32.ln(), 0.25f32.ln()];
        let picks = [0.0, 0.24, 0.26, 0.74, 0.76, 1.0 - 1e-16].map(|u| choice.token(&logits, u).unwrap());
        assert_eq!(picks, [0, 0, 2, 2, 3, 3]);
        assert_eq!(Choice::Greedy.token(&[1.0, 3.0, 3.0], 0.9).unwrap(), 1);
    }

    #[test]
    fn tokens_chosen_where_kernels_run_are_the_host_s() {
        trial::each_of(DType::F32, |trial| {
            for vocabulary in [1, 5, 37, 1003, 4099] {
                let logits = trial.random(6, vocabulary);
                let rows: Vec<u32> = (0..64).map(|i| i * 5 % 6).collect();
                let uniforms: Vec<f64> = (0..64).map(|i| f64::from(i) / 64.0).collect();
                for choice in [Choice::Greedy, Choice::Sample(sampling(0.7, None, 1.0))] {
                    let want = trial.cpu(|| choice.tokens(&logits.cpu, &rows, &uniforms)).unwrap();
                    let got = choice.tokens(&logits.gpu, &rows, &uniforms).unwrap();
                    let kept = Tensor::from_slice(&got, 64, &Device::Cpu).unwrap();
                    trial.within(&kept, &kept, 0.0);
                    for i in 0..64 {
                        // up to rounding where one token's share ends and the next one's begins
                        let near = |by: f64| {
                            let moved = (uniforms[i] + by).clamp(0.0, 1.0 - 1e-16);
                            let logits = logits.cpu.get(rows[i] as usize).unwrap().to_vec1().unwrap();
                            choice.token(&logits, moved).unwrap()
                        };
                        assert!(got[i] == want[i] || [near(-2e-6), near(2e-6)].contains(&got[i]), "{i}");
                    }
                    let same = got.iter().zip(&want).filter(|(got, want)| got == want).count();
                    assert!(same >= 63, "{same} of 64 tokens of {vocabulary}");
                }
            }
        });
    }

    #[test]
    fn kernels_choose_the_first_of_equals_leave_out_the_impossible_and_refuse_what_is_no_number() {
        trial::each_of(DType::F32, |trial| {
            let token = |choice: Choice, logits: &[f32], uniform| {
                let logits = Tensor::from_slice(logits, (1, logits.len()), &Device::Cpu).unwrap();
                choice.tokens(&trial.put(&logits), &[0], &[uniform]).map(|tokens| tokens[0])
            };
            let drawn = Choice::Sample(sampling(1.0, None, 1.0));
            let mut logits = vec![-1.0f32; 300];
            (logits[70], logits[290]) = (3.0, 3.0);
            assert_eq!(token(Choice::Greedy, &logits, 0.5).unwrap(), 70);
            let none = f32::NEG_INFINITY;
            let logits = [none, 0.25f32.ln(), none, 0.5f32.ln(), 0.25f32.ln(), none];
            let picks = [0.0, 0.24, 0.26, 0.74, 0.76, 1.0 - 1e-16];
            assert_eq!(picks.map(|u| token(drawn, &logits, u).unwrap()), [1, 1, 3, 3, 4, 4]);
            let mut wide = vec![none; 3000];
            (wide[1234], wide[2345]) = (0.0, 0.0);
            assert_eq!(picks.map(|u| token(drawn, &wide, u).unwrap()), [1234, 1234, 1234, 2345, 2345, 2345]);
            for choice in [Choice::Greedy, drawn] {
                for bad in [f32::NAN, f32::INFINITY, none] {
                    let error = token(choice, &[bad, bad], 0.5).unwrap_err().to_string();
                    assert_eq!(error, "the model's logits are not finite");
                }
            }
        });
    }

    #[test]
    fn numbers_out_of_range_and_logits_that_are_none_are_refused() {
        let refused = |temperature, top_k, top_p| {
            Choice::Sample(sampling(temperature, top_k, top_p)).check().unwrap_err().to_string()
        };
        assert_eq!(refused(0.0, None, 1.0), "a temperature of `0`: it must be above 0");
        assert_eq!(refused(1.0, Some(0), 1.0), "a top_k of `0`: it must be at least 1");
        assert_eq!(refused(1.0, None, 0.0), "a top_p of `0`: it must be above 0 and at most 1");
        for choice in [Choice::Greedy, Choice::Sample(sampling(1.0, None, 1.0))] {
            for bad in [f32::NAN, f32::INFINITY] {
                let error = choice.token(&[bad, bad], 0.5).unwrap_err().to_string();
                assert_eq!(error, "the model's logits are not finite");
            }
        }
    }
}
