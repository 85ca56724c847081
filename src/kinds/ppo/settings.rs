//! Keys of `kind = "ppo"`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::Episodes;
use crate::kinds::source::{MODEL_SOURCE, Source};
use crate::objective::ppo::KlEstimator;

/// Keys of `kind = "ppo"`: reinforcement learning from a reward model; names and defaults are TRL's, but for
/// `response_length`, which is 53 there. Other differences from TRL are described at the keys that they are about, and
/// in one place at the top of `kinds::ppo`. Source: PPO (1707.06347), InstructGPT (2203.02155).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PpoSettings {
    /// Model that the policy is compared with: `base`, or `stage:NAME` for the result of a stage
    /// before this one. Default: the policy as this stage starts.
    #[schemars(regex(pattern = MODEL_SOURCE))]
    pub reference: Option<Source>,
    /// The reward model: `stage:NAME` for the result of an rm stage before this one, `base` for the
    /// model itself with its head or the `head` of `[model]`, or a folder relative to the recipe: a model
    /// or adapter with a `value_head.safetensors`, a `…ForSequenceClassification` with one label, or a
    /// PEFT adapter of one (`modules_to_save = ["score"]`), whose configuration names its base. Default:
    /// the newest rm stage before this one. A response that ended is scored with what the template writes
    /// after its end token. The value model starts from it too: with `tuner = "lora"` an adapter and the
    /// head are trained (TRL trains the whole model), and the head has a bias (TRL's has none).
    #[schemars(length(min = 1))]
    pub reward: Option<Source>,
    /// Weight of the KL term that is taken off the reward of every token: the larger, the closer the
    /// policy stays to the reference, which is the policy as the stage starts, its adapter included (with
    /// LoRA, TRL compares with the model without an adapter), unless `reference` names another.
    #[schemars(range(min = 0.0))]
    pub kl_coef: f64,
    /// How the KL of a token is estimated.
    pub kl_estimator: KlEstimator,
    /// How far the ratio of new to old probability may leave 1 before it counts no further.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub cliprange: f64,
    /// Weight of the value loss.
    #[schemars(range(min = 0.0))]
    pub vf_coef: f64,
    /// How far a value may leave the one before the update.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub cliprange_value: f64,
    /// Discount per token.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// λ of generalised advantage estimation (1506.02438).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lam: f64,
    /// Whether rewards are scaled to unit variance over an update.
    pub whiten_rewards: bool,
    /// Passes over the responses of an update. The last update of an epoch is used however few prompts it
    /// has (TRL drops it where rows are left over), and the learning rate falls with every optimiser step
    /// (TRL: with every update).
    #[schemars(range(min = 1, max = 1048576))]
    pub num_ppo_epochs: usize,
    /// Optimiser steps in a pass over an update's responses; divides the prompts of an update, which
    /// are `batch_size` × `gradient_accumulation_steps`.
    #[schemars(range(min = 1, max = 1048576))]
    pub num_mini_batches: usize,
    /// Prompts that are answered at a time: memory and speed, no result, depend on it.
    #[schemars(range(min = 1, max = 1048576))]
    pub local_rollout_forward_batch_size: usize,
    /// Tokens of a response at most, fewer than `max_length`, which bounds prompt and response
    /// together. TRL's default is 53. A response always ends at an end token (TRL samples all tokens, and
    /// cuts only with `stop_token`).
    #[schemars(range(min = 1))]
    pub response_length: usize,
    /// Divides the logits: below 1 responses are more alike, above 1 more varied.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub temperature: f64,
    /// Samples only from this many likeliest tokens. Default: from all.
    #[schemars(range(min = 1))]
    pub top_k: Option<usize>,
    /// Samples only from the likeliest tokens that have this probability together; 1 is all.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0))]
    pub top_p: f64,
    /// Taken off the score of a response that does not end by itself. Default: nothing.
    #[schemars(range(min = 0.0))]
    pub missing_eos_penalty: Option<f64>,
    /// Responses in all; overrides `num_train_epochs`. Default: `num_train_epochs` times the rows.
    #[schemars(range(min = 1))]
    pub total_episodes: Option<u64>,
    /// How often sample answers are written during training.
    pub num_sample_generations: usize,
}

impl Default for PpoSettings {
    fn default() -> Self {
        PpoSettings {
            reference: None,
            reward: None,
            kl_coef: 0.05,
            kl_estimator: KlEstimator::K1,
            cliprange: 0.2,
            vf_coef: 0.1,
            cliprange_value: 0.2,
            gamma: 1.0,
            lam: 0.95,
            whiten_rewards: false,
            num_ppo_epochs: 4,
            num_mini_batches: 1,
            local_rollout_forward_batch_size: 64,
            response_length: 512,
            temperature: 0.7,
            top_k: None,
            top_p: 1.0,
            missing_eos_penalty: None,
            total_episodes: None,
            num_sample_generations: 10,
        }
    }
}

impl PpoSettings {
    /// Optimiser steps on the responses to a window's prompts, and responses in all.
    pub fn episodes(&self) -> Episodes {
        Episodes {
            steps_per_window: (self.num_ppo_epochs * self.num_mini_batches) as u64,
            total: self.total_episodes,
        }
    }
}
