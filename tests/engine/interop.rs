//! Results as folders: they open again as what was trained, and are left under the target folder for
//! `tests/interop/load_results.py`, which opens them in transformers and peft.

use std::path::{Path, PathBuf};

use runner::backend::Compute;
use runner::backend::Packing;
use runner::model::artifact::Artifact;
use runner::model::decoder::{Decoder, Tokens};
use runner::model::log_prob::Targets;
use runner::model::policy::Models;
use runner::model::tuner::Tuner;
use runner::model::value_head::{TrainedPart, ValueHead};
use serde_json::{Value, json};

use super::trace::{self, examples, golden, ids, json as read_json, open_trace, settings};

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

/// What a trace trains, as a folder of its own that is left for Python.
struct Left {
    trace: Value,
    folder: PathBuf,
}

impl Left {
    /// Trains the trace `name` to its end and saves the result.
    fn train(name: &str) -> Self {
        let trace = read_json(&format!("traces/{name}.json"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let left = Left { trace, folder };
        std::fs::create_dir_all(left.model()).unwrap();
        let mut stage = open_trace(&left.trace, &settings(&left.trace), None, &Compute::default());
        for step in 0..stage.total_steps() {
            trace::step(stage.as_mut(), step);
        }
        stage.save_result(&left.model()).unwrap();
        left
    }

    fn model(&self) -> PathBuf {
        self.folder.join("model")
    }

    fn base(&self) -> PathBuf {
        golden(&format!("models/{}", self.trace["model"].as_str().unwrap()))
    }

    /// The result, with the head `head`.
    fn result(&self, head: Option<PathBuf>) -> Artifact {
        match self.trace["lora"].as_bool().unwrap() {
            true => Artifact { base: self.base(), adapter: Some(self.model()), head },
            false => Artifact { base: self.model(), adapter: None, head },
        }
    }

    fn write(&self, name: &str, figures: &Value) {
        std::fs::write(self.folder.join(name), figures.to_string()).unwrap();
    }
}

#[test]
fn results_open_again_as_what_was_trained() {
    for name in ["dpo_lora", "dpo_full"] {
        let left = Left::train(name);
        let result = left.result(None);
        let forward = read_json("traces/forward.json");
        let ids = ids(&forward[left.trace["model"].as_str().unwrap()]["input_ids"]);
        let got = token_log_probs(&Models::default().frozen(&result).unwrap(), &ids);
        let start = Artifact { base: left.base(), ..Artifact::default() };
        let started = token_log_probs(&Models::default().frozen(&start).unwrap(), &ids);
        assert!(largest_difference(&got, &started) > 1e-2, "{name}: nothing was trained");
        // for an adapter: merged for full tuning; for a whole model: the same weights once more
        let merged = Models::default().trained(&result, &Tuner::Full, 0).unwrap();
        assert!(largest_difference(&got, &token_log_probs(&merged, &ids)) < 1e-5, "{name}");
        left.write("logprobs.json", &json!({ "input_ids": ids, "token_logprobs": got }));
    }
}

/// The score of a sequence.
fn score(model: &Artifact, ids: &[u32]) -> f64 {
    let decoder = Models::default().frozen(model).unwrap();
    let head = model.head.as_ref().unwrap();
    let head =
        ValueHead::read(head, decoder.config.hidden_size, TrainedPart::Nothing, &candle_core::Device::Cpu)
            .unwrap();
    let packing = Packing::sequence(ids.len());
    let last = [ids.len() as u32 - 1];
    let tokens = Tokens { ids, packing: &packing, needed: &last, dropout: None };
    decoder.scores(&head, &tokens, &[0]).unwrap()[0]
}

#[test]
fn reward_models_open_again_and_score() {
    for name in ["rm_lora", "rm_full"] {
        let left = Left::train(name);
        let row = &examples(&left.trace)[0];
        let ids = [row.prompt.as_slice(), &row.completions[0].tokens].concat();
        let got = score(&left.result(Some(left.model().join("value_head.safetensors"))), &ids);
        let head = golden(&format!("traces/{name}/init_head.safetensors"));
        let adapter = golden(&format!("traces/{name}/init_adapter"));
        let start =
            Artifact { base: left.base(), adapter: Some(adapter).filter(|a| a.exists()), head: Some(head) };
        let started = score(&start, &ids);
        assert!((got - started).abs() > 1e-3, "{name}: {started} before, {got} after");
        left.write("scores.json", &json!({ "input_ids": ids, "score": got }));
    }
}
