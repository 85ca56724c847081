//! The headers of a parquet file's pages, and what the pages unpack to: the parquet crate takes as much memory
//! for a page as its header asks for, or as its packed data come to.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// About what a value of a list takes in memory.
const VALUE: i64 = 32;

/// Errors if a page of the file unpacks to more than `bound` bytes, or if rows hold lists that come to more.
pub fn check(file: &File, metadata: &ParquetMetaData, bound: usize) -> Result<()> {
    let length = file.metadata().context("cannot tell the file's length")?.len();
    let mut reader = BufReader::new(file.try_clone().context("cannot read it twice")?);
    for group in metadata.row_groups() {
        for chunk in group.columns() {
            let name = || format!("column `{}`", chunk.column_path().string());
            let room = group.num_rows().max(1).saturating_mul(bound as i64);
            if chunk.num_values().saturating_mul(VALUE) > room && chunk.num_values() > group.num_rows() {
                bail!("{}: a row has more than {bound} bytes (`max_row_bytes`)", name());
            }
            check_chunk(&mut reader, chunk, length, bound).with_context(name)?;
        }
    }
    Ok(())
}

fn check_chunk(
    reader: &mut BufReader<File>,
    chunk: &ColumnChunkMetaData,
    length: u64,
    bound: usize,
) -> Result<()> {
    let start = chunk.dictionary_page_offset().filter(|at| *at > 0).unwrap_or(chunk.data_page_offset());
    let start = u64::try_from(start).context("its place in the file is negative")?;
    let end = start.saturating_add(u64::try_from(chunk.compressed_size()).context("its length is negative")?);
    if end > length {
        bail!("it goes on after the file's end");
    }
    let here = reader.stream_position()?;
    reader.seek_relative(start as i64 - here as i64)?;
    let mut at = start;
    while at < end {
        let mut header = CompactReader { reader: &mut *reader, read: 0 };
        let page = header.page().context("a page's header cannot be read")?;
        at += header.read;
        let (packed, unpacked) = (page.packed as u64, page.unpacked as u64);
        if unpacked > bound as u64 {
            bail!("a page of {unpacked} bytes, more than `max_row_bytes` = {bound}");
        }
        if packed > end.saturating_sub(at) {
            bail!("a page goes on after the end of its column");
        }
        let mut data = reader.by_ref().take(packed);
        io::copy(&mut data.by_ref().take(page.levels as u64), &mut io::sink())?;
        if page.is_packed {
            // One byte more than there may be shows that there is more.
            let room = unpacked + 1;
            let found = match chunk.compression() {
                Compression::GZIP(_) => unpacked_length(MultiGzDecoder::new(&mut data), room),
                Compression::ZSTD(_) => {
                    zstd::Decoder::new(&mut data).map_or(0, |data| unpacked_length(data, room))
                }
                _ => 0,
            };
            if found == room {
                bail!("a page unpacks to more than the {unpacked} bytes that its header tells");
            }
        }
        io::copy(&mut data, &mut io::sink())?;
        at += packed;
    }
    Ok(())
}

/// The number of bytes that can be read, up to `most`. What is damaged is told where it is read for its rows.
fn unpacked_length(mut packed: impl Read, most: u64) -> u64 {
    let mut buffer = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        match packed.read(&mut buffer) {
            Ok(0) | Err(_) => return length,
            Ok(read) => length = most.min(length + read as u64),
        }
        if length == most {
            return length;
        }
    }
}

/// What a page's header tells.
#[derive(Debug, Default)]
struct PageSize {
    unpacked: u32,
    packed: u32,
    /// Bytes before the packed data.
    levels: u32,
    is_packed: bool,
}

/// Reads Thrift's compact encoding.
struct CompactReader<'a, R> {
    reader: &'a mut R,
    read: u64,
}

/// The nesting of structures that a header may have.
const DEEPEST: usize = 16;

impl<R: Read> CompactReader<'_, R> {
    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        self.read += 1;
        Ok(byte[0])
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        bail!("a number has too many bytes")
    }

    fn integer(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn size(&mut self) -> Result<u32> {
        u32::try_from(self.integer()?).context("a size is negative or too large")
    }

    /// The next field's number and type; `None` at the end of the structure.
    fn field(&mut self, last: i64) -> Result<Option<(i64, u8)>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Ok(None);
        }
        let number = match byte >> 4 {
            0 => self.integer()?,
            step => last + i64::from(step),
        };
        Ok(Some((number, byte & 15)))
    }

    fn page(&mut self) -> Result<PageSize> {
        let mut page = PageSize { is_packed: true, ..PageSize::default() };
        let mut last = 0;
        while let Some((number, kind)) = self.field(last)? {
            match (number, kind) {
                (2, 5) => page.unpacked = self.size()?,
                (3, 5) => page.packed = self.size()?,
                // The header of a data page of version 2.
                (8, 12) => self.levels(&mut page)?,
                (_, kind) => self.skip(kind, 0)?,
            }
            last = number;
        }
        Ok(page)
    }

    fn levels(&mut self, page: &mut PageSize) -> Result<()> {
        let mut last = 0;
        while let Some((number, kind)) = self.field(last)? {
            match (number, kind) {
                (5 | 6, 5) => page.levels = page.levels.saturating_add(self.size()?),
                (7, 1 | 2) => page.is_packed = kind == 1,
                (_, kind) => self.skip(kind, 0)?,
            }
            last = number;
        }
        Ok(())
    }

    /// Passes over a value of a type.
    fn skip(&mut self, kind: u8, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            bail!("it is nested too deeply");
        }
        match kind {
            1 | 2 => {}
            3 => self.pass(1)?,
            4..=6 => {
                self.varint()?;
            }
            7 => self.pass(8)?,
            8 => {
                let length = self.varint()?;
                self.pass(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let items = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                let kind = head & 15;
                for _ in 0..items {
                    // A truth value in a list takes a byte of its own.
                    if matches!(kind, 1 | 2) { self.pass(1)? } else { self.skip(kind, depth + 1)? }
                }
            }
            12 => {
                let mut last = 0;
                while let Some((number, kind)) = self.field(last)? {
                    self.skip(kind, depth + 1)?;
                    last = number;
                }
            }
            other => bail!("a value is of the unknown type {other}"),
        }
        Ok(())
    }

    fn pass(&mut self, length: u64) -> Result<()> {
        let passed = io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())?;
        self.read += passed;
        if passed < length {
            bail!("the file ends within it");
        }
        Ok(())
    }
}
