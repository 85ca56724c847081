//! Learning-rate schedules as Hugging Face's: step s (from 0) has rate `learning_rate · f(s)`, with
//! f(s) = s / W during the warmup's W steps, so the first step of a warmup has rate 0.

use crate::plan::settings::{Schedule, TrainingSettings, Warmup};

/// Warmup steps of a stage of `total` steps.
pub fn warmup_steps(warmup: Warmup, total: u64) -> u64 {
    match warmup {
        Warmup::Steps(steps) => steps,
        Warmup::Ratio(ratio) => (ratio * total as f64).ceil() as u64,
    }
}

/// The learning rate of step `step` (from 0) of `total`.
pub fn learning_rate(settings: &TrainingSettings, step: u64, total: u64) -> f64 {
    let warmup = warmup_steps(settings.warmup, total);
    let factor = if step < warmup {
        step as f64 / warmup.max(1) as f64
    } else {
        let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        match settings.lr_scheduler_type {
            Schedule::Linear => (1.0 - progress).max(0.0),
            Schedule::Cosine => cosine.max(0.0),
            Schedule::Constant => 1.0,
            Schedule::CosineWithMinLr => {
                settings.min_lr_rate + (1.0 - settings.min_lr_rate) * cosine.max(0.0)
            }
        }
    };
    settings.learning_rate * factor
}
