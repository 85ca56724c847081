//! PPO (1707.06347) on one response per prompt, as in InstructGPT (2203.02155).

mod clip;
mod gae;
mod token_reward;

pub use clip::{PolicyLoss, ValueLoss, policy_loss, value_loss};
pub use gae::{advantages, whiten};
pub use token_reward::{KlEstimator, kl, token_rewards};
