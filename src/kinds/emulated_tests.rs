//! Whole training runs on emulated kernels, against TRL's numbers: the path of a GPU but for its matrix
//! products and its memory.

use candle_core::{DType, Device};

use crate::backend::Compute;
use crate::backend::gpu::emulation::{Order, with};
use crate::model::artifact::Artifact;
use crate::model::generate::greedy;
use crate::model::policy::Models;
use crate::train::Metrics;

#[path = "../../tests/engine/trace.rs"]
mod trace;

#[path = "../../tests/engine/ppo_stage.rs"]
mod ppo_stage;

use ppo_stage::{open_ppo, stage_settings};
use trace::{assert_steps, golden, json, open_trace, settings, step};

/// Steps of a golden trace with kernels in compute of the CPU's operations.
fn agrees(name: &str, dtype: DType, steps: u64, tolerance: f64) {
    let trace = json(&format!("traces/{name}.json"));
    let settings = settings(&trace);
    let compute = Compute { device: Device::Cpu, dtype };
    let run = || -> Vec<Metrics> {
        let mut stage = open_trace(&trace, &settings, None, &compute);
        (0..steps).map(|n| step(stage.as_mut(), n)).collect()
    };
    if let Some(steps) = with(Order::Forward, run) {
        assert_steps(&trace, &steps, tolerance);
    }
}

macro_rules! agree {
    ($($test:ident: $name:literal, $dtype:ident, $steps:literal, $tolerance:literal;)*) => {
        $(#[test]
        fn $test() {
            agrees($name, DType::$dtype, $steps, $tolerance);
        })*
    };
}

agree! {
    full_tuning_with_a_trained_head: "sft_full", F32, 3, 1e-3;
    dpo_with_lora: "dpo_lora", F32, 3, 1e-3;
    sliding_windows: "dpo_full_swa", F32, 2, 1e-3;
    kto_with_lora: "kto_lora", F32, 2, 1e-3;
    a_reward_model: "rm_lora", F32, 2, 1e-3;
    odds_ratios: "orpo_full", F32, 2, 1e-3;
    full_tuning_in_bf16: "sft_full", BF16, 3, 2e-2;
    simpo_with_lora_in_bf16: "simpo_lora", BF16, 2, 5e-2;
}

/// Rollouts, scores, values and clipped updates: sampled tokens depend on the last bits of their
/// probabilities, so the CPU's run is near as long as it drew the same ones, which it does here.
#[test]
fn ppo_with_lora() {
    let settings = stage_settings(true);
    let run = || -> Vec<Metrics> {
        let mut stage = open_ppo(&settings, None, &Compute::default());
        (0..3).map(|n| step(stage.as_mut(), n)).collect()
    };
    let Some(emulated) = with(Order::Forward, run) else { return };
    for (step, (got, want)) in emulated.iter().zip(run()).enumerate() {
        for (name, want) in &want {
            let distance = (got[name] - want).abs();
            assert!(distance <= 1e-3 * want.abs().max(1e-1), "step {step}: {name} {} {want}", got[name]);
        }
    }
}

#[test]
fn answers_are_those_of_the_cpu() {
    let prompts: Vec<Vec<u32>> = (1..5).map(|n| (0..3 * n).map(|i| (i * 37 + n) % 500).collect()).collect();
    for model in ["llama3", "qwen2", "qwen3", "mistral"] {
        let input = Artifact { base: golden(&format!("models/{model}")), ..Artifact::default() };
        let answers = || greedy(&Models::default().frozen(&input).unwrap(), &prompts, 12, &[]).unwrap();
        let Some(emulated) = with(Order::Forward, answers) else { return };
        assert_eq!(emulated, answers(), "{model}");
    }
}
