//! What people really have: inputs in the manner of public bug reports, one module a kind.

mod adapters;
mod heads;
