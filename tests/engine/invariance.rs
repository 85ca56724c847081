//! What may not change a result: how rows are packed, what is kept for backward, how many threads
//! there are, and how a step's rows are cut into micro-batches.

use runner::backend::Compute;
use runner::backend::compute::{DeviceSpec, Dtype};
use runner::batch::BatchPolicy;
use runner::kinds::StageSettings;
use runner::model::config::Config;
use runner::model::tuner::Tuner;
use serde_json::Value;

use super::trace::{self, golden, json, open_trace, settings};

const TRACES: [&str; 10] = [
    "sft_full",
    "dpo_full",
    "dpo_lora",
    "dpo_full_swa",
    "dpo_aot",
    "kto_full",
    "orpo_lora",
    "cpo_lora",
    "rm_full",
    "rm_lora",
];

/// Loss and gradient norm of the first four steps (some traces have three).
fn run(trace: &Value, settings: &StageSettings, batches: Option<BatchPolicy>) -> Vec<[f64; 2]> {
    let mut stage = open_trace(trace, settings, batches, &Compute::default());
    let steps = stage.total_steps().min(4);
    let step = |step| {
        let metrics = trace::step(stage.as_mut(), step);
        [metrics["loss"], metrics["grad_norm"]]
    };
    (0..steps).map(step).collect()
}

fn close(what: &str, a: &[[f64; 2]], b: &[[f64; 2]]) {
    for (step, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a[0] - b[0]).abs() <= 1e-5, "{what}, step {}: loss {} and {}", step + 1, a[0], b[0]);
        assert!((a[1] - b[1]).abs() <= 1e-4 * b[1], "{what}, step {}: norm {} and {}", step + 1, a[1], b[1]);
    }
}

#[test]
fn packing_does_not_change_losses() {
    for name in TRACES {
        let trace = json(&format!("traces/{name}.json"));
        let base = settings(&trace);
        let config = Config::read(&golden(&format!("models/{}", trace["model"].as_str().unwrap()))).unwrap();
        let usual = BatchPolicy::for_model(&config, DeviceSpec::Cpu, Dtype::F32, false);
        let want = run(&trace, &base, Some(usual));
        assert_eq!(want, run(&trace, &base, None), "{name}: equal settings are bit-identical");
        for token_budget in [1, 300] {
            for share_prefix in [true, false] {
                let batches = BatchPolicy { token_budget, share_prefix };
                close(&format!("{name} {batches:?}"), &run(&trace, &base, Some(batches)), &want);
            }
        }
    }
}

#[test]
fn recomputing_layers_does_not_change_losses() {
    for name in TRACES {
        let trace = json(&format!("traces/{name}.json"));
        let mut recompute = settings(&trace);
        recompute.training.gradient_checkpointing = true;
        let want = run(&trace, &settings(&trace), None);
        close(name, &run(&trace, &recompute, None), &want);
    }
}

#[test]
fn threads_do_not_change_losses() {
    for name in TRACES {
        let trace = json(&format!("traces/{name}.json"));
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(&trace, &settings(&trace), None))
        };
        assert_eq!(with(1), with(3), "{name}");
    }
}

#[test]
fn micro_batches_do_not_change_a_dpo_step() {
    for name in ["dpo_full", "dpo_lora"] {
        let trace = json(&format!("traces/{name}.json"));
        let with = |batch_size, steps| {
            let mut settings = settings(&trace);
            settings.training.batches.batch_size = batch_size;
            settings.training.batches.gradient_accumulation_steps = steps;
            run(&trace, &settings, None)
        };
        let want = with(1, 8);
        close(name, &with(2, 4), &want);
        close(name, &with(8, 1), &want);
    }
}

#[test]
fn dropout_is_reproducible_independent_of_packing_and_not_idle() {
    // kto couples the rows of a micro-batch, which 300 tokens do not hold
    for name in ["dpo_lora", "kto_lora"] {
        let trace = json(&format!("traces/{name}.json"));
        let with = |dropout, batches| {
            let mut settings = settings(&trace);
            if let Tuner::Lora(lora) = &mut settings.training.tuner {
                lora.dropout = dropout;
            }
            run(&trace, &settings, batches)
        };
        let want = with(0.3, None);
        assert_eq!(want, with(0.3, None));
        close(name, &with(0.3, Some(BatchPolicy { token_budget: 300, share_prefix: true })), &want);
        assert!((want[1][1] - with(0.0, None)[1][1]).abs() > 1e-3);
    }
}
