//! Generation with a cache of keys and values: many samples at once, no padding, equal prompts
//! computed once. On the CPU a sample does not depend on what is generated beside it, to the last bit:
//! each operation gives a row the same bits whatever other rows there are, and each sample has its own
//! stream of random numbers. On a GPU the products' kernels are chosen by the number of rows, so a
//! row's logits depend, in their last bits, on how many rows are computed together.
//!
//! | file | |
//! |---|---|
//! | [`request`] | what is asked for |
//! | [`choice`] | a token from a row of logits |
//! | [`schedule`] | which samples are in flight; the loop |
//! | [`pass`] | tokens through the layers |
//! | [`cache`] | rows of keys and values |

mod cache;
mod choice;
mod pass;
mod request;
mod schedule;

pub use choice::{Choice, Sampling};
pub use request::{Generation, Request};
pub use schedule::{generate, greedy};
