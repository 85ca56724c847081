//! What every kind shares: the models in training, the optimiser's step, the state.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::settings::TrainingSettings;
use crate::backend::profile;
use crate::backend::storage::is_finite;
use crate::backend::weights_file::WeightFiles;
use crate::batch::{BatchPolicy, Episodes, Sampler, Steps};
use crate::data::example::Example;
use crate::model::decoder::Decoder;
use crate::model::param::Trained;
use crate::model::value_head::ValueHead;
use crate::model::weights::write_safetensors;
use crate::optim::adamw::AdamW;
use crate::optim::schedule::learning_rate;
use crate::random::{Purpose, Stream};

/// The value model of PPO.
pub struct Critic {
    pub decoder: Decoder,
    pub head: ValueHead,
}

/// The models of a stage that are trained.
pub struct TrainedModels {
    /// The policy; of a rm stage, the trunk of the reward model.
    pub decoder: Decoder,
    /// The head of a reward model.
    pub head: Option<ValueHead>,
    pub critic: Option<Critic>,
}

/// Models in training and their rows.
pub struct Trainer {
    pub models: TrainedModels,
    pub settings: TrainingSettings,
    pub train: Vec<Example>,
    pub eval: Vec<Example>,
    /// Of the policy's distribution; 1 but for PPO.
    pub temperature: f64,
    /// Whether LoRA's dropout is on.
    pub drops: bool,
    pub batches: BatchPolicy,
    steps: Steps,
    optimizer: AdamW,
    sampler: Sampler,
    dropout: Stream,
    progress: Progressed,
}

/// What a checkpoint keeps beside weights and moments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Progressed {
    /// Optimiser steps done.
    steps: u64,
    /// Tokens trained on so far, prompts counted once an answer.
    num_tokens: u64,
}

/// The rows of one optimiser step.
pub struct StepRows {
    /// (micro-batch, row index), micro-batches in order.
    pub rows: Vec<(usize, usize)>,
    pub micro_batches: usize,
}

impl TrainedModels {
    /// What is trained, in a fixed order.
    fn trained(&self) -> Vec<Trained<'_>> {
        let mut found = self.decoder.trained();
        found.extend(self.head.iter().flat_map(ValueHead::trained));
        if let Some(critic) = &self.critic {
            let own = critic.decoder.trained().into_iter().chain(critic.head.trained());
            found.extend(own.map(|weight| Trained { name: format!("critic.{}", weight.name), ..weight }));
        }
        found
    }

    /// Makes merged LoRA weights again.
    fn refresh(&self) -> Result<()> {
        self.decoder.refresh()?;
        self.critic.as_ref().map_or(Ok(()), |critic| critic.decoder.refresh())
    }
}

impl Trainer {
    /// `stage` is the stage's name, which seeds what is random.
    pub fn new(
        models: TrainedModels,
        stage: &str,
        settings: TrainingSettings,
        episodes: Episodes,
        batches: BatchPolicy,
        (train, eval): (Vec<Example>, Vec<Example>),
    ) -> Result<Self> {
        Ok(Trainer {
            optimizer: AdamW::new(settings.optimizer, models.trained())?,
            sampler: Sampler::of(&settings.batches, settings.seed, stage, train.len()),
            steps: Steps::of(&settings.batches, episodes, train.len()),
            dropout: Stream::new(settings.seed, Purpose::Dropout).name(stage),
            progress: Progressed::default(),
            temperature: 1.0,
            drops: settings.tuner.dropout() > 0.0,
            models,
            settings,
            train,
            eval,
            batches,
        })
    }

    pub fn decoder(&self) -> &Decoder {
        &self.models.decoder
    }

    pub fn steps(&self) -> Steps {
        self.steps
    }

    /// Training rows that the stage sees at all, ascending.
    pub fn rows_seen(&mut self) -> Vec<usize> {
        self.sampler.seen(self.steps.total)
    }

    /// The rows of window `window`: of optimiser step `window`, or of that update of PPO.
    pub fn window_rows(&mut self, window: u64) -> StepRows {
        let micro_batches = self.sampler.micro_batches(window);
        let rows =
            micro_batches.iter().enumerate().flat_map(|(m, rows)| rows.iter().map(move |&row| (m, row)));
        StepRows { rows: rows.collect(), micro_batches: micro_batches.len() }
    }

    /// The stream of dropout masks of the step to come, when LoRA drops anything.
    pub fn dropout(&self) -> Option<Stream> {
        self.drops.then(|| self.dropout.key(self.progress.steps))
    }

    /// Clips, updates and clears; returns the norm before clipping and the rate. `tokens`: trained on
    /// in this step, prompts counted once an answer.
    pub fn update(&mut self, tokens: u64) -> Result<(f64, f64)> {
        let rate = learning_rate(&self.settings.schedule, self.progress.steps, self.steps.total);
        let norm = profile::time(profile::Op::Optimiser, || {
            let norm = self.optimizer.step(rate)?;
            self.models.refresh().map(|()| norm)
        })?;
        self.progress.steps += 1;
        self.progress.num_tokens += tokens;
        // the last thing, as a GPU is waited for
        Ok((norm.value()?, rate))
    }

    /// Tokens trained on so far.
    pub fn num_tokens(&self) -> u64 {
        self.progress.num_tokens
    }

    /// Errors, with the weight, if a trained weight holds a value that is not finite.
    pub fn check_finite(&self) -> Result<()> {
        for trained in self.models.trained() {
            ensure!(
                is_finite(trained.optimised())?,
                "the weight `{}` is not finite after step {}: the training diverged in its last steps, and the \
                 result would be of no use; lower `learning_rate`, or set `max_grad_norm` if it is 0",
                trained.name,
                self.progress.steps
            );
        }
        Ok(())
    }

    pub fn save_state(&self, dir: &Path) -> Result<()> {
        write_safetensors(&self.optimizer.state(), &dir.join("trained.safetensors"))?;
        let path = dir.join("trainer.json");
        std::fs::write(&path, serde_json::to_string(&self.progress)?)
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    pub fn restore(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join("trainer.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        self.progress = serde_json::from_str(&text)
            .with_context(|| format!("`{}` is not a trainer's state", path.display()))?;
        let path = dir.join("trained.safetensors");
        let files = WeightFiles::open(std::slice::from_ref(&path))
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        self.optimizer.restore(self.progress.steps, |name| Ok(files.load(name)?))?;
        self.models.refresh()
    }
}
