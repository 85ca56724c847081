//! Decides what will happen before anything heavy does.

pub mod resolve;
pub mod settings;
