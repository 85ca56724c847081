//! Learning-rate schedules as Hugging Face's: step s (from 0) has rate `learning_rate · f(s)`, with
//! f(s) = s / W during the warmup's W steps, so the first step of a warmup has rate 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of a stage; names and defaults are those of Hugging Face's trainer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScheduleSettings {
    /// Peak learning rate.
    #[schemars(range(min = 0.0))]
    pub learning_rate: f64,
    /// How the rate falls after the warmup.
    pub lr_scheduler_type: SchedulerType,
    /// Lowest rate of `cosine_with_min_lr`, as a share of `learning_rate`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_lr_rate: f64,
    /// Share of all steps in which the rate rises from 0, rounded up to whole steps. Not with
    /// `warmup_steps`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_ratio: Option<f64>,
    /// Steps in which the rate rises from 0. Not with `warmup_ratio`.
    pub warmup_steps: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerType {
    /// In a line down to 0.
    Linear,
    /// Half a cosine down to 0.
    Cosine,
    /// Not at all.
    Constant,
    /// Half a cosine down to `min_lr_rate` of the peak.
    CosineWithMinLr,
}

impl Default for ScheduleSettings {
    /// Of sft with full tuning, as TRL's: which rate is a kind's own, the kind says.
    fn default() -> Self {
        ScheduleSettings {
            learning_rate: 2e-5,
            lr_scheduler_type: SchedulerType::Linear,
            min_lr_rate: 0.1,
            warmup_ratio: None,
            warmup_steps: 0,
        }
    }
}

impl ScheduleSettings {
    /// Warmup steps of a stage of `total` steps.
    pub fn warmup(&self, total: u64) -> u64 {
        match self.warmup_ratio {
            Some(ratio) => (ratio * total as f64).ceil() as u64,
            None => self.warmup_steps,
        }
    }
}

/// The learning rate of step `step` (from 0) of `total`.
pub fn learning_rate(settings: &ScheduleSettings, step: u64, total: u64) -> f64 {
    let warmup = settings.warmup(total);
    let factor = if step < warmup {
        step as f64 / warmup.max(1) as f64
    } else {
        let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        match settings.lr_scheduler_type {
            SchedulerType::Linear => (1.0 - progress).max(0.0),
            SchedulerType::Cosine => cosine.max(0.0),
            SchedulerType::Constant => 1.0,
            SchedulerType::CosineWithMinLr => {
                settings.min_lr_rate + (1.0 - settings.min_lr_rate) * cosine.max(0.0)
            }
        }
    };
    settings.learning_rate * factor
}
