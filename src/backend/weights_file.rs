//! Safetensors files: read through the page cache, and written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Result, Tensor};

use super::new_file::share;

/// One or several safetensors files, as one set of named tensors.
pub struct WeightFiles(MmapedSafetensors);

impl WeightFiles {
    /// Errors if a file is missing or is not safetensors.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        // SAFETY: the files are mapped read-only and only read while they are loaded; that nobody
        // truncates a model's weights meanwhile is what every reader of safetensors relies on
        unsafe { MmapedSafetensors::multi(paths) }.map(WeightFiles)
    }

    /// The tensor as it is stored, on the CPU.
    pub fn stored(&self, name: &str) -> Result<Tensor> {
        self.0.load(name, &Device::Cpu)
    }

    /// The tensor as float32 on the CPU, whatever float type it is stored in.
    pub fn load(&self, name: &str) -> Result<Tensor> {
        self.stored(name)?.to_dtype(DType::F32)
    }

    /// Whether two tensors hold the same numbers, whatever float types they are stored in.
    pub fn are_equal(&self, one: &str, other: &str) -> Result<bool> {
        let (a, b) = (self.0.get(one)?, self.0.get(other)?);
        if a.shape() != b.shape() {
            return Ok(false);
        }
        if a.dtype() == b.dtype() {
            return Ok(a.data() == b.data());
        }
        let differs = self.load(one)?.ne(&self.load(other)?)?;
        Ok(differs.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()? == 0.0)
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.tensors().into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.get(name).is_ok()
    }
}

/// Writes tensors and `metadata` to `path`, in place of what is there in one move.
pub fn write_tensors<'a>(
    tensors: impl IntoIterator<Item = (impl AsRef<str> + Ord + std::fmt::Display, &'a Tensor)>,
    metadata: HashMap<String, String>,
    path: &Path,
) -> Result<()> {
    safetensors::serialize_to_file(tensors, Some(metadata), path)?;
    Ok(share(path)?)
}
