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
    /// A folder outside the run: only of `reward`.
    Folder(std::path::PathBuf),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum KindSettings {
    Sft,
    Rm(RmSettings),
    Ppo(PpoSettings),
    Dpo(DpoSettings),
    Kto(KtoSettings),
    Cpo(CpoSettings),
    Orpo(OrpoSettings),
    Simpo(SimpoSettings),
}

impl KindSettings {
    /// The kind's name as a recipe writes it.
    pub fn name(&self) -> &'static str {
        match self {
            KindSettings::Sft => "sft",
            KindSettings::Rm(_) => "rm",
            KindSettings::Ppo(_) => "ppo",
            KindSettings::Dpo(_) => "dpo",
            KindSettings::Kto(_) => "kto",
            KindSettings::Cpo(_) => "cpo",
            KindSettings::Orpo(_) => "orpo",
            KindSettings::Simpo(_) => "simpo",
        }
    }

    /// Whether the policy is compared with a reference, named or not.
    pub fn has_reference(&self) -> bool {
        matches!(self, KindSettings::Dpo(_) | KindSettings::Kto(_) | KindSettings::Ppo(_))
    }

    /// Models that the kind reads besides its policy: key in the recipe, and where it comes from.
    pub fn sources(&self) -> Vec<(&'static str, &Source)> {
        match self {
            KindSettings::Dpo(DpoSettings { reference, .. })
            | KindSettings::Kto(KtoSettings { reference, .. }) => {
                reference.iter().map(|source| ("reference", source)).collect()
            }
            KindSettings::Ppo(ppo) => {
                let reference = ppo.reference.iter().map(|source| ("reference", source));
                std::iter::once(("reward", &ppo.reward)).chain(reference).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Keys of `kind = "rm"`. Source: InstructGPT (2203.02155), section 3.5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RmSettings {
    /// Weight of `mean((s_w + s_l)²)`, which keeps scores around 0; 0 is off.
    pub center_rewards_coefficient: f64,
    /// Whether the head's bias is trained; otherwise it stays 0.
    pub head_bias: bool,
}

/// Keys of `kind = "ppo"`. Source: PPO (1707.06347), InstructGPT (2203.02155).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PpoSettings {
    /// The reward model; the value model starts from it.
    pub reward: Source,
    /// `None`: the policy as the stage starts.
    pub reference: Option<Source>,
    pub kl_coef: f64,
    pub kl_estimator: KlEstimator,
    pub cliprange: f64,
    pub vf_coef: f64,
    pub cliprange_value: f64,
    pub gamma: f64,
    pub lam: f64,
    pub whiten_rewards: bool,
    pub num_ppo_epochs: usize,
    pub num_mini_batches: usize,
    /// Prompts that are answered at a time; changes no result.
    pub local_rollout_forward_batch_size: usize,
    /// Tokens of a response at most.
    pub response_length: usize,
    pub temperature: f64,
    /// `None`: all tokens.
    pub top_k: Option<usize>,
    /// 1 is off.
    pub top_p: f64,
    /// Taken off the score of a response without an end token; `None` is off.
    pub missing_eos_penalty: Option<f64>,
    /// Overrides `num_train_epochs`.
    pub total_episodes: Option<u64>,
    /// How often sample answers are written during training.
    pub num_sample_generations: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimator {
    /// `log π_old − log ρ`
    K1,
    /// `exp(−k1) − 1 + k1`
    K3,
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
    /// `None`: reverse KL, where a score is the log-ratio itself.
    pub f_divergence: Option<FDivergence>,
    /// LD-DPO (2409.06411): weight of tokens past the shorter answer's length; `None` is off.
    pub ld_alpha: Option<f64>,
    /// WPO (2406.11827): pairs weighted by how likely the policy finds them; `None` is off.
    pub use_weighting: Option<bool>,
    /// Temperature of `discopop`'s mixing; `None` where that loss is not used.
    pub discopop_tau: Option<f64>,
}

/// A loss of DPO's family; formulas in [`crate::objective::dpo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpoLoss {
    Sigmoid,
    Hinge,
    Ipo,
    ExoPair,
    NcaPair,
    Robust,
    BcoPair,
    SppoHard,
    Aot,
    AotUnpaired,
    ApoZero,
    ApoDown,
    Discopop,
    SigmoidNorm,
    Sft,
}

/// f-DPO (2309.16240): what a log-ratio r is turned into before pairs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FDivergence {
    /// `1 − e^{−r}`
    ForwardKl,
    /// `ln 2 + log σ(r)`
    JsDivergence,
    /// `(e^{(a−1)r} − 1)/(a−1)`, a ≠ 1.
    AlphaDivergence(f64),
}

/// Keys of `kind = "kto"`. Source: KTO (2402.01306).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KtoSettings {
    /// `None`: the policy as the stage starts.
    pub reference: Option<Source>,
    pub beta: f64,
    pub loss: KtoLoss,
    pub desirable_weight: f64,
    pub undesirable_weight: f64,
    /// Whether the rows are pairs, of which each answer is a row of its own.
    pub unpair: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KtoLoss {
    Kto,
    ApoZeroUnpaired,
}

/// Keys of `kind = "cpo"`. Source: CPO (2401.08417).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CpoSettings {
    pub beta: f64,
    pub loss: CpoLoss,
    /// Weight of the chosen answers' NLL (token mean of the micro-batch).
    pub cpo_alpha: f64,
    pub label_smoothing: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpoLoss {
    Sigmoid,
    Hinge,
    Ipo,
}

/// Keys of `kind = "orpo"`. Source: ORPO (2403.07691).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrpoSettings {
    /// Weight of the odds-ratio term, the paper's λ.
    pub beta: f64,
    pub nll: OrpoNll,
}

/// Tokens of the chosen side that ORPO's NLL counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrpoNll {
    /// Those of the answer, as ms-swift.
    Completion,
    /// Those of prompt and answer, as TRL.
    Full,
}

/// Keys of `kind = "simpo"`. Source: SimPO (2405.14734); AlphaPO (2501.03884) with `alpha`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimpoSettings {
    pub beta: f64,
    pub simpo_gamma: f64,
    /// Weight of the chosen answers' NLL (token mean of the micro-batch); 0 is the paper's loss.
    pub cpo_alpha: f64,
    pub label_smoothing: f64,
    /// AlphaPO: mean log-probs L become `(1 − e^{−αL})/α`; `None` is off.
    pub alpha: Option<f64>,
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
