//! Decides what will happen before anything heavy does.
//!
//! | file | what lives there |
//! |---|---|
//! | [`resolve`] | from a recipe as written to settings, with every problem at once |
//! | [`document`] | the plan itself |
//! | [`planner`] | makes it from a recipe |
//! | [`base`] | the model that everything starts from |
//! | `model_files`, `scratch_tokenizer` | its files and their hashes; the tokenizer of random weights |
//! | [`rows`], [`rows_cache`] | a stage's rows, tokenised; what is kept of them for the next command |
//! | [`models`] | opens the other models that stages name |
//! | [`vocabulary`] | whether tokens have rows in the embedding |
//! | [`counts`], [`estimate`] | rows, tokens, steps, memory, operations |
//! | [`capacity`] | whether a stage fits the memory of this machine |
//! | [`artifacts`] | models that stages pass on |
//! | [`openable`] | whether a run will be able to open them |
//! | [`comparisons`] | which stages are compared after the run |
//! | [`fingerprint`], [`staleness`], [`content`], [`record`] | whether an earlier result still holds |
//! | [`folder`] | where a run keeps what |
//! | [`finished`] | what a finished stage keeps about itself |

pub mod artifacts;
pub mod base;
pub mod capacity;
pub mod comparisons;
pub mod content;
pub mod counts;
pub mod document;
mod dropped;
pub mod estimate;
pub mod fingerprint;
pub mod finished;
pub mod folder;
mod model_files;
pub mod models;
pub mod openable;
pub mod planner;
pub mod record;
pub mod resolve;
pub mod rows;
pub mod rows_cache;
mod scratch_tokenizer;
pub mod staleness;
pub mod vocabulary;
