//! The tensors that a folder's files hold, by their headers.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::header::StoredTensor;

/// The tensors of a folder's files.
#[derive(Debug, Default)]
pub struct Stored {
    /// Name → tensor, and the index of its file.
    pub tensors: BTreeMap<String, (usize, StoredTensor)>,
    /// Names that are in two files: the last one counts.
    pub twice: BTreeSet<String>,
}
