//! The shapes that rows come in, and how each becomes a [`Row`](super::row::Row).

mod decode;
mod label;
mod pair;
mod roles;
mod shape;
mod transcript;
pub mod wire;

pub use decode::{Content, decode};
pub use shape::{Need, Shape};
