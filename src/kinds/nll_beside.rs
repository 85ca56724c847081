//! CPO and SimPO: a preference loss of each pair, with the NLL of the chosen answers beside it.

use crate::objective::nll::nll;
use crate::objective::pair::{Pair, PairLoss};
use crate::train::means::Means;
use crate::train::pair_metrics::{ScoredPair, pair_of};
use crate::train::row::{RowLogProbs, Totals};

/// One pair's loss and what is reported of it.
pub struct PairTerm {
    pub loss: PairLoss,
    pub rewards: (f64, f64),
    pub log_probs: (f64, f64),
}

/// Adds metrics of a pair, as TRL's trainers of kinds without a reference do.
pub fn tell(row: &RowLogProbs<'_>, pair: &ScoredPair, means: &mut Means, micro: usize) {
    if row.is_told {
        pair.add_of_row(means, micro);
    }
    pair.add_of_tokens(means, micro);
}

/// Adds up the pairs' losses and `nll_weight` times the chosen answers' NLL.
pub fn loss(
    micro: usize,
    totals: &Totals,
    rows: &mut [RowLogProbs<'_>],
    means: &mut Means,
    nll_weight: f64,
    term: impl Fn(&Pair) -> PairTerm,
) -> f64 {
    let weight = 1.0 / totals.rows as f64;
    let mut total = 0.0;
    for row in rows {
        let (chosen, rejected) = (row.completion(0), row.completion(1));
        let PairTerm { loss, rewards, log_probs } = term(&pair_of(&chosen, &rejected));
        let (nll_loss, d_nll) = nll(chosen.log_prob, totals.chosen_tokens);
        total += weight * loss.loss + nll_weight * nll_loss;
        row.add(0, weight * loss.d_chosen + nll_weight * d_nll);
        row.add(1, weight * loss.d_rejected);
        tell(row, &ScoredPair { chosen, rejected, rewards, log_probs }, means, micro);
        // as TRL, which does not compute a term of weight 0
        let told = if nll_weight == 0.0 { 0.0 } else { -chosen.log_prob };
        means.add("nll_loss", micro, told, chosen.tokens as f64);
    }
    total
}
