//! From files to tokens: every format of rows, what is trained, what is said of rows that are left out.

mod formats;
mod helper;
mod hostile;
mod invalid;
mod labels;
mod large;
mod spans;
mod stages;
mod tokens;
