//! Contrastive preference optimisation: pairs without a reference, and the chosen answers' NLL.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OfKind;
use super::facts::{Facts, Fields, IdleKey, Losses, names_of};
use super::nll_beside::{self, PairTerm};
use crate::objective::cpo::{self, CpoLoss, CpoParameters};
use crate::train::means::Means;
use crate::train::row::{RowLogProbs, Totals};
use crate::train::{Algorithm, Opening, TrainingSettings};

/// Keys of `kind = "cpo"`; names and defaults are TRL's. Source: CPO (2401.08417).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CpoSettings {
    #[serde(flatten)]
    pub parameters: CpoParameters,
    /// Weight of the negative log-likelihood of the chosen answers, averaged over their tokens; 0
    /// turns it off.
    #[schemars(range(min = 0.0))]
    pub cpo_alpha: f64,
}

impl Default for CpoSettings {
    fn default() -> Self {
        CpoSettings { parameters: CpoParameters::default(), cpo_alpha: 1.0 }
    }
}

impl OfKind for CpoSettings {
    fn name(&self) -> &'static str {
        "cpo"
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            keys: Some(Self::json_schema),
            losses: Some(|| Losses { names: names_of::<CpoLoss>(), lists: false, only_in_lists: None }),
            ..Facts::default()
        }
    }

    fn add_fields(&self, fields: &mut Fields) -> serde_json::Result<()> {
        let CpoSettings { parameters: CpoParameters { loss_type, beta, label_smoothing }, cpo_alpha } = self;
        fields.add("beta", beta)?;
        fields.add("loss", loss_type)?;
        fields.add("cpo_alpha", cpo_alpha)?;
        fields.add("label_smoothing", label_smoothing)
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Cpo(self.clone())))
    }

    fn idle(&self, _: &TrainingSettings) -> Vec<IdleKey> {
        match self.parameters.loss_type {
            CpoLoss::Sigmoid => Vec::new(),
            CpoLoss::Hinge | CpoLoss::Ipo => {
                vec![IdleKey { key: "label_smoothing", otherwise: "with this `loss_type`" }]
            }
        }
    }
}

pub(super) struct Cpo(pub CpoSettings);

impl Algorithm for Cpo {
    fn loss(
        &self,
        micro: usize,
        totals: &Totals,
        rows: &mut [RowLogProbs<'_>],
        means: &mut Means,
    ) -> Result<f64> {
        let CpoSettings { parameters, cpo_alpha } = &self.0;
        Ok(nll_beside::loss(micro, totals, rows, means, *cpo_alpha, |pair| PairTerm {
            loss: cpo::loss(pair, parameters),
            rewards: cpo::rewards(pair, parameters),
            log_probs: cpo::log_probs(pair, parameters),
        }))
    }
}
