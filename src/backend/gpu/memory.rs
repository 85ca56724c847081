//! A GPU's memory.

/// Bytes of a GPU's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    /// That nobody holds, this program or another.
    pub free: u64,
    /// Held by this program's pool: what tensors use, and what they have given back to it.
    pub reserved: u64,
    /// Used by tensors.
    pub used: u64,
    /// The most that tensors used at a time, since the start or the last reset.
    pub peak: u64,
}
