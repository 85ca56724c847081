//! The policy on held-out prompts: what it says with the same random numbers every time, and what the
//! reward model makes of it.

use anyhow::Result;

use super::Ppo;
use super::rollout::Prompt;
use crate::stages::trainer::Trainer;
use crate::stages::{Metrics, Progress};

impl Ppo {
    pub fn evaluate_held_out(&self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        let prompts: Vec<Prompt<'_>> = trainer
            .eval
            .iter()
            .enumerate()
            .map(|(row, family)| Prompt { row, tokens: &family.prompt })
            .collect();
        let judged = self.judge(trainer, &prompts, self.stream.name("held-out"), progress)?;
        let mut metrics = self.objective_metrics(&judged);
        let n = judged.scores.len() as f64;
        let mean = judged.scores.iter().sum::<f64>() / n;
        let squares: f64 = judged.scores.iter().map(|score| (score - mean).powi(2)).sum();
        metrics.insert("objective/scores_std".to_string(), (squares / (n - 1.0).max(1.0)).sqrt());
        Ok(metrics)
    }
}
