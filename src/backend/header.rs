//! Headers of safetensors files: which tensors a file has, without reading their values.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

/// Bytes before the header: its length, little-endian.
const LENGTH: usize = 8;
/// Longer headers are refused by readers of safetensors.
const LONGEST: u64 = 100_000_000;
/// How the small files begin that Git LFS keeps in place of large ones.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// What a file's header says of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    pub shape: Vec<usize>,
    pub dtype: Dtype,
}

impl StoredTensor {
    /// Whether it holds floats that can be loaded: float16, bfloat16, float32 or float64.
    pub fn is_float(&self) -> bool {
        matches!(self.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
    }
}

/// Name → tensor, of the safetensors file at `path`. Reads its header alone. Errors, which name the
/// file, if that is not safetensors or has more or fewer bytes than its header tells of.
pub fn read_header(path: &Path) -> Result<BTreeMap<String, StoredTensor>> {
    let header = read(path).with_context(|| format!("`{}`", path.display()))?;
    let stored = header.tensors().into_iter().map(|(name, info)| {
        let stored = StoredTensor { shape: info.shape.clone(), dtype: info.dtype };
        (name, stored)
    });
    Ok(stored.collect())
}

/// What the header at `path` says besides its tensors. Errors as [`read_header`] does.
pub fn read_metadata(path: &Path) -> Result<HashMap<String, String>> {
    let header = read(path).with_context(|| format!("`{}`", path.display()))?;
    Ok(header.metadata().clone().unwrap_or_default())
}

fn read(path: &Path) -> Result<Metadata> {
    let mut file = File::open(path).context("cannot be opened")?;
    let size = file.metadata().context("cannot be read")?.len();
    let mut start = Vec::new();
    file.by_ref().take(LFS_POINTER.len() as u64).read_to_end(&mut start).context("cannot be read")?;
    if start.starts_with(LFS_POINTER) {
        bail!("is a pointer of Git LFS, not the file itself; `git lfs pull` gets that")
    }
    let Some(length) = start.first_chunk::<LENGTH>().map(|bytes| u64::from_le_bytes(*bytes)) else {
        bail!("is {size} bytes long, so it is not safetensors; get the file again")
    };
    ensure!(length <= LONGEST, "does not begin as safetensors does");
    let end = LENGTH as u64 + length;
    ensure!(end <= size, "is cut off: {size} bytes, where its header alone takes {end}; get the file again");
    let mut header = start.split_off(LENGTH);
    let rest = length.saturating_sub(header.len() as u64);
    file.take(rest).read_to_end(&mut header).context("cannot be read")?;
    header.truncate(length as usize);
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|error| anyhow!("has a header that is wrong: {error}"))?;
    let whole = end + header.data_len() as u64;
    if size < whole {
        bail!("is cut off: {size} bytes, where its header tells of {whole}; get the file again")
    }
    ensure!(size == whole, "has {} bytes more than its header tells of; get the file again", size - whole);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_header_tells_names_and_shapes_and_a_file_that_is_not_whole_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let header = r#"{"w":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 12]);
        fs::write(&path, &bytes).unwrap();
        let stored = StoredTensor { shape: vec![2, 3], dtype: Dtype::F16 };
        assert_eq!(read_header(&path).unwrap(), BTreeMap::from([("w".to_owned(), stored)]));

        let longer = [&bytes[..], b"x"].concat();
        let wrong = [&bytes[..8], header.replace("2,3", "2,4").as_bytes(), &[0; 12]].concat();
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        for (bytes, says) in [
            (&bytes[..bytes.len() - 1], "cut off: 76 bytes, where its header tells of 77"),
            (&bytes[..20], "cut off: 20 bytes, where its header alone takes 65"),
            (&bytes[..5], "is 5 bytes long"),
            (&[][..], "is 0 bytes long"),
            (&longer, "1 bytes more"),
            (&wrong, "header that is wrong"),
            (&pointer[..], "git lfs pull"),
            (b"<!doctype html><html>", "does not begin as safetensors does"),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", read_header(&path).unwrap_err());
            assert!(error.contains(says) && error.contains("a.safetensors"), "{error}");
        }
    }
}
