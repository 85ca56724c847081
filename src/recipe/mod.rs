//! What a user writes.
