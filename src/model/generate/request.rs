//! What is asked of the generator.

use super::choice::Choice;
use crate::random::Stream;

/// One sample of a prompt.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub prompt: &'a [u32],
    /// Token `t` of the answer is drawn with `stream.uniform(t)`; a greedy choice draws nothing.
    pub stream: Stream,
}

/// What all samples have in common.
#[derive(Debug, Clone, Copy)]
pub struct Generation<'a> {
    pub choice: Choice,
    pub max_new_tokens: usize,
    /// An answer ends after one of these; it keeps it.
    pub end_tokens: &'a [u32],
    /// Samples in flight at most; the others enter as these end. Changes memory and speed alone.
    pub batch: usize,
    /// Tokens that may be chosen, where these are the vocabulary's first ones alone; `None`: all.
    pub first_tokens: Option<usize>,
}
