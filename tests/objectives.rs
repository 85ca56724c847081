//! Losses and gradients against `objectives.json` (TRL in float64) to 1e-9, and gradients against
//! finite differences.

use runner::objective::dpo::{Pair, sigmoid_loss};
use runner::objective::nll::nll;
use serde_json::Value;

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/objectives.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{got}, expected {want}");
}

/// The pairs of a case and the tokens of its chosen answers.
fn pairs(case: &Value) -> (Vec<Pair>, Vec<f64>) {
    let input = |key: &str| numbers(&case["inputs"][key]);
    let (policy_chosen, policy_rejected) = (input("policy_chosen"), input("policy_rejected"));
    let (reference_chosen, reference_rejected) = (input("reference_chosen"), input("reference_rejected"));
    let pair = |i: usize| Pair {
        policy_chosen: policy_chosen[i],
        policy_rejected: policy_rejected[i],
        reference_chosen: reference_chosen[i],
        reference_rejected: reference_rejected[i],
    };
    ((0..policy_chosen.len()).map(pair).collect(), input("chosen_tokens"))
}

#[test]
fn sigmoid_with_smoothing_and_rpo_equals_trl() {
    for case in cases() {
        let (pairs, chosen_tokens) = pairs(&case);
        let n = pairs.len() as f64;
        let tokens = chosen_tokens.iter().sum::<f64>() as usize;
        for name in ["dpo.sigmoid", "dpo.sigmoid.label_smoothing", "dpo.rpo"] {
            let want = &case["pairs"][name];
            let parameter = |key: &str| want["params"][key].as_f64().unwrap_or(0.0);
            let (d_chosen, d_rejected) =
                (numbers(&want["d_policy_chosen"]), numbers(&want["d_policy_rejected"]));
            let mut loss = 0.0;
            for (i, pair) in pairs.iter().enumerate() {
                let part = sigmoid_loss(pair, parameter("beta"), parameter("label_smoothing"));
                let (term, slope) = nll(pair.policy_chosen, tokens);
                loss += part.loss / n + parameter("rpo_alpha") * term;
                close(part.d_chosen / n + parameter("rpo_alpha") * slope, d_chosen[i]);
                close(part.d_rejected / n, d_rejected[i]);
            }
            close(loss, want["loss"].as_f64().unwrap());
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    let h = 1e-5;
    for case in cases() {
        for pair in pairs(&case).0 {
            for (beta, smoothing) in [(0.1, 0.0), (2.0, 0.2)] {
                let at = |dc: f64, dr: f64| {
                    let moved = Pair {
                        policy_chosen: pair.policy_chosen + dc,
                        policy_rejected: pair.policy_rejected + dr,
                        ..pair
                    };
                    sigmoid_loss(&moved, beta, smoothing).loss
                };
                let got = sigmoid_loss(&pair, beta, smoothing);
                assert!((got.d_chosen - (at(h, 0.0) - at(-h, 0.0)) / (2.0 * h)).abs() < 1e-8);
                assert!((got.d_rejected - (at(0.0, h) - at(0.0, -h)) / (2.0 * h)).abs() < 1e-8);
            }
        }
    }
}

#[test]
fn extreme_margins_stay_finite() {
    for chosen in [-1e4, 1e4] {
        let pair = Pair {
            policy_chosen: chosen,
            policy_rejected: 0.0,
            reference_chosen: 0.0,
            reference_rejected: 0.0,
        };
        let got = sigmoid_loss(&pair, 1.0, 0.0);
        assert_eq!(got.loss, if chosen < 0.0 { 1e4 } else { 0.0 });
        assert!(got.d_chosen == if chosen < 0.0 { -1.0 } else { 0.0 });
    }
}
