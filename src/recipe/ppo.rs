//! Keys that only `kind = "ppo"` has: reinforcement learning from a reward model. Source: PPO
//! (1707.06347), InstructGPT (2203.02155); names and defaults are TRL's, but for `response_length`, which
//! is 53 there. What else differs from TRL is told at the keys that it is about, and in one place at the
//! top of `stages::ppo`.

use schemars::JsonSchema;
use serde::Deserialize;

pub const KL_COEF: f64 = 0.05;
pub const CLIPRANGE: f64 = 0.2;
pub const VF_COEF: f64 = 0.1;
pub const CLIPRANGE_VALUE: f64 = 0.2;
pub const GAMMA: f64 = 1.0;
pub const LAM: f64 = 0.95;
pub const NUM_PPO_EPOCHS: usize = 4;
pub const NUM_MINI_BATCHES: usize = 1;
pub const LOCAL_ROLLOUT_FORWARD_BATCH_SIZE: usize = 64;
pub const RESPONSE_LENGTH: usize = 512;
pub const TEMPERATURE: f64 = 0.7;
pub const TOP_P: f64 = 1.0;
pub const NUM_SAMPLE_GENERATIONS: usize = 10;
/// Learning rates, full and with LoRA.
pub const LEARNING_RATE: (f64, f64) = (3e-6, 5e-5);
/// Keys that it has in common with other kinds.
pub const SHARED: [&str; 1] = ["reference"];

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct PpoKeys {
    /// The reward model: `stage:NAME` for the result of an rm stage before this one, `base` for the
    /// model itself with its head or the `head` of `[model]`, or a folder relative to the recipe: a model
    /// or adapter with a `value_head.safetensors`, a `…ForSequenceClassification` with one label, or a
    /// PEFT adapter of one (`modules_to_save = ["score"]`), whose configuration names its base. Default:
    /// the newest rm stage before this one. A response that ended is scored with what the template writes
    /// after its end token. The value model starts from it too: with `tuner = "lora"` an adapter and the
    /// head are trained (TRL trains the whole model), and the head has a bias (TRL's has none).
    #[schemars(length(min = 1))]
    pub reward: Option<String>,
    /// Weight of the KL term that is taken off the reward of every token: the larger, the closer the
    /// policy stays to the reference, which is the policy as the stage starts, its adapter included (with
    /// LoRA, TRL compares with the model without an adapter), unless `reference` names another.
    #[schemars(range(min = 0.0), extend("default" = KL_COEF))]
    pub kl_coef: Option<f64>,
    /// How the KL of a token is estimated.
    #[schemars(extend("default" = "k1"))]
    pub kl_estimator: Option<KlEstimatorName>,
    /// How far the ratio of new to old probability may leave 1 before it counts no further.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = CLIPRANGE))]
    pub cliprange: Option<f64>,
    /// Weight of the value loss.
    #[schemars(range(min = 0.0), extend("default" = VF_COEF))]
    pub vf_coef: Option<f64>,
    /// How far a value may leave the one before the update.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = CLIPRANGE_VALUE))]
    pub cliprange_value: Option<f64>,
    /// Discount a token.
    #[schemars(range(min = 0.0, max = 1.0), extend("default" = GAMMA))]
    pub gamma: Option<f64>,
    /// λ of generalised advantage estimation (1506.02438).
    #[schemars(range(min = 0.0, max = 1.0), extend("default" = LAM))]
    pub lam: Option<f64>,
    /// Whether rewards are scaled to unit variance over an update.
    #[schemars(extend("default" = false))]
    pub whiten_rewards: Option<bool>,
    /// Passes over the responses of an update. The last update of an epoch is used however few prompts it
    /// has (TRL drops it where rows are left over), and the learning rate falls with every optimiser step
    /// (TRL: with every update).
    #[schemars(range(min = 1), extend("default" = NUM_PPO_EPOCHS))]
    pub num_ppo_epochs: Option<usize>,
    /// Optimiser steps in a pass over an update's responses; divides the prompts of an update, which
    /// are `batch_size` × `gradient_accumulation_steps`.
    #[schemars(range(min = 1), extend("default" = NUM_MINI_BATCHES))]
    pub num_mini_batches: Option<usize>,
    /// Prompts that are answered at a time: memory and speed, no result, depend on it.
    #[schemars(range(min = 1), extend("default" = LOCAL_ROLLOUT_FORWARD_BATCH_SIZE))]
    pub local_rollout_forward_batch_size: Option<usize>,
    /// Tokens of a response at most, fewer than `max_length`, which bounds prompt and response
    /// together. TRL's default is 53. A response always ends at an end token (TRL samples all tokens, and
    /// cuts only with `stop_token`).
    #[schemars(range(min = 1), extend("default" = RESPONSE_LENGTH))]
    pub response_length: Option<usize>,
    /// Divides the logits: below 1 responses are more alike, above 1 more varied.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = TEMPERATURE))]
    pub temperature: Option<f64>,
    /// Samples only from this many likeliest tokens. Default: from all.
    #[schemars(range(min = 1))]
    pub top_k: Option<usize>,
    /// Samples only from the likeliest tokens that have this probability together; 1 is all.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0, "default" = TOP_P))]
    pub top_p: Option<f64>,
    /// Taken off the score of a response that does not end by itself. Default: nothing.
    #[schemars(range(min = 0.0))]
    pub missing_eos_penalty: Option<f64>,
    /// Responses in all; overrides `num_train_epochs`. Default: `num_train_epochs` times the rows.
    #[schemars(range(min = 1))]
    pub total_episodes: Option<u64>,
    /// How often sample answers are written during training.
    #[schemars(extend("default" = NUM_SAMPLE_GENERATIONS))]
    pub num_sample_generations: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimatorName {
    /// `log π − log ρ`: unbiased.
    K1,
    /// `exp(−k1) − 1 + k1`: unbiased, never negative, of less variance.
    K3,
}
