//! The table of metrics: how a metric is averaged and where people see it. A metric without a row is averaged,
//! stands in `metrics.jsonl` and, if it is a held-out one, in the page's table of held-out metrics.
//!
//! The rows that every kind of training has are in this file, those of kinds that train on pairs in
//! [`super::pair_metrics`], and all others beside the kind. A kind lists what it has in `Facts::metrics`.

/// What stands before the name of a metric on held-out rows.
pub const HELD_OUT_PREFIX: &str = "eval_";

/// The name of a metric on held-out rows.
pub fn held_out(name: &str) -> String {
    format!("{HELD_OUT_PREFIX}{name}")
}

/// One metric: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// TRL's name, without the prefix of held-out rows.
    pub name: &'static str,
    /// What a row of `metrics.jsonl` has of the steps since the row before.
    pub aggregate: Aggregate,
    /// The curves on the report's page.
    pub curve: Curves,
    /// Whether the console's line of held-out metrics has it.
    pub console: bool,
    /// The column of the table that a run ends with: held-out values before and after each stage.
    pub column: Column,
}

/// One value of several steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    Mean,
    /// Of rates and running totals.
    Last,
}

/// Titles of curves. The title of the held-out curve of `Both` gets "held-out" in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curves {
    None,
    Training(&'static str),
    HeldOut(&'static str),
    Both(&'static str),
}

/// Heading of a column. Metrics of the same heading share the column; a stage has one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    None,
    Titled(&'static str),
    /// To the right of all others.
    Rightmost(&'static str),
}

impl Metric {
    /// A metric that nobody draws or prints.
    pub const fn named(name: &'static str) -> Self {
        Metric { name, aggregate: Aggregate::Mean, curve: Curves::None, console: false, column: Column::None }
    }
}

pub const LOSS: Metric = Metric {
    curve: Curves::Both("loss"),
    console: true,
    column: Column::Titled("held-out loss"),
    ..Metric::named("loss")
};
/// Share of held-out questions whose greedy answer is one of those that their row accepts.
pub const EXACT_MATCH: Metric = Metric {
    curve: Curves::HeldOut("right held-out answers"),
    console: true,
    column: Column::Rightmost("exact match"),
    ..Metric::named("exact_match")
};
/// Share of trained tokens that the model finds most likely.
pub const MEAN_TOKEN_ACCURACY: Metric = Metric {
    console: true,
    column: Column::Titled("token accuracy"),
    ..Metric::named("mean_token_accuracy")
};
pub const GRAD_NORM: Metric =
    Metric { curve: Curves::Training("gradient norm"), ..Metric::named("grad_norm") };
pub const LEARNING_RATE: Metric = Metric {
    aggregate: Aggregate::Last,
    curve: Curves::Training("learning rate"),
    ..Metric::named("learning_rate")
};
/// Tokens trained on since the stage began.
pub const NUM_TOKENS: Metric = Metric { aggregate: Aggregate::Last, ..Metric::named("num_tokens") };

/// Metrics of every kind: those before a kind's own and those after.
pub const OF_EVERY_KIND: (&[Metric], &[Metric]) =
    (&[LOSS, EXACT_MATCH], &[GRAD_NORM, LEARNING_RATE, NUM_TOKENS]);
