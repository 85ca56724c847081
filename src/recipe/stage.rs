//! Keys of `[[stage]]` that every kind has.

use schemars::JsonSchema;
use serde::Deserialize;

use super::kind_keys::{KindKeys, MODEL_SOURCE};
use super::written::TABLE_NAME;
use super::{cpo, dpo, kto, orpo, ppo, rm, simpo};

pub const TUNER: Tuner = Tuner::Full;
pub const LORA_RANK: usize = 8;
pub const LORA_ALPHA: f64 = 32.0;
pub const LORA_DROPOUT: f64 = 0.0;
pub const BATCH_SIZE: usize = 1;
pub const GRADIENT_ACCUMULATION_STEPS: usize = 1;
pub const NUM_TRAIN_EPOCHS: f64 = 3.0;
pub const MIN_LR_RATE: f64 = 0.1;
pub const WEIGHT_DECAY: f64 = 0.0;
pub const ADAM_BETA1: f64 = 0.9;
pub const ADAM_BETA2: f64 = 0.999;
pub const ADAM_EPSILON: f64 = 1e-8;
pub const MAX_GRAD_NORM: f64 = 1.0;
pub const MAX_LENGTH: usize = 1024;
pub const LOGGING_STEPS: u64 = 10;
/// Learning rates of sft, full and with LoRA: TRL's.
pub const SFT_LEARNING_RATE: (f64, f64) = (2e-5, 1e-4);

/// One stage of training.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct StageTable {
    /// Name of the stage and of its folder in the run: letters, digits, `_` and `-`.
    #[schemars(required, regex(pattern = TABLE_NAME))]
    pub name: Option<String>,
    /// What the stage does.
    #[schemars(required)]
    pub kind: Option<Kind>,
    #[serde(flatten)]
    pub training: TrainingKeys,
    #[serde(flatten)]
    pub of_kind: KindKeys,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Supervised fine-tuning on answers; preference rows serve by their chosen side.
    Sft,
    /// A reward model (2203.02155) from pairs of answers.
    Rm,
    /// Reinforcement learning (1707.06347) on answers to prompts, scored by a reward model.
    Ppo,
    /// Direct preference optimisation (2305.18290) on pairs of answers.
    Dpo,
    /// Kahneman-Tversky optimisation (2402.01306) on single answers labelled good or bad.
    Kto,
    /// Contrastive preference optimisation (2401.08417) on pairs of answers, without a reference.
    Cpo,
    /// Odds-ratio preference optimisation (2403.07691) on pairs of answers, without a reference.
    Orpo,
    /// Simple preference optimisation (2405.14734) on pairs of answers, without a reference.
    Simpo,
}

impl Kind {
    /// As a recipe writes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sft => "sft",
            Kind::Rm => "rm",
            Kind::Ppo => "ppo",
            Kind::Dpo => "dpo",
            Kind::Kto => "kto",
            Kind::Cpo => "cpo",
            Kind::Orpo => "orpo",
            Kind::Simpo => "simpo",
        }
    }

    /// Learning rates, full and with LoRA.
    pub fn learning_rate(self) -> (f64, f64) {
        match self {
            Kind::Sft => SFT_LEARNING_RATE,
            Kind::Rm => rm::LEARNING_RATE,
            Kind::Ppo => ppo::LEARNING_RATE,
            Kind::Dpo => dpo::LEARNING_RATE,
            Kind::Kto => kto::LEARNING_RATE,
            Kind::Cpo => cpo::LEARNING_RATE,
            Kind::Orpo => orpo::LEARNING_RATE,
            Kind::Simpo => simpo::LEARNING_RATE,
        }
    }
}

/// Keys that every kind has; names and defaults are those of Hugging Face's and TRL's trainers.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct TrainingKeys {
    /// Name of the `[data.NAME]` table to train on.
    pub data: Option<String>,
    /// Model to train: `base`, or `stage:NAME` for the result of a stage before this one. Default:
    /// the newest stage before that is no reward model, or `base` where there is none.
    #[schemars(regex(pattern = MODEL_SOURCE))]
    pub policy: Option<String>,
    /// What is trained: all weights, or a low-rank adapter.
    #[schemars(extend("default" = "full"))]
    pub tuner: Option<Tuner>,
    /// The adapter of `tuner = "lora"`. A stage whose policy is the result of a lora stage continues
    /// that adapter, so the two must agree.
    pub lora: Option<LoraTable>,
    /// Rows (pairs for preference kinds, prompts for ppo) in a micro-batch.
    #[schemars(range(min = 1), extend("default" = BATCH_SIZE))]
    pub batch_size: Option<usize>,
    /// Micro-batches in an optimiser step; of ppo, in an update of `num_ppo_epochs` times
    /// `num_mini_batches` steps.
    #[schemars(range(min = 1), extend("default" = GRADIENT_ACCUMULATION_STEPS))]
    pub gradient_accumulation_steps: Option<usize>,
    /// Passes over the data; may be a fraction.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = NUM_TRAIN_EPOCHS))]
    pub num_train_epochs: Option<f64>,
    /// Optimiser steps; overrides `num_train_epochs`.
    #[schemars(range(min = 1))]
    pub max_steps: Option<u64>,
    /// Peak learning rate. Default: sft 2e-5, rm 1e-4, ppo 3e-6, the others 1e-6; with
    /// `tuner = "lora"` sft and rm 1e-4, the others 5e-5.
    #[schemars(range(min = 0.0))]
    pub learning_rate: Option<f64>,
    /// How the rate falls after the warmup.
    #[schemars(extend("default" = "linear"))]
    pub lr_scheduler_type: Option<SchedulerType>,
    /// Lowest rate of `cosine_with_min_lr`, as a share of `learning_rate`.
    #[schemars(range(min = 0.0, max = 1.0), extend("default" = MIN_LR_RATE))]
    pub min_lr_rate: Option<f64>,
    /// Share of all steps in which the rate rises from 0, rounded up to whole steps. Not with
    /// `warmup_steps`.
    #[schemars(range(min = 0.0, max = 1.0), extend("default" = 0.0))]
    pub warmup_ratio: Option<f64>,
    /// Steps in which the rate rises from 0. Not with `warmup_ratio`.
    pub warmup_steps: Option<u64>,
    /// AdamW's decoupled decay; norms and biases have none.
    #[schemars(range(min = 0.0), extend("default" = WEIGHT_DECAY))]
    pub weight_decay: Option<f64>,
    /// AdamW's decay of the first moment.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1, "default" = ADAM_BETA1))]
    pub adam_beta1: Option<f64>,
    /// AdamW's decay of the second moment.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1, "default" = ADAM_BETA2))]
    pub adam_beta2: Option<f64>,
    /// AdamW's guard against division by zero.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = ADAM_EPSILON))]
    pub adam_epsilon: Option<f64>,
    /// Gradients with a larger global norm are scaled down to it; 0 turns this off. Of ppo, those of policy
    /// and value model together, which TRL does not clip.
    #[schemars(range(min = 0.0), extend("default" = MAX_GRAD_NORM))]
    pub max_grad_norm: Option<f64>,
    /// Tokens of prompt and answer together; what is longer is cut at the end.
    #[schemars(range(min = 2), extend("default" = MAX_LENGTH))]
    pub max_length: Option<usize>,
    /// Tokens of the prompt, fewer than `max_length`; longer prompts lose their beginning. Default:
    /// no bound of its own.
    #[schemars(range(min = 1))]
    pub max_prompt_length: Option<usize>,
    /// Recomputes layers in the backward pass: less memory, more time, the same numbers.
    #[schemars(extend("default" = false))]
    pub gradient_checkpointing: Option<bool>,
    /// Steps between two lines of `metrics.jsonl`.
    #[schemars(range(min = 1), extend("default" = LOGGING_STEPS))]
    pub logging_steps: Option<u64>,
    /// Steps between two evaluations on the held-out rows. Default: only at the end.
    #[schemars(range(min = 1))]
    pub eval_steps: Option<u64>,
    /// Steps between two checkpoints. Default: only at the end.
    #[schemars(range(min = 1))]
    pub save_steps: Option<u64>,
    /// Checkpoints kept, the newest. Default: all.
    #[schemars(range(min = 1))]
    pub save_total_limit: Option<usize>,
    /// Whether each epoch has the rows in another order.
    #[schemars(extend("default" = true))]
    pub shuffle: Option<bool>,
    /// Seed of the stage. Default: the recipe's.
    pub seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tuner {
    /// A low-rank adapter (2106.09685); the model itself stays as it is.
    Lora,
    /// All weights.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerType {
    /// In a line down to 0.
    Linear,
    /// Half a cosine down to 0.
    Cosine,
    /// Not at all.
    Constant,
    /// Half a cosine down to `min_lr_rate` of the peak.
    CosineWithMinLr,
}

/// `lora = { … }`, as written: `y = Wx + (alpha/rank)·B(A(dropout(x)))`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct LoraTable {
    /// Rows of A, columns of B.
    #[schemars(range(min = 1), extend("default" = LORA_RANK))]
    pub rank: Option<usize>,
    /// The adapter's output is scaled by `alpha / rank`.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = LORA_ALPHA))]
    pub alpha: Option<f64>,
    /// Share of the adapter's inputs set to 0 in training.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1, "default" = LORA_DROPOUT))]
    pub dropout: Option<f64>,
    /// The linear layers that get an adapter: `ALL`, `DEFAULT`, or a list of names.
    #[schemars(extend("default" = "ALL"))]
    pub target_modules: Option<TargetModulesValue>,
    /// Scales by `alpha / sqrt(rank)` instead (2312.03732).
    #[schemars(extend("default" = false))]
    pub rslora: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TargetModulesValue {
    Preset(TargetPreset),
    List(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<TargetModule>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TargetPreset {
    /// Every linear layer except `lm_head`.
    #[serde(rename = "ALL")]
    All,
    /// `q_proj`, `k_proj` and `v_proj`.
    #[serde(rename = "DEFAULT")]
    Default,
}

/// A linear layer of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetModule {
    QProj,
    KProj,
    VProj,
    OProj,
    GateProj,
    UpProj,
    DownProj,
}

impl TargetModule {
    pub const ALL: [TargetModule; 7] = [
        TargetModule::QProj,
        TargetModule::KProj,
        TargetModule::VProj,
        TargetModule::OProj,
        TargetModule::GateProj,
        TargetModule::UpProj,
        TargetModule::DownProj,
    ];

    /// The name in checkpoints.
    pub fn name(self) -> &'static str {
        match self {
            TargetModule::QProj => "q_proj",
            TargetModule::KProj => "k_proj",
            TargetModule::VProj => "v_proj",
            TargetModule::OProj => "o_proj",
            TargetModule::GateProj => "gate_proj",
            TargetModule::UpProj => "up_proj",
            TargetModule::DownProj => "down_proj",
        }
    }
}
