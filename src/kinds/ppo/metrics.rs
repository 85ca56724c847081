//! The metrics of ppo that people see: its rows of the table in [`crate::train::metric`].

use crate::train::metric::{Aggregate, Column, Curves, Metric};

pub const SCORES: Metric = Metric {
    curve: Curves::Both("score"),
    console: true,
    column: Column::Titled("score"),
    ..Metric::named("objective/scores")
};
pub const KL: Metric = Metric {
    curve: Curves::Training("KL to the reference"),
    console: true,
    column: Column::Titled("KL"),
    ..Metric::named("objective/kl")
};
pub const KL_Q90: Metric =
    Metric { curve: Curves::Training("KL of a response, upper tenth"), ..Metric::named("objective/kl_q90") };
pub const DISTINCT_RESPONSES: Metric = Metric {
    curve: Curves::Training("distinct responses"),
    console: true,
    column: Column::Titled("distinct"),
    ..Metric::named("val/distinct_responses")
};
pub const TOP_RESPONSE: Metric = Metric {
    curve: Curves::Training("most frequent response"),
    console: true,
    ..Metric::named("val/top_response")
};
pub const RESPONSE_LENGTH: Metric = Metric { console: true, ..Metric::named("val/response_length") };
pub const NUM_RESPONSES: Metric = Metric::named("val/num_responses");
pub const EPISODE: Metric = Metric { aggregate: Aggregate::Last, ..Metric::named("episode") };

/// In the order in which they are shown.
pub const METRICS: &[Metric] =
    &[SCORES, KL, KL_Q90, DISTINCT_RESPONSES, TOP_RESPONSE, RESPONSE_LENGTH, NUM_RESPONSES, EPISODE];
