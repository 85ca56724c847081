//! How much responses to different prompts differ from each other, and how far single ones are from the
//! reference: what tells a policy that answers better from one that has found an answer that the reward
//! model likes. Ours, in TRL's style of names:
//!
//! | metric | of the responses of an update, or to the held-out prompts |
//! |---|---|
//! | `val/num_responses` | how many there are: what `val/num_eos_tokens` counts from |
//! | `val/distinct_responses` | share of different ones among them, 0..1 |
//! | `val/top_response` | share of the most frequent one, 0..1 |
//! | `val/response_length` | mean length, tokens, end token included |
//! | `objective/kl_q10`, `_q50`, `_q90` | quantiles of the KL estimate of a response, nats |

use std::collections::HashMap;

use super::metrics::{DISTINCT_RESPONSES, KL_Q90, NUM_RESPONSES, RESPONSE_LENGTH, TOP_RESPONSE};
use crate::train::Metrics;

const QUANTILES: [(&str, f64); 3] =
    [("objective/kl_q10", 0.1), ("objective/kl_q50", 0.5), (KL_Q90.name, 0.9)];

/// The metrics above. `divergences`: one a response.
pub fn variety(responses: &[Vec<u32>], mut divergences: Vec<f64>) -> Metrics {
    let n = responses.len().max(1) as f64;
    let mut counts: HashMap<&[u32], usize> = HashMap::new();
    for response in responses {
        *counts.entry(response).or_default() += 1;
    }
    let most = counts.values().max().copied().unwrap_or(0);
    let tokens: usize = responses.iter().map(Vec::len).sum();
    divergences.sort_by(f64::total_cmp);
    let shares = [
        (NUM_RESPONSES.name, responses.len() as f64),
        (DISTINCT_RESPONSES.name, counts.len() as f64 / n),
        (TOP_RESPONSE.name, most as f64 / n),
        (RESPONSE_LENGTH.name, tokens as f64 / n),
    ];
    let quantiles = QUANTILES.map(|(name, share)| (name, quantile(&divergences, share)));
    shares.into_iter().chain(quantiles).map(|(name, value)| (name.to_string(), value)).collect()
}

/// Between the two nearest of `sorted` numbers, as NumPy's default; 0 of none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    let low = place.floor();
    let (below, above) = (at(low as usize), at(place.ceil() as usize));
    below + (above - below) * (place - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_to_most_prompts_shows() {
        let responses = [vec![5, 6, 0], vec![5, 6, 0], vec![5, 6, 0], vec![7, 0]];
        let found = variety(&responses, vec![3.0, 1.0, 2.0, 4.0]);
        let found: Vec<(&str, f64)> = found.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let wanted = [
            ("val/num_responses", 4.0),
            ("val/distinct_responses", 0.5),
            ("val/top_response", 0.75),
            ("val/response_length", 2.75),
            // numpy.quantile([3, 1, 2, 4], [0.1, 0.5, 0.9])
            ("objective/kl_q10", 1.3),
            ("objective/kl_q50", 2.5),
            ("objective/kl_q90", 3.7),
        ];
        assert_eq!(found.len(), wanted.len());
        for ((name, value), (wanted_name, wanted)) in found.into_iter().zip(wanted) {
            assert_eq!(name, wanted_name);
            assert!((value - wanted).abs() < 1e-12, "{name}: {value}");
        }
    }

    #[test]
    fn quantiles_of_one_and_of_none() {
        assert_eq!(quantile(&[2.5], 0.9), 2.5);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
