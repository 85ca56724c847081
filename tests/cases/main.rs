//! What people really have: inputs in the manner of public bug reports, each with its right result or its
//! refusal. One module a kind.

mod adapters;
mod formats;
mod heads;
mod kto;
mod ledger;
mod models;
mod rendering;
mod results;
mod rlhf;
mod workbench;
