//! Rows as files have them. The JSON Schemas of rows in `schemas/` are generated from these types, and
//! the same types decode rows; the keys that they have are those that are read.

mod pair;
mod single;
mod turn;

pub use pair::*;
pub use single::*;
pub use turn::*;
