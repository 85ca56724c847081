//! What the kinds that train on pairs tell of them, under TRL's names.

use super::completion_sums::CompletionSums;
use super::means::Means;
use super::metric::{Column, Curves, MEAN_TOKEN_ACCURACY, Metric};
use crate::objective::pair::Pair;

/// Share of pairs whose chosen answer has the higher reward.
pub const REWARD_ACCURACY: Metric = Metric {
    curve: Curves::Both("reward accuracy"),
    console: true,
    column: Column::Titled("reward accuracy"),
    ..Metric::named("rewards/accuracies")
};
pub const REWARD_MARGIN: Metric = Metric {
    curve: Curves::Both("reward margin"),
    console: true,
    column: Column::Titled("reward margin"),
    ..Metric::named("rewards/margins")
};

/// Those that are shown, in that order.
pub const PAIR_METRICS: &[Metric] = &[MEAN_TOKEN_ACCURACY, REWARD_ACCURACY, REWARD_MARGIN];

/// The two answers of a pair and their rewards.
pub struct ScoredPair {
    pub chosen: CompletionSums,
    pub rejected: CompletionSums,
    /// Of the chosen and the rejected answer.
    pub rewards: (f64, f64),
    /// As `logps/*` tell them: sums, or means for losses on means.
    pub log_probs: (f64, f64),
}

impl ScoredPair {
    pub fn add(&self, means: &mut Means, micro: usize) {
        self.add_of_row(means, micro);
        self.add_of_tokens(means, micro);
    }

    /// Means over rows.
    pub fn add_of_row(&self, means: &mut Means, micro: usize) {
        let ScoredPair { rewards: (better, worse), log_probs, .. } = self;
        means.add("rewards/chosen", micro, *better, 1.0);
        means.add("rewards/rejected", micro, *worse, 1.0);
        means.add(REWARD_ACCURACY.name, micro, f64::from(u8::from(better > worse)), 1.0);
        means.add(REWARD_MARGIN.name, micro, better - worse, 1.0);
        means.add("logps/chosen", micro, log_probs.0, 1.0);
        means.add("logps/rejected", micro, log_probs.1, 1.0);
    }

    /// Means over tokens.
    pub fn add_of_tokens(&self, means: &mut Means, micro: usize) {
        let ScoredPair { chosen, rejected, .. } = self;
        let tokens = |a: &CompletionSums| a.tokens as f64;
        means.add("logits/chosen", micro, chosen.mean_logit, tokens(chosen));
        means.add("logits/rejected", micro, rejected.mean_logit, tokens(rejected));
        means.add("entropy", micro, chosen.entropy + rejected.entropy, tokens(chosen) + tokens(rejected));
        means.add(MEAN_TOKEN_ACCURACY.name, micro, chosen.correct, tokens(chosen));
    }
}

/// A pair of a kind without a reference.
pub fn pair_of(chosen: &CompletionSums, rejected: &CompletionSums) -> Pair {
    Pair {
        policy_chosen: chosen.log_prob,
        policy_rejected: rejected.log_prob,
        chosen_tokens: chosen.tokens as f64,
        rejected_tokens: rejected.tokens as f64,
        ..Pair::default()
    }
}
