//! Rows as data sets have them: what is read of each, what is said of the rest.

mod content;
mod helper;
mod invented;
mod nothing_in_silence;
mod pairs;
mod places;
mod rows;
mod turns;
