//! The engine on a GPU, where there is one, against TRL and against its own CPU path.

use runner::backend::Compute;
use runner::backend::compute::{DeviceSpec, Dtype};
use runner::backend::gpu::open::check;
use runner::model::artifact::Artifact;
use runner::model::generate::greedy;
use runner::model::policy::Models;
use runner::train::Metrics;

use super::reproduce::trace_names;
use super::trace::{assert_steps, golden, json, open_trace, settings, step};

/// GPU 0 in a float type; `None`, said on standard error, if there is none.
fn gpu(dtype: Dtype) -> Option<Compute> {
    match check(0) {
        Ok(()) => Some(Compute::open(DeviceSpec::Cuda(0), dtype).unwrap()),
        Err(reason) => {
            eprintln!("skipped: {reason:#}");
            None
        }
    }
}

fn steps(name: &str, place: &Compute) -> Vec<Metrics> {
    let trace = json(&format!("traces/{name}.json"));
    let mut stage = open_trace(&trace, &settings(&trace), None, place);
    (0..stage.total_steps()).map(|n| step(stage.as_mut(), n)).collect()
}

#[test]
fn every_trace_is_reproduced_in_float32() {
    let Some(place) = gpu(Dtype::F32) else { return };
    for name in trace_names() {
        assert_steps(&json(&format!("traces/{name}.json")), &steps(&name, &place), 1e-3);
    }
}

#[test]
fn training_in_bf16_is_near_and_repeats_to_the_last_bit() {
    let Some(place) = gpu(Dtype::Bf16) else { return };
    for name in ["sft_full", "dpo_lora", "orpo_full"] {
        let found = steps(name, &place);
        let loss = |steps: &[Metrics]| steps.iter().map(|metrics| metrics["loss"]).collect::<Vec<_>>();
        for (got, want) in loss(&found).into_iter().zip(loss(&steps(name, &Compute::default()))) {
            assert!((got - want).abs() <= 2e-2 * want.abs(), "{name}: loss {got}, on the CPU {want}");
        }
        assert_eq!(found, steps(name, &place), "{name}");
    }
}

#[test]
fn answers_are_those_of_the_cpu() {
    let Some(place) = gpu(Dtype::F32) else { return };
    let input = Artifact { base: golden("models/qwen2"), ..Artifact::default() };
    let prompts: Vec<Vec<u32>> = (1..9).map(|n| (0..3 * n).map(|i| (i * 37 + n) % 500).collect()).collect();
    let answers =
        |place: &Compute| greedy(&Models::at(place).frozen(&input).unwrap(), &prompts, 24, &[]).unwrap();
    assert_eq!(answers(&place), answers(&Compute::default()));
}
