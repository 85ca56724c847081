//! Inputs that people had, each kind in a module of its own.

mod rendering;
