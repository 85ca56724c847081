//! ORPO (2403.07691), eqs. 6 and 7: the odds-ratio term `−β log σ(log odds_w − log odds_l)` with
//! `log odds = L̄ − log(1 − e^{L̄})`, L̄ the mean log-probability of an answer's tokens and β the
//! paper's λ. The chosen answers' NLL ([`super::nll`]) is the caller's to add: TRL takes it over prompt
//! and completion, ms-swift over the completion.
//!
//! As in TRL, except that L̄ is held 2⁻²⁴ below 0: above that f32 cannot tell the probability from 1,
//! where TRL's odds, and its loss, are infinite. The gradient stays as at that bound.

use std::f64::consts::LN_2;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::margin;
use super::pair::{Pair, PairLoss};
use super::sigmoid::log_sigmoid;

/// Largest mean log-probability that is not cut: −2⁻²⁴.
const MAX_MEAN: f64 = -1.0 / 16_777_216.0;

/// Keys of an orpo stage; names and defaults are TRL's but for `nll`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OrpoParameters {
    /// Weight of the odds ratio, the paper's λ.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub beta: f64,
    /// Tokens of the chosen side that the negative log-likelihood counts.
    pub nll: NllTokens,
}

impl Default for OrpoParameters {
    fn default() -> Self {
        OrpoParameters { beta: 0.1, nll: NllTokens::Completion }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NllTokens {
    /// Those of the answer, as ms-swift.
    Completion,
    /// Those of prompt and answer, as TRL.
    Full,
}

/// The odds-ratio term of one pair and what ORPO's metrics are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OddsRatio {
    /// `−β log σ(log_odds)` and its gradient.
    pub term: PairLoss,
    /// Log of the chosen answer's odds over the rejected one's.
    pub log_odds: f64,
    /// `log σ(log_odds)`
    pub log_sigmoid: f64,
}

/// The odds-ratio term of one pair, without the NLL.
pub fn odds_ratio(pair: &Pair, beta: f64) -> OddsRatio {
    let (mean_w, mean_l) = pair.policy_means();
    let (share_w, share_l) = pair.shares();
    let ((chosen, d_w), (rejected, d_l)) = (log_odds_of(mean_w), log_odds_of(mean_l));
    let log_odds = chosen - rejected;
    let (loss, slope) = margin::logistic(log_odds, 0.0);
    OddsRatio {
        term: PairLoss::of_margin((beta * loss, beta * slope), d_w * share_w, -d_l * share_l),
        log_odds,
        log_sigmoid: log_sigmoid(log_odds),
    }
}

/// Log-odds of a mean log-probability, and their derivative `1/(1 − e^{L̄})`.
fn log_odds_of(mean: f64) -> (f64, f64) {
    let mean = mean.clamp(f64::NEG_INFINITY, MAX_MEAN);
    (mean - log1mexp(mean), -1.0 / mean.exp_m1())
}

/// log(1 − eˣ) for x < 0, in the form that does not cancel.
fn log1mexp(x: f64) -> f64 {
    if x < -LN_2 { (-x.exp()).ln_1p() } else { (-x.exp_m1()).ln() }
}
