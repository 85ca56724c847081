//! What a run does around its stages: planning, fingerprints, checkpoints, resuming, commands.

mod artifact;
mod checkpoints;
mod commands;
mod estimate;
mod fingerprint;
mod ready;
mod resume;
mod settings;
mod stale;
mod toy;
