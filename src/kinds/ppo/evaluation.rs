//! The policy on held-out prompts: what it says with the same random numbers every time, and what the
//! reward model makes of it.

use anyhow::Result;

use super::response::Prompt;
use super::state::Ppo;
use crate::train::trainer::Trainer;
use crate::train::{Metrics, Progress};

impl Ppo {
    pub fn evaluate_held_out(&self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        let prompts: Vec<Prompt<'_>> = trainer
            .eval
            .iter()
            .enumerate()
            .map(|(row, example)| Prompt { row, tokens: &example.prompt })
            .collect();
        let scored = self.score(trainer, &prompts, self.stream.name("held-out"), progress)?;
        let mut metrics = self.objective_metrics(&scored);
        let n = scored.scores.len() as f64;
        let mean = scored.scores.iter().sum::<f64>() / n;
        let squares: f64 = scored.scores.iter().map(|score| (score - mean).powi(2)).sum();
        metrics.insert("objective/scores_std".to_string(), (squares / (n - 1.0).max(1.0)).sqrt());
        Ok(metrics)
    }
}
