//! From files to rows that the engine can train on.

pub mod accepted;
mod added_tokens;
mod columns;
pub mod ending;
pub mod example;
pub mod format;
pub mod hub;
pub mod kept;
pub mod ledger;
mod misfit;
pub mod mismatch;
pub mod named;
mod nulls;
pub mod read;
pub mod reason;
pub mod render_row;
pub mod row;
pub mod row_schema;
pub mod source;
pub mod spans;
pub mod spec;
pub mod split;
mod text_row;
pub mod tokenizer;
pub mod tokens;
pub mod train_tokenizer;

pub use format::Need;
pub use ledger::Ledger;
pub use read::read_rows;
pub use row::{Row, Turns};
pub use split::split;
pub use tokenizer::Tokenizer;
pub use tokens::{Lengths, Longer, Tokenized, tokenize};
pub use train_tokenizer::train_tokenizer;
