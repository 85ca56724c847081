//! A ppo stage on a golden model.

use runner::backend::Compute;
use runner::batch::BatchPolicy;
use runner::data::example::Example;
use runner::kinds::{KindSettings, PpoSettings, Source, StageInputs, StageRows, StageSettings, open};
use runner::model::artifact::Artifact;
use runner::train::StageRun;

use super::trace::{batches, examples, golden, json, settings};

pub fn stage_settings(lora: bool) -> StageSettings {
    let mut stage = settings(&json(if lora { "traces/dpo_lora.json" } else { "traces/dpo_full.json" }));
    stage.name = "ppo".into();
    stage.training.batches.batch_size = 4;
    stage.training.batches.gradient_accumulation_steps = 2;
    stage.training.batches.max_steps = Some(10);
    stage.training.schedule.learning_rate = 1e-3;
    stage.kind = KindSettings::Ppo(PpoSettings {
        reward: Some(Source::Base),
        num_ppo_epochs: 2,
        num_mini_batches: 2,
        response_length: 8,
        missing_eos_penalty: Some(1.0),
        num_sample_generations: 0,
        ..PpoSettings::default()
    });
    stage
}

fn prompts() -> Vec<Example> {
    let rows = examples(&json("traces/dpo_lora.json"));
    rows.into_iter().map(|example| Example { completions: Vec::new(), ..example }).take(24).collect()
}

/// A stage whose reward model is the base with the head of the golden reward model.
pub fn open_ppo(
    settings: &StageSettings,
    policy_of_batches: Option<BatchPolicy>,
    compute: &Compute,
) -> Box<dyn StageRun> {
    let lora = settings.training.tuner.lora().is_some();
    let model = if lora { "qwen2" } else { "llama3" };
    let policy = Artifact {
        base: golden(&format!("models/{model}")),
        adapter: lora.then(|| golden("traces/dpo_lora/init_adapter")),
        head: None,
    };
    let head = golden(if lora {
        "traces/rm_lora/init_head.safetensors"
    } else {
        "traces/rm_full/init_head.safetensors"
    });
    let reward = Artifact { head: Some(head), ..policy.clone() };
    let mut rows = prompts();
    let held_out = rows.split_off(16);
    // token 13 is a full stop: common, so that some responses end
    let rows = StageRows { train: rows, held_out, end_tokens: vec![13], closing: vec![198] };
    let reward = Some(reward);
    let batches = policy_of_batches.unwrap_or_else(|| batches(&policy.base, settings, compute));
    open(StageInputs { settings, compute, policy, reference: None, reward, rows, batches }).unwrap()
}
