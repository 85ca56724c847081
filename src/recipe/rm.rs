//! Keys that only `kind = "rm"` has: a reward model. Source: InstructGPT (2203.02155), section 3.5;
//! names and defaults are TRL's.

use schemars::JsonSchema;
use serde::Deserialize;

pub const CENTER_REWARDS_COEFFICIENT: f64 = 0.0;
pub const HEAD_BIAS: bool = true;
/// Learning rates, full and with LoRA.
pub const LEARNING_RATE: (f64, f64) = (1e-4, 1e-4);
/// Keys that it has in common with other kinds.
pub const SHARED: [&str; 0] = [];

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct RmKeys {
    /// Weight of the squared sum of a pair's scores, which keeps scores around 0 (2312.09244); 0
    /// turns it off.
    #[schemars(range(min = 0.0), extend("default" = CENTER_REWARDS_COEFFICIENT))]
    pub center_rewards_coefficient: Option<f64>,
    /// Whether the value head's bias is trained; without, it stays 0. The head of a sequence classifier
    /// (`score.weight`) has none: there it is always 0.
    #[schemars(extend("default" = HEAD_BIAS))]
    pub head_bias: Option<bool>,
}
