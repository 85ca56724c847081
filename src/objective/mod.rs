//! The maths of each paper as pure functions over slices of f64.
