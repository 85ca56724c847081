//! Opens a stage: loads its models and puts its algorithm together.

use anyhow::{Result, ensure};

use super::StageSettings;
use super::facts::Trains;
use crate::backend::Compute;
use crate::batch::BatchPolicy;
use crate::data::example::Example;
use crate::model::artifact::Artifact;
use crate::model::policy;
use crate::train::trainer::{TrainedModels, Trainer};
use crate::train::{Executor, Opening, StageRun};

/// The rows of a stage, tokenised.
#[derive(Debug, Clone, Default)]
pub struct StageRows {
    pub train: Vec<Example>,
    pub held_out: Vec<Example>,
    /// Tokens that end answers, the end of turn first.
    pub end_tokens: Vec<u32>,
    /// Tokens that the template writes after an answer's end token, such as chatml's newline.
    pub closing: Vec<u32>,
}

/// All that a stage is made from.
pub struct StageInputs<'a> {
    pub settings: &'a StageSettings,
    /// Where the models lie.
    pub compute: &'a Compute,
    pub policy: Artifact,
    /// Another reference than the policy as the stage starts.
    pub reference: Option<Artifact>,
    /// The reward model of a ppo stage.
    pub reward: Option<Artifact>,
    pub rows: StageRows,
    pub batches: BatchPolicy,
}

/// Loads the models and makes the stage ready.
pub fn open(inputs: StageInputs<'_>) -> Result<Box<dyn StageRun>> {
    let StageInputs { settings, compute, policy, reference, reward, rows, batches } = inputs;
    let (training, facts) = (&settings.training, settings.kind.facts());
    let mut opened = policy::Models::at(compute);
    let decoder = opened.trained(&policy, &training.tuner, training.seed)?;
    ensure!(
        !decoder.is_headless() || matches!(facts.trains, Trains::RewardModel { .. }),
        "`{}` is a reward model without a head for tokens (`lm_head.weight`): it cannot answer",
        policy.base.display()
    );
    let mut opening = Opening {
        stage: &settings.name,
        training,
        compute,
        opened,
        policy: &policy,
        reference,
        reward,
        models: TrainedModels { decoder, head: None, critic: None },
        rows: rows.train.len(),
        end_tokens: rows.end_tokens,
        closing: rows.closing,
        temperature: 1.0,
        may_drop: true,
    };
    let algorithm = settings.kind.of_kind().open(&mut opening)?;
    let Opening { models, temperature, may_drop, .. } = opening;
    let rows = (rows.train, rows.held_out);
    let mut trainer =
        Trainer::new(models, &settings.name, training.clone(), facts.episodes(), batches, rows)?;
    trainer.temperature = temperature;
    trainer.drops &= may_drop;
    Ok(Box::new(Executor { trainer, algorithm, policy }))
}
