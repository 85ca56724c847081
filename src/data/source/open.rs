//! Opens a file for reading, through its decompressor if it is compressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use flate2::read::MultiGzDecoder;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The kind of rows that a path's extension names (lower case, may be empty) and how the file is
/// compressed.
pub fn kind(path: &Path) -> (String, Compression) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let (name, packing) = match (name.strip_suffix(".gz"), name.strip_suffix(".zst")) {
        (Some(inner), _) => (inner, Compression::Gzip),
        (_, Some(inner)) => (inner, Compression::Zstd),
        _ => (name.as_str(), Compression::None),
    };
    let kind = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    (kind.to_owned(), packing)
}

/// Opens a regular file: of a pipe or a device, nobody knows when it has said all.
fn open(path: &Path) -> Result<File> {
    let context = || format!("cannot open `{}`", path.display());
    if !std::fs::metadata(path).with_context(context)?.is_file() {
        bail!("`{}` is no regular file: rows are not read from pipes, devices and folders", path.display());
    }
    File::open(path).with_context(context)
}

/// The file's content, decompressed while it is read.
pub fn reader(path: &Path, packing: Compression) -> Result<Box<dyn BufRead>> {
    let file = open(path)?;
    Ok(match packing {
        Compression::None => Box::new(BufReader::new(file)),
        Compression::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file)))),
        Compression::Zstd => Box::new(BufReader::new(
            zstd::Decoder::new(file).with_context(|| format!("`{}`: cannot be unpacked", path.display()))?,
        )),
    })
}

/// The file's content as a file that supports seeking: the file itself, or a decompressed temporary copy.
pub fn seekable(path: &Path, packing: Compression) -> Result<File> {
    if packing == Compression::None {
        return open(path);
    }
    let mut copy = tempfile::tempfile().context("cannot create a temporary file to unpack into")?;
    io::copy(&mut reader(path, packing)?, &mut copy).map_err(|error| read_error(path, 0, &error))?;
    copy.seek(SeekFrom::Start(0)).context("cannot rewind the unpacked copy")?;
    Ok(copy)
}

/// An error of reading that happened after `line` whole lines.
pub fn read_error(path: &Path, line: usize, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => anyhow!(
            "`{path}`: the file ends in the middle of its compressed data, after line {line}; get \
             it again"
        ),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            anyhow!("`{path}`: cannot be unpacked after line {line}: {error}")
        }
        _ => anyhow!("`{path}`: cannot be read after line {line}: {error}"),
    }
}
