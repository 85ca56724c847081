//! What a run tells.
