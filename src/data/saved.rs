//! Tokenised rows as a file: tokens, what became of each row, and a digest of it all at the end, by which a
//! damaged file is told from a whole one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::reason::RowReason;
use super::store::TokenStore;
use super::stream::{Item, TokenRows};
use super::unread::Given;

const MAGIC: &[u8; 8] = b"rows\0\0\0\x01";
/// Bytes that are read and hashed at once.
const CHUNK: usize = 8 << 20;
/// Bytes of an item.
const ITEM: usize = 32;
/// Bytes at the end: the magic, three lengths, the digest.
const END: usize = 8 + 3 * 8 + 32;

/// All except tokens and items.
#[derive(Serialize, Deserialize)]
struct SavedRest {
    files: Vec<PathBuf>,
    dropped: HashMap<u32, RowReason>,
    left: IndexSet<String>,
    given: IndexSet<Given>,
    questions: HashMap<u32, String>,
    accepted: HashMap<u32, Vec<String>>,
    refused: Ledger,
}

/// Appends to `file`, which holds the tokens of `rows`, everything else, so that [`open`] can read it.
pub fn complete(rows: &TokenRows, file: &mut File) -> Result<()> {
    let rest = serde_json::to_vec(&SavedRest {
        files: rows.files.iter().map(|file| file.as_path().to_owned()).collect(),
        dropped: rows.dropped.clone(),
        left: rows.left.clone(),
        given: rows.given.clone(),
        questions: rows.questions.clone(),
        accepted: rows.accepted.clone(),
        refused: rows.refused.clone(),
    })?;
    let mut items = Vec::with_capacity(rows.items.len() * ITEM);
    for Item { start, row, line, file, given, left, flags } in &rows.items {
        items.extend(start.to_le_bytes());
        [row, line, file, given, left, flags]
            .into_iter()
            .for_each(|number| items.extend(number.to_le_bytes()));
    }
    let mut end = MAGIC.to_vec();
    for length in [rows.store.length, rest.len() as u64, items.len() as u64] {
        end.extend(length.to_le_bytes());
    }
    let mut hasher = blake3::Hasher::new();
    file.seek(SeekFrom::Start(0))?;
    hash(file, rows.store.length, &mut hasher)?;
    for bytes in [&rest, &items, &end] {
        hasher.update(bytes);
    }
    file.seek(SeekFrom::Start(rows.store.length))?;
    for bytes in [&rest, &items, &end, &hasher.finalize().as_bytes().to_vec()] {
        file.write_all(bytes)?;
    }
    file.sync_data()?;
    Ok(())
}

/// The rows that a file holds. Errors if it is not as [`complete`] left it.
pub fn open(mut file: File) -> Result<TokenRows> {
    let length = file.metadata()?.len();
    let damaged = || "the file is cut short, or of another kind";
    file.seek(SeekFrom::Start(length.checked_sub(END as u64).with_context(damaged)?))?;
    let mut end = [0; END];
    file.read_exact(&mut end)?;
    let number =
        |at: usize| end[at..at + 8].iter().rev().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let (tokens, rest, items) = (number(8), number(16), number(24));
    let sum = [tokens, rest, items, END as u64].into_iter().try_fold(0_u64, u64::checked_add);
    ensure!(end[..8] == MAGIC[..] && sum == Some(length) && items.is_multiple_of(ITEM as u64), damaged());
    let mut hasher = blake3::Hasher::new();
    file.seek(SeekFrom::Start(0))?;
    hash(&mut file, tokens, &mut hasher)?;
    let mut read = |length: u64| -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length)?];
        file.read_exact(&mut bytes)?;
        hasher.update(&bytes);
        Ok(bytes)
    };
    let (rest, items) = (read(rest)?, read(items)?);
    hasher.update(&end[..END - 32]);
    ensure!(hasher.finalize().as_bytes()[..] == end[END - 32..], "its content is not what was written");
    let SavedRest { files, dropped, left, given, questions, accepted, mut refused } =
        serde_json::from_slice(&rest)?;
    let files: Vec<Arc<PathBuf>> = files.into_iter().map(Arc::new).collect();
    refused.share_paths(&files);
    Ok(TokenRows {
        store: TokenStore::in_file(file, tokens),
        items: items.chunks_exact(ITEM).map(item).collect(),
        files,
        dropped,
        failed: Vec::new(),
        left,
        given,
        questions,
        accepted,
        refused,
    })
}

fn item(bytes: &[u8]) -> Item {
    let number = |at: usize| {
        bytes[at..at + 4].iter().rev().fold(0, |number: u32, byte| number << 8 | u32::from(*byte))
    };
    let start = u64::from(number(4)) << 32 | u64::from(number(0));
    Item {
        start,
        row: number(8),
        line: number(12),
        file: number(16),
        given: number(20),
        left: number(24),
        flags: number(28),
    }
}

/// Hashes the next `length` bytes of a file, by all threads.
fn hash(file: &mut File, length: u64, hasher: &mut blake3::Hasher) -> Result<()> {
    let mut buffer = vec![0; CHUNK.min(usize::try_from(length)?)];
    let mut left = length;
    while left > 0 {
        let taken = buffer.len().min(usize::try_from(left)?);
        file.read_exact(&mut buffer[..taken])?;
        hasher.update_rayon(&buffer[..taken]);
        left -= taken as u64;
    }
    Ok(())
}
