//! From tokenised rows to passes through a model: which rows a step takes, and how they are packed.
//!
//! | file | what it holds |
//! |---|---|
//! | [`settings`] | `batch_size`, epochs and their like |
//! | [`windows`] | an epoch in windows of rows, counted and drawn |
//! | [`steps`] | how many optimiser steps a stage takes |
//! | [`policy`] | how many tokens pass through a model at once |
//! | [`pack`] | rows as one stream of tokens, and what is asked of them |

pub mod pack;
pub mod policy;
pub mod settings;
pub mod steps;
pub mod windows;

pub use pack::{Batch, ExampleTargets, TargetTokens, pack};
pub use policy::{BatchPolicy, keep};
pub use settings::BatchSettings;
pub use steps::{Episodes, Steps};
pub use windows::{Sampler, Windows};
