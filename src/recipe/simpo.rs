//! Keys that only `kind = "simpo"` has. Source: SimPO (2405.14734), AlphaPO (2501.03884); names are
//! TRL's, defaults ms-swift's.

use schemars::JsonSchema;
use serde::Deserialize;

pub const BETA: f64 = 2.0;
pub const SIMPO_GAMMA: f64 = 1.0;
pub const CPO_ALPHA: f64 = 1.0;
pub const LABEL_SMOOTHING: f64 = 0.0;
/// Learning rates, full and with LoRA.
pub const LEARNING_RATE: (f64, f64) = (1e-6, 5e-5);
/// Keys that it has in common with other kinds.
pub const SHARED: [&str; 3] = ["beta", "label_smoothing", "cpo_alpha"];

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct SimpoKeys {
    /// Margin by which the chosen answer's reward is to exceed the rejected one's, the paper's γ.
    #[schemars(range(min = 0.0), extend("default" = SIMPO_GAMMA))]
    pub simpo_gamma: Option<f64>,
    /// AlphaPO's α: a mean log-prob L counts as `(1 − exp(−αL))/α`. Default: 0, which is off.
    pub alpha: Option<f64>,
}
