//! Results as folders: they open again as what was trained, and are left under the target folder for
//! `tests/interop/load_results.py`, which opens them in transformers and peft.

use std::path::Path;

use runner::backend::Packing;
use runner::model::decoder::{Decoder, Tokens};
use runner::model::log_prob::Targets;
use runner::model::policy::{ModelInput, Models};
use serde_json::json;

use super::trace::{self, golden, ids, json as read_json, open_trace, settings};

/// Log-probability of every token but the first.
fn token_log_probs(decoder: &Decoder, ids: &[u32]) -> Vec<f64> {
    let n = ids.len();
    let packing = Packing::sequence(n);
    let rows: Vec<u32> = (0..n as u32 - 1).collect();
    let tokens = Tokens { ids, packing: &packing, needed: &rows, dropout: None };
    decoder
        .log_probs(&tokens, Targets { hidden: &rows, tokens: &ids[1..], temperature: 1.0 })
        .unwrap()
        .log_prob
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |largest, (a, b)| f64::max(largest, (a - b).abs()))
}

#[test]
fn results_open_again_as_what_was_trained() {
    for name in ["dpo_lora", "dpo_full"] {
        let trace = read_json(&format!("traces/{name}.json"));
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(name);
        let model = out.join("model");
        if out.exists() {
            std::fs::remove_dir_all(&out).unwrap();
        }
        std::fs::create_dir_all(&model).unwrap();
        let mut stage = open_trace(&trace, &settings(&trace), None);
        for step in 0..stage.total_steps() {
            trace::step(stage.as_mut(), step);
        }
        stage.save_result(&model).unwrap();

        let base = golden(&format!("models/{}", trace["model"].as_str().unwrap()));
        let lora = trace["lora"].as_bool().unwrap();
        let result = match lora {
            true => ModelInput { base: base.clone(), adapter: Some(model), head: None },
            false => ModelInput { base: model, ..ModelInput::default() },
        };
        let forward = read_json("traces/forward.json");
        let ids = ids(&forward[trace["model"].as_str().unwrap()]["input_ids"]);
        let got = token_log_probs(&Models::default().frozen(&result).unwrap(), &ids);
        let started = token_log_probs(
            &Models::default().frozen(&ModelInput { base, ..ModelInput::default() }).unwrap(),
            &ids,
        );
        assert!(largest_difference(&got, &started) > 1e-2, "{name}: nothing was trained");
        // for an adapter: merged for full tuning; for a whole model: the same weights once more
        let merged = Models::default().trained(&result, None, 0).unwrap();
        assert!(largest_difference(&got, &token_log_probs(&merged, &ids)) < 1e-5, "{name}");

        let figures = json!({ "input_ids": ids, "token_logprobs": got });
        std::fs::write(out.join("logprobs.json"), figures.to_string()).unwrap();
    }
}
