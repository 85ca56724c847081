//! `runner` takes a version-controlled TOML recipe of staged training, checks all of it up front
//! and runs it. Modules, in the order that data flows (arrows point down this list only):
//!
//! | module | what lives there |
//! |---|---|
//! | [`cli`] | one file a subcommand: clap types and nothing clever |
//! | [`recipe`] | what a user writes: TOML with spans, schema, diagnostics |
//! | [`plan`] | what will happen: resolved settings, artifacts, fingerprints, estimates |
//! | [`run`] | doing it: walks the plan, owns locks, checkpoints, events, interrupts |
//! | [`report`] | metrics.jsonl, samples, the tables a run ends with |
//! | [`stages`] | one file a kind: batch → model → objective → gradients → optimiser |
//! | [`objective`] | the maths of each paper as pure functions over slices of `f64` |
//! | [`data`] | sources, row formats, tokens and masks, the ledger, the sampler |
//! | [`template`] | the chat-template environment |
//! | [`model`] | architecture, weights, LoRA, decoder forward and backward, generation |
//! | [`optim`] | AdamW, schedules, clipping |
//! | [`backend`] | tensor operations behind one function each |

pub mod backend;
pub mod cli;
pub mod data;
pub mod model;
pub mod objective;
pub mod optim;
pub mod plan;
pub mod recipe;
pub mod report;
pub mod run;
pub mod stages;
pub mod template;
