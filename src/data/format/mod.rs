//! The shapes that rows come in, and how each becomes a [`Row`](super::row::Row).
//!
//! | module | what lives there |
//! |---|---|
//! | [`wire`] | rows as files have them; schemas are made from these types |
//! | `shape` | which shape a row has, as its keys show |
//! | `json_text`, `media` | what is done first with every row: JSON text is parsed, pictures are refused |
//! | `decode`, `pairs`, `told`, `question` | from a row's type to its question and answers |
//! | `turns`, `content`, `thought`, `roles`, `marks`, `calls`, `transcript` | from turns to messages |
//! | `pair`, `tools`, `finish` | from messages to what is trained |
//! | `left`, `notes` | keys that nothing reads, and other warnings about a file |

mod calls;
mod content;
mod decode;
mod finish;
mod index;
mod json_text;
mod label;
mod left;
mod marks;
mod media;
mod notes;
mod pair;
mod pairs;
mod question;
mod roles;
mod shape;
mod thought;
mod told;
mod tools;
mod transcript;
mod turns;
pub mod wire;

pub use decode::decode;
pub use json_text::{python_list, texts};
pub use notes::{FileNotes, LabelNote};
pub use roles::{RoleMap, known_roles};
pub use shape::{Need, RowShape};
