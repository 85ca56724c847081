//! A ppo stage on a golden model.

use runner::backend::Compute;
use runner::data::example::Family;
use runner::model::policy::ModelInput;
use runner::plan::settings::{KindSettings, KlEstimator, PpoSettings, Source, StageSettings};
use runner::stages::packaging::Packaging;
use runner::stages::{Rows, StageInputs, StageRun, open};

use super::trace::{families, golden, json, settings};

pub fn stage_settings(lora: bool) -> StageSettings {
    let mut stage = settings(&json(if lora { "traces/dpo_lora.json" } else { "traces/dpo_full.json" }));
    stage.name = "ppo".into();
    stage.training.batch_size = 4;
    stage.training.gradient_accumulation_steps = 2;
    stage.training.max_steps = Some(10);
    stage.training.learning_rate = 1e-3;
    stage.kind = KindSettings::Ppo(PpoSettings {
        reward: Source::Base,
        reference: None,
        kl_coef: 0.05,
        kl_estimator: KlEstimator::K1,
        cliprange: 0.2,
        vf_coef: 0.1,
        cliprange_value: 0.2,
        gamma: 1.0,
        lam: 0.95,
        whiten_rewards: false,
        num_ppo_epochs: 2,
        num_mini_batches: 2,
        local_rollout_forward_batch_size: 64,
        response_length: 8,
        temperature: 0.7,
        top_k: None,
        top_p: 1.0,
        missing_eos_penalty: Some(1.0),
        total_episodes: None,
        num_sample_generations: 0,
    });
    stage
}

fn prompts() -> Vec<Family> {
    let rows = families(&json("traces/dpo_lora.json"));
    rows.into_iter().map(|family| Family { branches: Vec::new(), ..family }).take(24).collect()
}

/// A stage whose reward model is the base with the head of the golden reward model.
pub fn open_ppo(settings: &StageSettings, packaging: Option<Packaging>, place: &Compute) -> Box<dyn StageRun> {
    let lora = settings.training.lora.is_some();
    let model = if lora { "qwen2" } else { "llama3" };
    let policy = ModelInput {
        base: golden(&format!("models/{model}")),
        adapter: lora.then(|| golden("traces/dpo_lora/init_adapter")),
        head: None,
    };
    let head = golden(if lora {
        "traces/rm_lora/init_head.safetensors"
    } else {
        "traces/rm_full/init_head.safetensors"
    });
    let reward = ModelInput { head: Some(head), ..policy.clone() };
    let mut rows = prompts();
    let eval = rows.split_off(16);
    // token 13 is a full stop: common, so that some responses end
    let rows = Rows { train: rows, eval, end_tokens: vec![13], closing: vec![198] };
    let reward = Some(reward);
    open(StageInputs { settings, place, policy, reference: None, reward, rows, packaging }).unwrap()
}
