//! PPO (1707.06347, 2203.02155): the policy answers prompts, a reward model scores the answers, and
//! policy and value model take several steps on them. An optimiser step is one mini-batch; an update is
//! a rollout and the steps on it.
//!
//! As in TRL's `PPOTrainer` (1.12, the last that had it), with these differences:
//!
//! | | here | TRL |
//! |---|---|---|
//! | sampling | a response ends at an end token, or after `response_length` tokens (512; TRL 53) | all tokens are sampled; with `stop_token` they are cut afterwards |
//! | score | added at the response's last token | one slot later, where padding follows |
//! | what is scored | a response that ended, and what the template writes after its end token, as the reward model saw answers | the response |
//! | losses | means over the tokens of a whole mini-batch | means of micro-batches' means |
//! | learning rate | falls with every optimiser step | falls with every update |
//! | gradients | clipped to `max_grad_norm`, 1 by default, policy and value model together | not clipped |
//! | value model under LoRA | an adapter on the reward model, and its head | trained whole |
//! | value head | weight and bias | weight |
//! | reference under LoRA | the policy as the stage starts, with the adapter that it starts from | the base without an adapter |
//! | last update of an epoch | used, however short | dropped where rows are left over |
//! | `policy/entropy_avg`, `policy/approxkl_avg`, `val/ratio` | over tokens of responses | over padding too |
//! | `val/ratio_var` | over tokens | over the means of mini-batches |
//!
//! TRL's `eps` (episodes a second) is left out, because metrics hold no times, and its `lr` is
//! `learning_rate`.

mod algorithm;
mod evaluation;
pub mod metrics;
mod of_kind;
mod response;
mod rollout;
mod settings;
mod state;
mod updates;
mod variety;

pub use settings::PpoSettings;
