//! One forward of each golden model against transformers: expected agreement 2e-5.

use runner::backend::Packing;
use runner::backend::log_prob::LogProbs;
use runner::backend::matmul::matmul;
use runner::model::artifact::Artifact;
use runner::model::decoder::{Keep, Tokens};
use runner::model::log_prob::Targets;
use runner::model::policy::Models;
use serde_json::Value;

use super::trace::{golden, ids, json};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 2e-5, "{what} {i}: {got}, transformers' {want}");
    }
}

#[test]
fn log_probs_and_logits_agree_with_transformers() {
    for (model, want) in json("traces/forward.json").as_object().unwrap() {
        let decoder = Models::default()
            .frozen(&Artifact { base: golden(&format!("models/{model}")), ..Artifact::default() })
            .unwrap();
        let ids = ids(&want["input_ids"]);
        let n = ids.len();
        let packing = Packing::sequence(n);
        let rows: Vec<u32> = (0..n as u32).collect();
        let tokens = Tokens { ids: &ids, packing: &packing, needed: &rows, dropout: None };
        // each row predicts the next token; what the last one predicts matters to its entropy only
        let next: Vec<u32> = ids[1..].iter().copied().chain([0]).collect();
        let LogProbs { log_prob, entropy, .. } =
            decoder.log_probs(&tokens, Targets { hidden: &rows, tokens: &next, temperature: 1.0 }).unwrap();
        close(model, &log_prob[..n - 1], &numbers(&want["token_logprobs"]));
        close(model, &entropy[n - 1..], &[want["entropy_last"].as_f64().unwrap()]);

        let (hidden, _) = decoder.forward(&tokens, Keep::Nothing).unwrap();
        let last = hidden.narrow(0, n - 1, 1).unwrap();
        let logits = matmul(&last, &decoder.head().unwrap().value.t().unwrap()).unwrap();
        let logits: Vec<f64> = logits.to_vec2::<f32>().unwrap()[0].iter().map(|&z| f64::from(z)).collect();
        let head = numbers(&want["last_logits_head"]);
        close(model, &logits[..head.len()], &head);
    }
}
