//! AdamW and schedules.

pub mod adamw;
pub mod schedule;
