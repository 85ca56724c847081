//! What a run does around its stages: planning, fingerprints, checkpoints, resuming, commands.

mod checkpoints;
mod estimate;
mod fingerprint;
mod resume;
mod settings;
mod stale;
mod toy;
