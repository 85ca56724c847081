//! Does what the plan says, stage by stage, and keeps what must survive a crash.
//!
//! | file | what lives there |
//! |---|---|
//! | [`walk`] | the whole run: lock, base model, stages in order |
//! | [`stage`] | one stage: its folder, from opening the model to its result |
//! | [`train`] | the loop over optimiser steps |
//! | [`compare`] | measures stages that start from one model alike |
//! | [`score`] | scores rows with a reward model |
//! | `ends` | writes how answers end into the files of a result |
//! | [`checkpoint`] | what a half-finished stage leaves behind |
//! | `verify` | holds results against the records that were written with them |
//! | [`atomic`] | writes files and folders whole or not at all |
//! | [`exact_match`] | how many held-out questions are answered right |
//! | [`interrupt`] | Ctrl-C |
//! | [`bench`] | times a stage's steps, or answers to its prompts, without saving anything |
//! | [`lockfile`] | `recipe.lock`, and the lock that keeps two runs apart |

pub mod atomic;
pub mod bench;
pub mod checkpoint;
pub mod compare;
mod ends;
pub mod exact_match;
pub mod interrupt;
pub mod lockfile;
pub mod score;
pub mod stage;
pub mod train;
mod verify;
pub mod walk;
