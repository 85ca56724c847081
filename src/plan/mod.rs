//! Decides what will happen before anything heavy does.

pub mod settings;
