//! What a run does around its stages: planning, fingerprints, checkpoints, resuming, commands.

mod artifact;
mod checkpoints;
mod commands;
mod damaged;
mod estimate;
mod fingerprint;
mod memory;
mod pipelines;
mod ppo_resume;
mod ready;
mod refused;
mod resume;
mod score;
mod settings;
mod small;
mod stale;
mod toy;
mod workspace;
