//! Keys that only `kind = "orpo"` has. Source: ORPO (2403.07691); defaults are TRL's but for `nll`.

use schemars::JsonSchema;
use serde::Deserialize;

pub const BETA: f64 = 0.1;
/// Learning rates, full and with LoRA.
pub const LEARNING_RATE: (f64, f64) = (1e-6, 5e-5);
/// Keys that it has in common with other kinds.
pub const SHARED: [&str; 1] = ["beta"];

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct OrpoKeys {
    /// Tokens of the chosen side that the negative log-likelihood counts.
    #[schemars(extend("default" = "completion"))]
    pub nll: Option<NllTokens>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NllTokens {
    /// Those of the answer, as ms-swift.
    Completion,
    /// Those of prompt and answer, as TRL.
    Full,
}
