//! Resolved settings of a stage: every default filled in, every range checked. A recipe is what a
//! user wrote; these are what the executors read, and what a fingerprint hashes.

use serde::{Deserialize, Serialize};

/// One stage, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSettings {
    pub name: String,
    /// Name of the `[data.NAME]` table this stage trains on.
    pub data: String,
    /// Where the policy comes from.
    pub policy: Source,
    /// The kind and the keys only it has.
    pub kind: KindSettings,
    pub training: TrainingSettings,
}

/// A model that a stage starts from or compares with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `[model]`, with its adapter if it names one.
    Base,
    /// The result of an earlier stage, by name.
    Stage(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum KindSettings {
    Sft,
    Dpo(DpoSettings),
}

impl KindSettings {
    /// The kind's name as a recipe writes it.
    pub fn name(&self) -> &'static str {
        match self {
            KindSettings::Sft => "sft",
            KindSettings::Dpo(_) => "dpo",
        }
    }
}

/// Keys of `kind = "dpo"`. Source: DPO (2305.18290).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DpoSettings {
    /// `None`: the policy as the stage starts.
    pub reference: Option<Source>,
    pub beta: f64,
    /// Losses and their weights, e.g. `[(Sigmoid, 1.0), (Sft, 0.1)]`.
    pub losses: Vec<(DpoLoss, f64)>,
    /// Weight of the chosen answers' NLL (token mean of the micro-batch); `None` is off.
    pub rpo_alpha: Option<f64>,
    pub label_smoothing: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpoLoss {
    Sigmoid,
    Sft,
}

/// Keys that every kind of training has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSettings {
    /// `None`: full tuning.
    pub lora: Option<LoraSettings>,
    /// Rows a micro-batch.
    pub batch_size: usize,
    /// Micro-batches an optimiser step.
    pub gradient_accumulation_steps: usize,
    pub num_train_epochs: f64,
    /// Overrides `num_train_epochs`.
    pub max_steps: Option<u64>,
    pub learning_rate: f64,
    pub lr_scheduler_type: Schedule,
    /// Lowest rate of `cosine_with_min_lr`, as a share of `learning_rate`.
    pub min_lr_rate: f64,
    pub warmup: Warmup,
    pub weight_decay: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    /// 0 turns clipping off.
    pub max_grad_norm: f64,
    /// Tokens of prompt and completion together.
    pub max_length: usize,
    /// Tokens of the prompt; longer ones lose their beginning. `None`: no bound of its own.
    pub max_prompt_length: Option<usize>,
    pub gradient_checkpointing: bool,
    pub logging_steps: u64,
    /// `None`: only at the end of the stage.
    pub eval_steps: Option<u64>,
    /// `None`: only at the end of the stage.
    pub save_steps: Option<u64>,
    /// `None`: keep all.
    pub save_total_limit: Option<usize>,
    pub shuffle: bool,
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    /// Share of all steps, rounded up.
    Ratio(f64),
    Steps(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    Linear,
    Cosine,
    Constant,
    CosineWithMinLr,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraSettings {
    pub rank: usize,
    pub alpha: f64,
    pub dropout: f64,
    pub target_modules: TargetModules,
    pub rslora: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetModules {
    /// Every linear except `lm_head`.
    All,
    /// `q_proj`, `k_proj`, `v_proj`.
    Default,
    /// By name, e.g. `["q_proj", "v_proj"]`.
    List(Vec<String>),
}
