//! `runner` takes a version-controlled TOML recipe of staged training, checks all of it up front
//! and runs it.
//!
//! A module uses those below it and none above; `tests/layers` holds every `use` against this table.
//!
//! | module | what lives there |
//! |---|---|
//! | [`cli`] | one file per subcommand: clap types and nothing clever |
//! | [`run`] | doing it: walks the plan, owns locks, checkpoints, events, interrupts |
//! | [`report`] | metrics.jsonl, samples, the report page, the tables a run ends with |
//! | [`plan`] | what will happen: resolved settings, artifacts, fingerprints, estimates |
//! | [`recipe`] | what a user writes: TOML with spans, schema, diagnostics |
//! | [`kinds`] | one file per kind of training: its keys, the facts about it, its algorithm |
//! | [`train`] | what kinds share: the trainer, losses of log-probabilities, the stored reference |
//! | [`optim`] | AdamW and its state, schedules |
//! | [`batch`] | which rows a step takes, and how they are packed into passes |
//! | [`model`] | architecture, weights, adapters, decoder forward and backward, generation |
//! | [`data`] | sources, row formats, tokens and masks, the ledger |
//! | [`template`] | the chat-template environment |
//! | [`objective`] | the maths of each paper as pure functions over `f64`, with the keys that it obeys |
//! | [`backend`] | tensor operations behind one function each, on the CPU or a GPU |
//! | [`random`] | streams of random numbers: seed, purpose, epoch, row |
//! | [`json_file`] | JSON files, read and written |
//! | [`terminal`] | messages: control characters escaped, lines bounded |
//! | [`caught`] | panics of other crates, caught |
//!
//! # Ten types to read first
//!
//! | type | what it is |
//! |---|---|
//! | [`recipe::document::Document`] | a recipe's text, with the place of every key |
//! | [`plan::resolve::Resolved`] | a recipe without mistakes, every default filled in |
//! | [`kinds::StageSettings`] | one stage of it |
//! | [`kinds::Facts`] | what the other modules must know of its kind |
//! | [`plan::document::Plan`] | what will happen, in need of no more decisions |
//! | [`data::row::Row`] | a row as every format reads to |
//! | [`data::example::Example`] | a prompt with its answers, as tokens |
//! | [`batch::Batch`] | such examples packed into one stream of tokens |
//! | [`model::decoder::Decoder`] | a model, forward and backward |
//! | [`train::Algorithm`] | what sets a kind of training apart while it runs |
//!
//! # How to add
//!
//! | what | where |
//! |---|---|
//! | a kind of training | `kinds/NAME.rs` and a row in `kinds/mod.rs`; its formulas in `objective/NAME.rs` and `objective/mod.rs` |
//! | a loss of dpo | its name and formula in `objective/dpo.rs` |
//! | a key of a kind | the settings in `kinds/NAME.rs`, or the parameters in `objective/NAME.rs` if a formula reads it |
//! | an architecture | `model/arch/NAME.rs` and a row in `model/arch/mod.rs`; a trait that none had before goes to `Traits`, to `llama.rs` and to what computes it |
//! | a tuner | a variant of `Tuner` in `model/tuner/settings.rs`, `model/tuner/NAME.rs`, what a product does with it in `model/linear.rs`; its arms where a model is opened (`model/policy.rs`) and saved (`model/result.rs`), and its fields in `plan/fingerprint.rs` |
//! | an operation | `backend/NAME.rs`, `backend/kernels/NAME.cu`, and a line in `backend/mod.rs` |
//! | a row format | its type in `data/format/wire`, how it is recognised in `shape.rs`, how it is read in `decode.rs`, `pairs.rs` or `told.rs`; in `json_text.rs`, which of its keys may hold turns as JSON text; in `recipe/data.rs`, those that `columns` renames |
//! | a metric | the code that computes it, and a row in `train/metric.rs`, or beside the kind that has it |
//! | a subcommand | `cli/NAME.rs` and a line in `cli/mod.rs` |
//!
//! # Glossary
//!
//! | word | what it means |
//! |---|---|
//! | example | a prompt and the answers that are trained on: one of an sft row, two of a pair |
//! | completion | one of an example's answers |
//! | pass | the rows that go through a model at once, as many as the token budget allows |
//! | micro-batch | `batch_size` rows, over which a loss takes its mean |
//! | window | `gradient_accumulation_steps` micro-batches: an optimiser step, or an update of ppo |
//! | update | of ppo: a rollout, and the optimiser steps on its responses |
//! | segment | a prompt or an answer in a packed stream of tokens |
//! | policy, reference, reward model | the model that is trained, the one that it is compared with, the one that scores |
//! | artifact | a model on the disk: base, adapter, head |
//! | fingerprint | a digest of all that a stage's result follows from |

#[cfg(test)]
extern crate self as runner;

pub mod backend;
pub mod batch;
pub mod caught;
pub mod cli;
pub mod data;
pub mod json_file;
pub mod kinds;
pub mod model;
pub mod objective;
pub mod optim;
pub mod plan;
pub mod random;
pub mod recipe;
pub mod report;
pub mod run;
pub mod template;
pub mod terminal;
pub mod train;
