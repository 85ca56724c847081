//! Odds-ratio preference optimisation: pairs without a reference, and the chosen answers' NLL.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OfKind;
use super::facts::{Facts, Fields, Scored};
use super::nll_beside::tell;
use crate::batch::TargetTokens;
use crate::objective::nll::nll;
use crate::objective::orpo::{NllTokens, OrpoParameters, odds_ratio};
use crate::train::means::Means;
use crate::train::pair_metrics::{ScoredPair, pair_of};
use crate::train::row::{RowLogProbs, Totals};
use crate::train::{Algorithm, Opening};

/// Keys of `kind = "orpo"`; names and defaults are TRL's but for `nll`. Source: ORPO (2403.07691).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OrpoSettings {
    #[serde(flatten)]
    pub parameters: OrpoParameters,
}

impl OfKind for OrpoSettings {
    fn name(&self) -> &'static str {
        "orpo"
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            keys: Some(Self::json_schema),
            scored: match self.parameters.nll {
                NllTokens::Completion => Scored::Trained,
                NllTokens::Full => Scored::WithPrompts,
            },
            ..Facts::default()
        }
    }

    fn add_fields(&self, fields: &mut Fields) -> serde_json::Result<()> {
        let OrpoSettings { parameters: OrpoParameters { beta, nll } } = self;
        fields.add("beta", beta)?;
        fields.add("nll", nll)
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Orpo(self.clone())))
    }
}

pub(super) struct Orpo(pub OrpoSettings);

impl Algorithm for Orpo {
    fn target_tokens(&self) -> TargetTokens {
        match self.0.parameters.nll {
            NllTokens::Completion => TargetTokens::Completions,
            NllTokens::Full => TargetTokens::PromptsAndCompletions,
        }
    }

    fn loss(
        &self,
        micro: usize,
        totals: &Totals,
        rows: &mut [RowLogProbs<'_>],
        means: &mut Means,
    ) -> Result<f64> {
        let OrpoParameters { beta, nll: counted } = self.0.parameters;
        let weight = 1.0 / totals.rows as f64;
        let full = counted == NllTokens::Full;
        let tokens = totals.chosen_tokens + if full { totals.prompt_tokens } else { 0 };
        let mut total = 0.0;
        for row in rows {
            let (chosen, rejected) = (row.completion(0), row.completion(1));
            let pair = pair_of(&chosen, &rejected);
            let odds = odds_ratio(&pair, beta);
            // without a prompt's targets its sum is 0
            let log_prob = chosen.log_prob + row.prompt();
            let (nll_loss, d_nll) = nll(log_prob, tokens);
            total += weight * odds.term.loss + nll_loss;
            row.add(0, weight * odds.term.d_chosen + d_nll);
            row.add(1, weight * odds.term.d_rejected);
            row.add_to_prompt(d_nll);
            let log_probs = pair.policy_means();
            let rewards = (beta * log_probs.0, beta * log_probs.1);
            tell(row, &ScoredPair { chosen, rejected, rewards, log_probs }, means, micro);
            let own = chosen.tokens + if full { row.example.prompt.len().saturating_sub(1) } else { 0 };
            means.add("nll_loss", micro, -log_prob, own as f64);
            means.add("log_odds_ratio", micro, odds.log_sigmoid, 1.0);
            means.add("log_odds_chosen", micro, odds.log_odds, 1.0);
        }
        Ok(total)
    }
}
