//! Settings of a stage for tests.

use runner::plan::settings::{KindSettings, PpoSettings, StageSettings, TrainingSettings};
use serde_json::json;

/// Twelve rows in batches of one; everything else as a recipe has it by default.
pub fn training(
    logging: u64,
    evaluating: Option<u64>,
    saving: Option<u64>,
    keep: Option<u64>,
) -> TrainingSettings {
    let settings = json!({
        "lora": null, "batch_size": 1, "gradient_accumulation_steps": 1, "num_train_epochs": 1.0,
        "max_steps": null, "learning_rate": 0.1, "lr_scheduler_type": "linear", "min_lr_rate": 0.1,
        "warmup": { "steps": 0 }, "weight_decay": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.999,
        "adam_epsilon": 1e-8, "max_grad_norm": 1.0, "max_length": 64, "max_prompt_length": null,
        "gradient_checkpointing": false, "logging_steps": logging, "eval_steps": evaluating,
        "save_steps": saving, "save_total_limit": keep, "shuffle": true, "seed": 7,
    });
    serde_json::from_value(settings).unwrap()
}

/// A stage of another kind on those.
pub fn stage_of(kind: KindSettings) -> StageSettings {
    StageSettings { kind, ..dpo_stage() }
}

/// The settings of a ppo stage.
pub fn ppo() -> PpoSettings {
    let settings = json!({
        "reward": { "stage": "rm" }, "reference": null, "kl_coef": 0.05, "kl_estimator": "k1", "cliprange": 0.2,
        "vf_coef": 0.1, "cliprange_value": 0.2, "gamma": 1.0, "lam": 0.95, "whiten_rewards": false,
        "num_ppo_epochs": 4, "num_mini_batches": 1, "local_rollout_forward_batch_size": 64,
        "response_length": 5, "temperature": 0.7, "top_k": null, "top_p": 1.0, "missing_eos_penalty": null,
        "total_episodes": null, "num_sample_generations": 10,
    });
    serde_json::from_value(settings).unwrap()
}

/// A DPO stage on those.
pub fn dpo_stage() -> StageSettings {
    let settings = json!({
        "name": "dpo", "data": "pairs", "policy": { "stage": "sft" },
        "kind": {
            "kind": "dpo", "reference": null, "beta": 0.1, "losses": [["sigmoid", 1.0]],
            "rpo_alpha": null, "label_smoothing": 0.0,
        },
        "training": training(1, None, None, None),
    });
    serde_json::from_value(settings).unwrap()
}
