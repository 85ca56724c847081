//! `metrics.jsonl`: one JSON object per logged step, without wall-clock times, so that a resumed
//! stage writes the same bytes as one that never stopped.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::report::{jsonl, metric};
use crate::train::Metrics;
use crate::train::metric::Aggregate;

/// What the steps since the last logged row reported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    metrics: IndexMap<String, Accumulator>,
}

/// Sums as bits: a checkpoint must give back the very same number, whatever it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Accumulator {
    count: u64,
    value_bits: u64,
}

impl Window {
    /// Adds one step.
    pub fn add(&mut self, step: &Metrics) {
        for (name, &value) in step {
            let new = || Accumulator { count: 0, value_bits: 0f64.to_bits() };
            let sum = self.metrics.entry(name.clone()).or_insert_with(new);
            let last = metric::find(name).is_some_and(|metric| metric.aggregate == Aggregate::Last);
            let value = if last { value } else { f64::from_bits(sum.value_bits) + value };
            sum.value_bits = value.to_bits();
            sum.count = if last { 1 } else { sum.count + 1 };
        }
    }

    /// Takes the means out (or last values, as the table of metrics says); the window is empty again.
    pub fn take(&mut self) -> Metrics {
        let mean = |sum: Accumulator| f64::from_bits(sum.value_bits) / sum.count as f64;
        std::mem::take(&mut self.metrics).into_iter().map(|(name, sum)| (name, mean(sum))).collect()
    }
}

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsRow {
    /// Optimiser steps done; 0 is before training.
    pub step: u64,
    pub epoch: f64,
    /// Metric → value; `null` stands for a value that is not a number.
    #[serde(flatten)]
    pub metrics: Map<String, Value>,
}

impl MetricsRow {
    pub fn new(step: u64, epoch: f64, metrics: &Metrics) -> Self {
        let metrics = metrics.iter().map(|(name, &value)| (name.clone(), Value::from(value))).collect();
        Self { step, epoch, metrics }
    }

    pub fn get(&self, name: &str) -> Option<f64> {
        self.metrics.get(name)?.as_f64()
    }
}

/// `metrics.jsonl`, open for appending.
#[derive(Debug)]
pub struct MetricsFile {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl MetricsFile {
    /// Opens or creates the file and cuts it to its first `bytes` bytes. Errors if it is shorter.
    pub fn open(path: &Path, bytes: u64) -> Result<Self> {
        let open = || -> Result<File> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
            let found = file.metadata()?.len();
            ensure!(
                found >= bytes,
                "it has {found} bytes, but the checkpoint was taken at {bytes}: start again with `--fresh`"
            );
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().with_context(|| format!("cannot continue `{}`", path.display()))?;
        Ok(Self { file, path: path.to_owned(), bytes })
    }

    /// Appends a row. Errors if it cannot be written, or if the file is no longer where it was.
    pub fn append(&mut self, row: &MetricsRow) -> Result<()> {
        ensure!(
            self.is_there(),
            "`{}` has vanished or was replaced while the stage ran; what was saved before may be gone too: put the \
             folder back and run again",
            self.path.display()
        );
        let mut write = || -> Result<()> {
            let line = jsonl::to_bytes(&[row])?;
            self.file.write_all(&line)?;
            self.bytes += line.len() as u64;
            Ok(())
        };
        write().with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    /// Whether the file that is open is the one that has its name.
    #[cfg(unix)]
    fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let (named, open) = (std::fs::metadata(&self.path), self.file.metadata());
        named.and_then(|named| Ok(id(named) == id(open?))).unwrap_or(false)
    }

    #[cfg(not(unix))]
    fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Flushes to the disk and says how long the file is.
    pub fn sync(&self) -> Result<u64> {
        self.file.sync_data().with_context(|| format!("cannot write `{}`", self.path.display()))?;
        Ok(self.bytes)
    }
}
