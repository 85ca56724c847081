//! Everything that a finished stage reports, read back from its folder.

use anyhow::Result;

use crate::plan::document::StagePlan;
use crate::plan::finished::Summary;
use crate::plan::folder::RunFolder;
use crate::report::jsonl;
use crate::report::metrics::MetricsRow;
use crate::report::samples::{BeforeAfter, SampleRow, before_after};

#[derive(Debug, Clone)]
pub struct StageReport {
    pub name: String,
    pub kind: &'static str,
    pub summary: Summary,
    pub rows: Vec<MetricsRow>,
    pub samples: Vec<BeforeAfter>,
}

impl StageReport {
    /// Errors if something that the stage wrote is missing or cannot be read.
    pub fn read(stage: &StagePlan, folder: &RunFolder) -> Result<Self> {
        let own = folder.stage(stage.name());
        let samples: Vec<SampleRow> = jsonl::read(&own.samples())?;
        Ok(Self {
            name: stage.name().to_owned(),
            kind: stage.settings.kind.name(),
            summary: Summary::read(&own.summary())?,
            rows: jsonl::read(&own.metrics())?,
            samples: before_after(&samples),
        })
    }

    /// A metric's first and last value; of a held-out one, before and after the stage.
    pub fn before_after(&self, metric: &str) -> Option<(f64, f64)> {
        let mut values = self.rows.iter().filter_map(|row| row.get(metric));
        let first = values.next()?;
        Some((first, values.next_back().unwrap_or(first)))
    }
}
