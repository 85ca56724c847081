//! `runner` takes a version-controlled TOML recipe of staged training, checks all of it up front
//! and runs it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`cli`] | one file a subcommand: clap types and nothing clever |
//! | [`run`] | doing it: walks the plan, owns locks, checkpoints, events, interrupts |
//! | [`report`] | metrics.jsonl, samples, the report page, the tables a run ends with |
//! | [`plan`] | what will happen: resolved settings, artifacts, fingerprints, estimates |
//! | [`recipe`] | what a user writes: TOML with spans, schema, diagnostics |
//! | [`stages`] | one file a kind: batch → model → objective → gradients → optimiser |
//! | [`objective`] | the maths of each paper as pure functions over `f64` |
//! | [`data`] | sources, row formats, tokens and masks, the ledger |
//! | [`template`] | the chat-template environment |
//! | [`optim`] | AdamW and its state, schedules |
//! | [`model`] | architecture, weights, LoRA, decoder forward and backward, generation |
//! | [`backend`] | tensor operations behind one function each, on the CPU or a GPU |
//!
//! A module uses those below it, with three exceptions: [`plan::settings`] holds plain types that
//! `stages`, `optim` and `model` read, a template renders the messages of [`data`], and
//! [`model::spec`] has the names of devices and float types that [`backend::Compute`] opens.

#[cfg(test)]
extern crate self as runner;

pub mod backend;
pub mod cli;
pub mod data;
pub mod model;
pub mod objective;
pub mod optim;
pub mod plan;
pub mod random;
pub mod recipe;
pub mod report;
pub mod run;
pub mod stages;
pub mod template;
