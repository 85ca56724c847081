//! Simple preference optimisation: mean log-probs of pairs without a reference, and the chosen answers' NLL.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OfKind;
use super::facts::{Facts, Fields};
use super::nll_beside::{self, PairTerm};
use crate::objective::simpo::{self, SimpoParameters};
use crate::train::means::Means;
use crate::train::row::{RowLogProbs, Totals};
use crate::train::{Algorithm, Opening};

/// Keys of `kind = "simpo"`; names are TRL's, defaults ms-swift's. Source: SimPO (2405.14734); AlphaPO
/// (2501.03884) with `alpha`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SimpoSettings {
    #[serde(flatten)]
    pub parameters: SimpoParameters,
    /// Weight of the negative log-likelihood of the chosen answers, averaged over their tokens; 0
    /// turns it off.
    #[schemars(range(min = 0.0))]
    pub cpo_alpha: f64,
}

impl Default for SimpoSettings {
    fn default() -> Self {
        SimpoSettings { parameters: SimpoParameters::default(), cpo_alpha: 1.0 }
    }
}

impl OfKind for SimpoSettings {
    fn name(&self) -> &'static str {
        "simpo"
    }

    fn facts(&self) -> Facts<'_> {
        Facts { keys: Some(Self::json_schema), ..Facts::default() }
    }

    fn add_fields(&self, fields: &mut Fields) -> serde_json::Result<()> {
        let SimpoSettings { parameters, cpo_alpha } = self;
        let SimpoParameters { beta, simpo_gamma, label_smoothing, alpha } = *parameters;
        fields.add("beta", beta)?;
        fields.add("simpo_gamma", simpo_gamma)?;
        fields.add("cpo_alpha", cpo_alpha)?;
        fields.add("label_smoothing", label_smoothing)?;
        fields.add("alpha", Some(alpha).filter(|alpha| *alpha != 0.0))
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Simpo(self.clone())))
    }
}

pub(super) struct Simpo(pub SimpoSettings);

impl Algorithm for Simpo {
    fn loss(
        &self,
        micro: usize,
        totals: &Totals,
        rows: &mut [RowLogProbs<'_>],
        means: &mut Means,
    ) -> Result<f64> {
        let SimpoSettings { parameters, cpo_alpha } = &self.0;
        Ok(nll_beside::loss(micro, totals, rows, means, *cpo_alpha, |pair| PairTerm {
            loss: simpo::loss(pair, parameters),
            rewards: simpo::rewards(pair, parameters),
            log_probs: pair.policy_means(),
        }))
    }
}
