//! What a run reports, while it runs and afterwards.
//!
//! | file | what lives there |
//! |---|---|
//! | [`metrics`] | `metrics.jsonl`: one row per logged step |
//! | [`metric`] | the table of metrics, put together from the kinds' own |
//! | [`jsonl`] | files with one JSON object per line |
//! | [`samples`] | `samples.jsonl`: questions and answers, before and after |
//! | [`console`] | progress on a terminal, plain lines elsewhere |
//! | [`columns`] | text in columns |
//! | [`number`] | numbers, sizes and times as people read them |
//! | [`rows`] | what became of a stage's rows |
//! | [`stage_report`] | everything that a finished stage reports |
//! | [`closing`] | the tables and samples that a run ends with |
//! | [`collapse`] | warnings of responses that collapse |
//! | [`plan_table`] | the plan, before a run |
//! | [`comparison`] | `comparison.json`: stages from one model, measured alike |
//! | [`page`] | `report.html` |
//! | [`curve`] | a curve as inline SVG |

pub mod closing;
pub mod collapse;
pub mod columns;
pub mod comparison;
pub mod console;
pub mod curve;
pub mod jsonl;
pub mod metric;
pub mod metrics;
pub mod number;
pub mod page;
pub mod plan_table;
pub mod rows;
pub mod samples;
pub mod stage_report;
