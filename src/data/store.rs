//! Where tokenised rows are kept between reading and training: in memory while they are few, else in a file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

/// Bytes that are kept in memory.
const IN_MEMORY: usize = 2 << 20;

/// Bytes that are read from the file at once by one who reads on.
const READ_AHEAD: usize = 256 << 10;

/// Takes rows, one after the other.
#[derive(Debug, Default)]
pub struct StoreWriter {
    memory: Vec<u8>,
    file: Option<BufWriter<File>>,
    length: u64,
}

/// Rows as bytes.
#[derive(Debug)]
pub struct TokenStore {
    place: StorePlace,
    pub length: u64,
}

#[derive(Debug)]
enum StorePlace {
    Memory(Vec<u8>),
    File(File),
}

impl StoreWriter {
    /// Appends bytes; where they begin. A file is made by `open` when it is needed.
    pub fn append(&mut self, bytes: &[u8], open: impl FnOnce() -> Result<File>) -> Result<u64> {
        let start = self.length;
        self.length += bytes.len() as u64;
        match &mut self.file {
            None if self.memory.len() + bytes.len() <= IN_MEMORY => self.memory.extend_from_slice(bytes),
            None => {
                let mut file = BufWriter::with_capacity(1 << 20, open()?);
                file.write_all(&std::mem::take(&mut self.memory)).context(UNWRITTEN)?;
                file.write_all(bytes).context(UNWRITTEN)?;
                self.file = Some(file);
            }
            Some(file) => file.write_all(bytes).context(UNWRITTEN)?,
        }
        Ok(start)
    }

    /// The bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn finish(self) -> Result<TokenStore> {
        let place = match self.file {
            None => StorePlace::Memory(self.memory),
            Some(file) => {
                let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
                StorePlace::File(file.context(UNWRITTEN)?)
            }
        };
        Ok(TokenStore { place, length: self.length })
    }
}

const UNWRITTEN: &str = "cannot write tokenised rows to a file of their own; is the disk full?";

impl TokenStore {
    /// The rows in a file, which begin at its start.
    pub fn in_file(file: File, length: u64) -> Self {
        TokenStore { place: StorePlace::File(file), length }
    }

    /// The rows in a file, if they are in one.
    pub fn file(&self) -> Option<&File> {
        match &self.place {
            StorePlace::Memory(_) => None,
            StorePlace::File(file) => Some(file),
        }
    }

    pub fn reader(&self) -> StoreReader<'_> {
        StoreReader { store: self, start: 0, buffer: Vec::new() }
    }
}

/// Reads rows of a [`TokenStore`]; fast where they follow each other.
pub struct StoreReader<'a> {
    store: &'a TokenStore,
    /// Where in the file the buffer begins.
    start: u64,
    buffer: Vec<u8>,
}

impl StoreReader<'_> {
    /// The bytes from `start` to `end`.
    pub fn read(&mut self, start: u64, end: u64) -> Result<&[u8]> {
        let file = match &self.store.place {
            StorePlace::Memory(bytes) => {
                return bytes.get(start as usize..end as usize).context("a tokenised row is not there");
            }
            StorePlace::File(file) => file,
        };
        if start < self.start || end > self.start + self.buffer.len() as u64 {
            let wanted = end.checked_sub(start).filter(|_| end <= self.store.length);
            let wanted = wanted.context("a tokenised row is not there")? as usize;
            let room = (self.store.length - start).min(READ_AHEAD as u64) as usize;
            self.buffer.resize(wanted.max(room), 0);
            self.start = start;
            file.read_exact_at(&mut self.buffer, start).context("cannot read tokenised rows")?;
        }
        let at = (start - self.start) as usize;
        Ok(&self.buffer[at..at + (end - start) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_again_in_memory_and_in_a_file() -> Result<()> {
        for size in [10, IN_MEMORY / 3] {
            let mut writer = StoreWriter::default();
            let row = |number: u8| vec![number; size + number as usize];
            let mut starts = Vec::new();
            for number in 0..9 {
                starts.push(writer.append(&row(number), || Ok(tempfile::tempfile()?))?);
            }
            let store = writer.finish()?;
            assert_eq!(store.file().is_some(), size > 10);
            let mut reader = store.reader();
            for number in [0, 1, 8, 3, 4, 2_u8] {
                let start = starts[number as usize];
                assert!(reader.read(start, start + row(number).len() as u64)? == row(number));
            }
            assert!(reader.read(store.length, store.length + 1).is_err());
        }
        Ok(())
    }
}
