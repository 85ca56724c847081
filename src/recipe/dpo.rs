//! Keys that only `kind = "dpo"` has. Source: DPO (2305.18290); names and defaults are TRL's.

use schemars::JsonSchema;
use serde::Deserialize;

pub const BETA: f64 = 0.1;
pub const LABEL_SMOOTHING: f64 = 0.0;
pub const F_ALPHA_DIVERGENCE_COEF: f64 = 0.5;
pub const DISCOPOP_TAU: f64 = 0.05;
/// Learning rates, full and with LoRA.
pub const LEARNING_RATE: (f64, f64) = (1e-6, 5e-5);
/// Keys that it has in common with other kinds.
pub const SHARED: [&str; 4] = ["reference", "beta", "loss_type", "label_smoothing"];

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct DpoKeys {
    /// Weight of each loss of `loss_type`. Default: 1 each.
    #[schemars(length(min = 1))]
    pub loss_weights: Option<Vec<f64>>,
    /// Adds this times the negative log-likelihood of the chosen answers, averaged over their
    /// tokens (2404.19733). Default: off.
    #[schemars(range(min = 0.0))]
    pub rpo_alpha: Option<f64>,
    /// How a log-ratio of policy and reference counts before pairs are compared (f-DPO, 2309.16240).
    #[schemars(extend("default" = "reverse_kl"))]
    pub f_divergence: Option<FDivergenceName>,
    /// α of `f_divergence = "alpha_divergence"`, not 1.
    #[schemars(extend("default" = F_ALPHA_DIVERGENCE_COEF))]
    pub f_alpha_divergence_coef: Option<f64>,
    /// Weight of the longer answer's tokens past the length of the shorter one (LD-DPO, 2409.06411).
    /// Default: 1, the same as of all tokens.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ld_alpha: Option<f64>,
    /// Weighs each pair by how likely the policy itself is to give its answers (WPO, 2406.11827).
    #[schemars(extend("default" = false))]
    pub use_weighting: Option<bool>,
    /// Temperature of the mixing in `loss_type = "discopop"`.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = DISCOPOP_TAU))]
    pub discopop_tau: Option<f64>,
}

/// What a log-ratio r becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FDivergenceName {
    /// r itself: DPO.
    ReverseKl,
    /// `1 − exp(−r)`
    ForwardKl,
    /// `log 2 + log σ(r)`
    JsDivergence,
    /// `(exp((α−1)r) − 1)/(α−1)` with α = `f_alpha_divergence_coef`.
    AlphaDivergence,
}
