//! Micro-batches: those of the golden file, and one that covers a range of log-ratios.

use runner::objective::pair::{Pair, PairLoss};
use serde_json::Value;

pub fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/objectives.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The pairs of a golden case.
pub fn pairs(case: &Value) -> Vec<Pair> {
    let keys = ["policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected"];
    let [pc, pr, rc, rr] = keys.map(|key| numbers(&case["inputs"][key]));
    let [ct, rt] = ["chosen_tokens", "rejected_tokens"].map(|key| numbers(&case["inputs"][key]));
    let pair = |i: usize| Pair {
        policy_chosen: pc[i],
        policy_rejected: pr[i],
        reference_chosen: rc[i],
        reference_rejected: rr[i],
        chosen_tokens: ct[i],
        rejected_tokens: rt[i],
    };
    (0..pc.len()).map(pair).collect()
}

/// Sixteen pairs: each log-ratio from −4 to 5 with each, no two the same.
pub fn grid() -> Vec<Pair> {
    let ratios = [-4.3, -1.2, 0.4, 5.1];
    let pair = |i: usize| {
        let (shift, tokens) = (0.013 * i as f64, 3.0 + i as f64);
        let (reference_chosen, reference_rejected) = (-9.0 - tokens, -30.0 + tokens);
        Pair {
            policy_chosen: reference_chosen + ratios[i / 4] + shift,
            policy_rejected: reference_rejected + ratios[i % 4] - shift,
            reference_chosen,
            reference_rejected,
            chosen_tokens: tokens,
            rejected_tokens: 24.0 - tokens,
        }
    };
    (0..16).map(pair).collect()
}

pub fn assert_finite(losses: &[PairLoss], what: &str) {
    for PairLoss { loss, d_chosen, d_rejected } in losses {
        let finite = [loss, d_chosen, d_rejected].iter().all(|v| v.is_finite());
        assert!(finite, "{what}: {loss}, {d_chosen}, {d_rejected}");
    }
}

#[track_caller]
pub fn close(got: f64, want: f64, what: &str) {
    assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{what}: {got}, expected {want}");
}

#[track_caller]
pub fn all_close(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    got.iter().zip(want).for_each(|(got, want)| close(*got, *want, what));
}
