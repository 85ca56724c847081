//! Doing it.
