//! What people really have: inputs of reported faults, and what is right for them.

mod kto;
mod rlhf;
mod ledger;
mod results;
mod workbench;
//! Inputs in the manner of what people really have, each with its right result or its refusal.

mod formats;
//! What people really have: inputs in the manner of public bug reports, one module a kind.

mod models;
//! What people really have: inputs in the manner of public bug reports, one module a kind.

mod adapters;
mod heads;
