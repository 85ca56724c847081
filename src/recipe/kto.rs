//! Keys that only `kind = "kto"` has. Source: KTO (2402.01306); names and defaults are TRL's.

use schemars::JsonSchema;
use serde::Deserialize;

pub const BETA: f64 = 0.1;
pub const WEIGHT: f64 = 1.0;
/// Learning rates, full and with LoRA.
pub const LEARNING_RATE: (f64, f64) = (1e-6, 5e-5);
/// Keys that it has in common with other kinds.
pub const SHARED: [&str; 3] = ["reference", "beta", "loss_type"];

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct KtoKeys {
    /// Weight of desirable answers, the paper's λ_D.
    #[schemars(range(min = 0.0), extend("default" = WEIGHT))]
    pub desirable_weight: Option<f64>,
    /// Weight of undesirable answers, the paper's λ_U.
    #[schemars(range(min = 0.0), extend("default" = WEIGHT))]
    pub undesirable_weight: Option<f64>,
    /// Whether the rows are pairs, which are taken apart: the chosen answer is a desirable row, the
    /// rejected one an undesirable row. As TRL does, all chosen rows come before all rejected ones.
    #[schemars(extend("default" = false))]
    pub unpair: Option<bool>,
}
