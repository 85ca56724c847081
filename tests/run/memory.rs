//! Memory of stages on a GPU, counted by hand for a Llama of 8 billion weights.

use runner::backend::compute::{DeviceSpec, Dtype};
use runner::batch::{BatchPolicy, BatchSettings, Episodes, Steps};
use runner::kinds::{CpoSettings, KindSettings};
use runner::model::artifact::Artifact;
use runner::model::config::Config;
use runner::model::tuner::{LoraSettings, Tuner};
use runner::plan::counts::{Counts, TokenCounts};
use runner::plan::estimate::{MemoryEstimate, Stage};
use runner::train::TrainingSettings;

use crate::settings::stage_of;

const PARAMETERS: u64 = 8_030_261_248;
const TRUNK: u64 = 6_979_321_856;
/// Rank 8 on every matrix.
const ADAPTER: u64 = 20_971_520;

fn llama() -> Config {
    Config::from_json(serde_json::json!({
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
    }))
    .unwrap()
}

/// Steps of 16 pairs, each a prompt of 120 tokens and two answers of 45.
fn memory(device: DeviceSpec, dtype: Dtype, change: impl Fn(&mut TrainingSettings)) -> MemoryEstimate {
    let (model, policy) = (llama(), Artifact { base: "llama".into(), adapter: None, head: None });
    let mut stage = stage_of(KindSettings::Cpo(CpoSettings::default()));
    stage.training.batches = BatchSettings { gradient_accumulation_steps: 16, ..stage.training.batches };
    change(&mut stage.training);
    let counts = Counts {
        train: TokenCounts { rows: 160, shared: 33_600, unshared: 52_800, trained: 14_400, attended: 0 },
        held_out: TokenCounts::default(),
        rows_cut: 0,
        rows_dropped: 0,
        reasons: Default::default(),
        firsts: Default::default(),
        longest_example: 210,
        largest_window: 3360,
        warnings: vec![],
    };
    Stage {
        facts: &stage.kind.facts(),
        training: &stage.training,
        model: &model,
        batches: BatchPolicy::for_model(&model, device, dtype, stage.training.gradient_checkpointing),
        device,
        dtype,
        policy: &policy,
        reference: None,
        reward: None,
        counts: &counts,
        steps: Steps::of(&stage.training.batches, Episodes::default(), 160),
    }
    .memory()
}

fn lora(training: &mut TrainingSettings) {
    training.tuner = Tuner::Lora(LoraSettings { alpha: 16.0, ..LoraSettings::default() });
}

const GPU: DeviceSpec = DeviceSpec::Cuda(0);
/// Tokens of a step, and those that are scored.
const N: u64 = 3360;
const M: u64 = 1440;
/// Bytes of a token in bf16: a layer's input, and what backward needs of the layer (keys and values,
/// queries, attention's output, the middle, gate and up; log-sum-exp and two 1/rms).
const INPUT: u64 = 2 * 4096;
const TRACE: u64 = 2 * (2048 + 2 * 4096 + 4096 + 2 * 14336) + 4 * (32 + 2);
/// Gradients of a layer's output, activation, gate and up, and norm, and the norm.
const LAYER_BACKWARD: u64 = 2 * (3 * 4096 + 3 * 14336);
/// Cosines and sines.
const ANGLES: u64 = 4 * 128 * (N + M);
/// Chunks of 512 rows, of float32 logits and bf16 gradients.
const LOGITS: u64 = 512 * 128_256 * (4 + 2);

#[test]
fn lora_in_bf16() {
    let found = memory(GPU, Dtype::Bf16, lora);
    assert_eq!(found.weights, 2 * PARAMETERS + (4 + 2) * ADAPTER);
    assert_eq!((found.gradients, found.optimiser), (4 * ADAPTER, 8 * ADAPTER));
    assert_eq!((found.logits, found.workspace, found.cache), (LOGITS, 32 << 20, 0));
    // The fullest moment is that of the logits: the last layer has queries of the scored rows alone.
    let last = (2 * 2048 + 4) * N + (2 * (3 * 4096 + 2 * 14336) + 4 * (32 + 1)) * M;
    assert_eq!(found.activations, 31 * (INPUT + TRACE) * N + INPUT * N + last + INPUT * 4 * M + ANGLES);
    assert_eq!(found.total() >> 30, 25);
}

#[test]
fn layers_made_again_take_a_layer_at_a_time() {
    let found = memory(GPU, Dtype::Bf16, |training| {
        lora(training);
        training.gradient_checkpointing = true;
    });
    // The layer before the last, with all its rows; there are no logits any more.
    let from_head = INPUT * 4 * M;
    let layer = (31 * INPUT + TRACE + LAYER_BACKWARD) * N + from_head + ANGLES;
    assert_eq!(found.activations + LOGITS, layer);
    assert_eq!(found.total() >> 30, 16);
}

#[test]
fn full_tuning_keeps_masters() {
    let found = memory(GPU, Dtype::Bf16, |_| {});
    assert_eq!(found.weights, (4 + 2) * PARAMETERS);
    assert_eq!(found.gradients + found.optimiser, 12 * PARAMETERS);
    let single = memory(GPU, Dtype::F32, |_| {});
    assert_eq!((single.weights, single.gradients), (4 * PARAMETERS, found.gradients));
    // In float32, LoRA is merged into a copy of the layers, and a logit's gradient takes its place.
    let single = memory(GPU, Dtype::F32, lora);
    assert_eq!(single.weights, 4 * (PARAMETERS + TRUNK + ADAPTER));
    assert_eq!(single.logits, 896 * 128_256 * 4);
    assert_eq!(memory(DeviceSpec::Cpu, Dtype::F32, lora).workspace, 0);
}

#[test]
fn a_pass_has_as_many_tokens_as_its_memory_holds() {
    let tokens = |device, dtype, again| BatchPolicy::for_model(&llama(), device, dtype, again).token_budget;
    assert_eq!(tokens(GPU, Dtype::Bf16, false) as u64, (16 << 30) / (32 * (INPUT + TRACE)));
    assert_eq!(tokens(GPU, Dtype::Bf16, true) as u64, (4 << 30) / (32 * INPUT + TRACE));
    assert_eq!(tokens(DeviceSpec::Cuda(3), Dtype::Bf16, false), tokens(GPU, Dtype::Bf16, false));
    assert!(tokens(GPU, Dtype::F32, false) * 2 - tokens(GPU, Dtype::Bf16, false) < 20);
    assert_eq!(tokens(DeviceSpec::Cpu, Dtype::F32, false), 66);
    let small = Config::from_json(serde_json::json!({
        "model_type": "llama", "vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
    }))
    .unwrap();
    assert_eq!(BatchPolicy::for_model(&small, GPU, Dtype::Bf16, false).token_budget, 32_768);
}
