//! Kinds that train on pairs without a reference: CPO and SimPO, each with the NLL of the chosen
//! answers beside it, and ORPO.

use anyhow::Result;

use super::answers::{Objective, Seen, Totals};
use super::batch::Ask;
use super::means::Means;
use super::pair_metrics::{PairSeen, pair_of};
use crate::objective::nll::nll;
use crate::objective::orpo::odds_ratio;
use crate::objective::pair::{Pair, PairLoss};
use crate::objective::{cpo, simpo};
use crate::plan::settings::{CpoLoss, CpoSettings, OrpoNll, OrpoSettings, SimpoSettings};

pub struct Cpo(pub CpoSettings);

pub struct Simpo(pub SimpoSettings);

pub struct Orpo(pub OrpoSettings);

/// One pair's loss and what is told of it.
struct Part {
    loss: PairLoss,
    rewards: (f64, f64),
    log_probs: (f64, f64),
}

impl Cpo {
    fn part(&self, pair: &Pair) -> Part {
        let CpoSettings { beta, loss, label_smoothing, .. } = self.0;
        Part {
            loss: cpo::loss(loss, pair, beta, label_smoothing),
            rewards: cpo::rewards(loss, pair, beta),
            log_probs: match loss {
                CpoLoss::Sigmoid | CpoLoss::Hinge => (pair.policy_chosen, pair.policy_rejected),
                CpoLoss::Ipo => pair.policy_means(),
            },
        }
    }
}

impl Simpo {
    fn part(&self, pair: &Pair) -> Part {
        let SimpoSettings { beta, simpo_gamma: gamma, label_smoothing, alpha, .. } = self.0;
        let parameters = simpo::Parameters { beta, gamma, label_smoothing, alpha };
        Part {
            loss: simpo::loss(pair, &parameters),
            rewards: simpo::rewards(pair, &parameters),
            log_probs: pair.policy_means(),
        }
    }
}

fn tell(row: &Seen<'_>, pair: &PairSeen, means: &mut Means, micro: usize) {
    if row.is_told {
        pair.add_of_row(means, micro);
    }
    pair.add_of_tokens(means, micro);
}

/// Adds up the pairs' losses and `nll_weight` times the chosen answers' NLL.
fn with_nll(
    micro: usize,
    totals: &Totals,
    rows: &mut [Seen<'_>],
    means: &mut Means,
    nll_weight: f64,
    part: impl Fn(&Pair) -> Part,
) -> f64 {
    let weight = 1.0 / totals.rows as f64;
    let mut total = 0.0;
    for row in rows {
        let (chosen, rejected) = (row.answer(0), row.answer(1));
        let Part { loss, rewards, log_probs } = part(&pair_of(&chosen, &rejected));
        let (nll_loss, nll_slope) = nll(chosen.log_prob, totals.chosen_tokens);
        total += weight * loss.loss + nll_weight * nll_loss;
        row.add_slope(0, weight * loss.d_chosen + nll_weight * nll_slope);
        row.add_slope(1, weight * loss.d_rejected);
        tell(row, &PairSeen { chosen, rejected, rewards, log_probs }, means, micro);
        // as TRL, which does not compute a term of weight 0
        let told = if nll_weight == 0.0 { 0.0 } else { -chosen.log_prob };
        means.add("nll_loss", micro, told, chosen.tokens as f64);
    }
    total
}

impl Objective for Cpo {
    fn share(&self, micro: usize, totals: &Totals, rows: &mut [Seen<'_>], means: &mut Means) -> Result<f64> {
        Ok(with_nll(micro, totals, rows, means, self.0.cpo_alpha, |pair| self.part(pair)))
    }
}

impl Objective for Simpo {
    fn share(&self, micro: usize, totals: &Totals, rows: &mut [Seen<'_>], means: &mut Means) -> Result<f64> {
        Ok(with_nll(micro, totals, rows, means, self.0.cpo_alpha, |pair| self.part(pair)))
    }
}

impl Objective for Orpo {
    fn ask(&self) -> Ask {
        match self.0.nll {
            OrpoNll::Completion => Ask::Answers,
            OrpoNll::Full => Ask::AnswersAndPrompts,
        }
    }

    fn share(&self, micro: usize, totals: &Totals, rows: &mut [Seen<'_>], means: &mut Means) -> Result<f64> {
        let beta = self.0.beta;
        let weight = 1.0 / totals.rows as f64;
        let full = self.0.nll == OrpoNll::Full;
        let tokens = totals.chosen_tokens + if full { totals.prompt_tokens } else { 0 };
        let mut total = 0.0;
        for row in rows {
            let (chosen, rejected) = (row.answer(0), row.answer(1));
            let pair = pair_of(&chosen, &rejected);
            let odds = odds_ratio(&pair, beta);
            // without a prompt's targets its sum is 0
            let counted = chosen.log_prob + row.prompt();
            let (nll_loss, nll_slope) = nll(counted, tokens);
            total += weight * odds.term.loss + nll_loss;
            row.add_slope(0, weight * odds.term.d_chosen + nll_slope);
            row.add_slope(1, weight * odds.term.d_rejected);
            row.add_prompt_slope(nll_slope);
            let log_probs = pair.policy_means();
            let rewards = (beta * log_probs.0, beta * log_probs.1);
            tell(row, &PairSeen { chosen, rejected, rewards, log_probs }, means, micro);
            let own = chosen.tokens + if full { row.family.prompt.len().saturating_sub(1) } else { 0 };
            means.add("nll_loss", micro, -counted, own as f64);
            means.add("log_odds_ratio", micro, odds.log_sigmoid, 1.0);
            means.add("log_odds_chosen", micro, odds.log_odds, 1.0);
        }
        Ok(total)
    }
}
