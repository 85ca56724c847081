//! AdamW, schedules, clipping.

pub mod adamw;
pub mod clip;
pub mod schedule;
