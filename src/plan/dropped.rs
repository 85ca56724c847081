//! Refuses data sets of which too many rows are dropped: nobody means to train on the rest.

use anyhow::{Result, bail};

use crate::data::Ledger;
use crate::data::reason::Effect;
use crate::data::spec::DataSpec;

/// Errors if the share of the `read` rows that are not among the `kept` ones is larger than the data set's
/// `max_dropped`, whatever the reasons.
pub fn check_share(data: &DataSpec, read: usize, kept: usize, ledger: &Ledger) -> Result<()> {
    let dropped = read.saturating_sub(kept);
    let share = dropped as f64 / read.max(1) as f64;
    if share <= data.max_dropped + 1e-9 {
        return Ok(());
    }
    let mut reasons = String::new();
    for reason in ledger.by_reason().iter().filter(|reason| reason.effect != Effect::Cut) {
        reasons += &format!("\n  {}: {}, the first {}", reason.kind, reason.rows, reason.first);
    }
    let enough = (share * 100.0).ceil() / 100.0;
    bail!(
        "data `{}`: {dropped} of {read} rows are dropped, more than `max_dropped` = {} allows:{reasons}\n  \
         mend the rows, or set `max_dropped` of `[data.{}]` to {enough} to train on the rest",
        data.name,
        data.max_dropped,
        data.name
    )
}
