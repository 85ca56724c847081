//! DPO (2305.18290), eq. 7, and the losses that share its inputs. With `r = L_π − L_ρ` (w chosen,
//! l rejected), scores `s = f(r)` ([`super::f_divergence`]; s = r unless one is set), `Δ = s_w − s_l`,
//! `u = βΔ`, ε = `label_smoothing` and n an answer's tokens:
//!
//! | loss | of one pair | source |
//! |---|---|---|
//! | `sigmoid` | `−(1−ε) log σ(u) − ε log σ(−u)` | DPO; ε: cDPO |
//! | `hinge` | `max(0, 1 − u)` | SLiC (2305.10425), RSO (2309.06657) |
//! | `ipo` | `(s_w/n_w − s_l/n_l − 1/(2β))²` | IPO (2310.12036), eq. 17 |
//! | `exo_pair` | `σ(u)[log σ(u) − ln(1−ε)] + σ(−u)[log σ(−u) − ln ε]` | EXO (2402.00856), eq. 16 |
//! | `robust` | `[−(1−ε) log σ(u) + ε log σ(−u)]/(1−2ε)` | rDPO (2403.00409) |
//! | `discopop` | `−log σ(u)(1−m) + e^{−u} m`, `m = σ(u/τ)` | DiscoPOP (2406.08414), eq. 5 |
//! | `sigmoid_norm` | `−log σ(β(s_w/n_w − s_l/n_l))` | length-normalised DPO (2411.15124) |
//! | `nca_pair` | `−log σ(βr_w) − ½ log σ(−βr_w) − ½ log σ(−βr_l)` | NCA (2402.05369) |
//! | `bco_pair` | `−log σ(βr_w) − log σ(−βr_l)` | BCO (2404.04656), its reward shift at 0 |
//! | `sppo_hard` | `(r_w − 1/(2β))² + (r_l + 1/(2β))²` | SPPO (2405.00675), eq. 4.7 |
//! | `apo_zero` | `1 − σ(βr_w) + σ(βr_l)` | APO (2408.06266), eq. 7 |
//! | `apo_down` | `σ(βr_w) + 1 − σ(β(r_w − r_l))` | APO, eq. 8 |
//! | `aot`, `aot_unpaired` | sorted over the micro-batch | [`super::aot`] |
//! | `sft` | the chosen answers' NLL | [`super::nll`] |
//!
//! As in TRL, with three differences: `sigmoid` heeds `label_smoothing` (TRL 1.16 ignores it there),
//! `discopop` stays finite where u is far below 0 (`e^{−u} m` is formed in logarithms), and
//! f-divergences see [`super::f_divergence`]. LD-DPO and WPO change the inputs and weights of a pair:
//! they are the caller's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aot::{aot, aot_unpaired};
use super::f_divergence::{FDivergence, score};
use super::margin;
use super::pair::{Pair, PairLoss};
use super::sigmoid::{log_sigmoid, sigmoid, sigmoid_slope};

/// What the losses depend on besides the pair: keys of a dpo stage, with TRL's names and defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DpoParameters {
    /// How firmly the policy is held to the reference: the larger, the closer.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub beta: f64,
    /// Share of pairs assumed to be labelled the wrong way round.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 0.5))]
    pub label_smoothing: f64,
    /// How a log-ratio of policy and reference counts before pairs are compared (f-DPO, 2309.16240).
    pub f_divergence: FDivergence,
    /// α of `f_divergence = "alpha_divergence"`, not 1.
    pub f_alpha_divergence_coef: f64,
    /// Temperature of the mixing in `loss_type = "discopop"`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub discopop_tau: f64,
}

impl Default for DpoParameters {
    fn default() -> Self {
        DpoParameters {
            beta: 0.1,
            label_smoothing: 0.0,
            f_divergence: FDivergence::ReverseKl,
            f_alpha_divergence_coef: 0.5,
            discopop_tau: 0.05,
        }
    }
}

/// Δ is how much more the policy than the reference favours the chosen answer, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DpoLoss {
    /// `−log σ(βΔ)`, the loss of the DPO paper.
    Sigmoid,
    /// `max(0, 1 − βΔ)` (SLiC, 2305.10425).
    Hinge,
    /// Squared distance of the margin per token to `1/(2β)` (IPO, 2310.12036).
    Ipo,
    /// Reverse KL to the smoothed preference (EXO, 2402.00856); needs `label_smoothing`.
    ExoPair,
    /// Each answer against chance, so that the chosen one stays likely (NCA, 2402.05369).
    NcaPair,
    /// `sigmoid`, unbiased where `label_smoothing` is the share of wrong labels (2403.00409).
    Robust,
    /// Each answer classified by itself (BCO, 2404.04656).
    BcoPair,
    /// Each answer's reward drawn to ±1/2 (SPPO, 2405.00675).
    SppoHard,
    /// Pairs sorted over the micro-batch, as distributions (AOT, 2406.05882).
    Aot,
    /// As `aot`, chosen and rejected answers sorted each by themselves.
    AotUnpaired,
    /// Raises the chosen answer and lowers the rejected one (APO, 2408.06266).
    ApoZero,
    /// Lowers both, the rejected one more (APO, 2408.06266).
    ApoDown,
    /// A loss that a language model found (DiscoPOP, 2406.08414); see `discopop_tau`.
    Discopop,
    /// `sigmoid` on the margin per token.
    SigmoidNorm,
    /// In a list: negative log-likelihood of the chosen answers, averaged over their tokens.
    Sft,
}

impl DpoLoss {
    /// Whether the loss has a place for wrong labels.
    pub fn is_smoothed(self) -> bool {
        use DpoLoss::{Aot, AotUnpaired, ExoPair, Robust, Sigmoid};
        matches!(self, Sigmoid | ExoPair | Robust | Aot | AotUnpaired)
    }

    /// Whether answers of a micro-batch are sorted, after which there are no pairs to weigh, and a pair's
    /// loss depends on the other pairs.
    pub fn is_sorted(self) -> bool {
        matches!(self, DpoLoss::Aot | DpoLoss::AotUnpaired)
    }
}

/// Losses that f-divergences have a meaning for: in the others the partition function does not cancel. As
/// in TRL.
pub const WITH_F_DIVERGENCE: [DpoLoss; 8] = [
    DpoLoss::Sigmoid,
    DpoLoss::SigmoidNorm,
    DpoLoss::Hinge,
    DpoLoss::Ipo,
    DpoLoss::ExoPair,
    DpoLoss::Robust,
    DpoLoss::Discopop,
    DpoLoss::Sft,
];

/// Losses of a whole micro-batch, in the order of its pairs. `sft` is 0 here: it is a mean over
/// tokens rather than pairs, and [`super::nll`] has it.
pub fn losses(loss: DpoLoss, pairs: &[Pair], parameters: &DpoParameters) -> Vec<PairLoss> {
    let &DpoParameters { beta, label_smoothing, .. } = parameters;
    match loss {
        DpoLoss::Aot => aot(pairs, beta, label_smoothing),
        DpoLoss::AotUnpaired => aot_unpaired(pairs, beta, label_smoothing),
        _ => pairs.iter().map(|pair| of_pair(loss, pair, parameters)).collect(),
    }
}

fn of_pair(loss: DpoLoss, pair: &Pair, parameters: &DpoParameters) -> PairLoss {
    let &DpoParameters { beta, label_smoothing: epsilon, discopop_tau, .. } = parameters;
    let (r_w, r_l) = pair.log_ratios();
    let [(s_w, d_w), (s_l, d_l)] =
        [r_w, r_l].map(|r| score(parameters.f_divergence, parameters.f_alpha_divergence_coef, r));
    let u = beta * (s_w - s_l);
    let of_u = |loss: (f64, f64)| PairLoss::of_margin(loss, beta * d_w, -beta * d_l);
    let (share_w, share_l) = pair.shares();
    let mean = s_w * share_w - s_l * share_l;
    let (mean_w, mean_l) = (d_w * share_w, -d_l * share_l);
    match loss {
        DpoLoss::Sigmoid => of_u(margin::logistic(u, epsilon)),
        DpoLoss::Hinge => of_u(margin::hinge(u)),
        DpoLoss::Ipo => PairLoss::of_margin(margin::squared(mean, 0.5 / beta), mean_w, mean_l),
        DpoLoss::ExoPair => of_u(exo(u, epsilon)),
        DpoLoss::Robust => of_u(robust(u, epsilon)),
        DpoLoss::Discopop => of_u(discopop(u, discopop_tau)),
        DpoLoss::SigmoidNorm => {
            PairLoss::of_margin(margin::logistic(beta * mean, 0.0), beta * mean_w, beta * mean_l)
        }
        DpoLoss::NcaPair => PairLoss {
            loss: -log_sigmoid(beta * r_w) - 0.5 * (log_sigmoid(-beta * r_w) + log_sigmoid(-beta * r_l)),
            d_chosen: beta * (0.5 * sigmoid(beta * r_w) - sigmoid(-beta * r_w)),
            d_rejected: beta * 0.5 * sigmoid(beta * r_l),
        },
        DpoLoss::BcoPair => PairLoss {
            loss: -log_sigmoid(beta * r_w) - log_sigmoid(-beta * r_l),
            d_chosen: -beta * sigmoid(-beta * r_w),
            d_rejected: beta * sigmoid(beta * r_l),
        },
        DpoLoss::SppoHard => {
            let (chosen, rejected) = (margin::squared(r_w, 0.5 / beta), margin::squared(r_l, -0.5 / beta));
            PairLoss { loss: chosen.0 + rejected.0, d_chosen: chosen.1, d_rejected: rejected.1 }
        }
        DpoLoss::ApoZero => PairLoss {
            loss: sigmoid(-beta * r_w) + sigmoid(beta * r_l),
            d_chosen: -beta * sigmoid_slope(beta * r_w),
            d_rejected: beta * sigmoid_slope(beta * r_l),
        },
        DpoLoss::ApoDown => {
            let apart = beta * (r_w - r_l);
            PairLoss {
                loss: sigmoid(beta * r_w) + sigmoid(-apart),
                d_chosen: beta * (sigmoid_slope(beta * r_w) - sigmoid_slope(apart)),
                d_rejected: beta * sigmoid_slope(apart),
            }
        }
        // The first two are couplings, which `losses` never sends here.
        DpoLoss::Aot | DpoLoss::AotUnpaired | DpoLoss::Sft => PairLoss::default(),
    }
}

/// EXO's loss and slope: the terms through the logarithms cancel in the slope.
fn exo(u: f64, epsilon: f64) -> (f64, f64) {
    let (log_keep, log_flip) = ((-epsilon).ln_1p(), epsilon.ln());
    let loss = sigmoid(u) * (log_sigmoid(u) - log_keep) + sigmoid(-u) * (log_sigmoid(-u) - log_flip);
    (loss, sigmoid_slope(u) * (u - log_keep + log_flip))
}

fn robust(u: f64, epsilon: f64) -> (f64, f64) {
    let (keep, flip) = ((1.0 - epsilon) / (1.0 - 2.0 * epsilon), epsilon / (1.0 - 2.0 * epsilon));
    (-keep * log_sigmoid(u) + flip * log_sigmoid(-u), -keep * sigmoid(-u) - flip * sigmoid(u))
}

fn discopop(u: f64, tau: f64) -> (f64, f64) {
    let (mix, rest) = (sigmoid(u / tau), sigmoid(-u / tau));
    let exponential = (log_sigmoid(u / tau) - u).exp();
    let slope = -sigmoid(-u) * rest + log_sigmoid(u) * mix * rest / tau + exponential * (rest / tau - 1.0);
    (-log_sigmoid(u) * rest + exponential, slope)
}
