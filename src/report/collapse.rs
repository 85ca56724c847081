//! Warns of a policy that has stopped answering the question, as its metrics show it. The warnings are in the
//! console as soon as they apply, in `summary.json`, on the page and at a run's end.
//!
//! There are three rules. Each compares with the stage's own start, the first row that has the metric;
//! held-out rows come before training rows:
//!
//! | rule | warns when |
//! |---|---|
//! | one answer | the most frequent response is at least [`TOP`] of all, and at least twice its share at the start |
//! | few answers | the share of different responses is at most half of that at the start |
//! | wrong answers | the share of held-out questions answered right (`exact_match`) is more than [`FALL`] below that at the start |
//!
//! The first two need [`RESPONSES`] responses or more: shares of fewer are chance.

use crate::kinds::ppo::metrics::{DISTINCT_RESPONSES, NUM_RESPONSES, TOP_RESPONSE};
use crate::report::metrics::MetricsRow;
use crate::report::number;
use crate::train::metric::{EXACT_MATCH, held_out};

/// From this share on, the most frequent response counts as one answer to everything.
pub const TOP: f64 = 0.25;
/// By how much the share of right answers may fall.
pub const FALL: f64 = 0.05;
/// How many responses a share must be taken over, at least.
pub const RESPONSES: f64 = 16.0;

const WHAT_TO_DO: &str = "a reward model scores what it has not seen too high: look at `samples.jsonl`, then \
                          raise `kl_coef`, lower `learning_rate` or take fewer steps";

/// Reads a stage's metrics row by row and keeps the warnings.
#[derive(Debug, Default)]
pub struct CollapseWatch {
    rules: [Rule; 3],
}

/// The warning of a rule, if it applies. Arguments: whether the metric is a held-out one, the row, the
/// metric at the start and now.
type Says = fn(bool, &MetricsRow, f64, f64) -> Option<String>;

/// What one rule has seen.
#[derive(Debug, Default)]
struct Rule {
    before: Option<f64>,
    /// The warning of the last row that broke it.
    found: Option<String>,
}

impl CollapseWatch {
    /// A watch that has read `rows`.
    pub fn over<'a>(rows: impl IntoIterator<Item = &'a MetricsRow>) -> Self {
        let mut watch = Self::default();
        for row in rows {
            watch.look(row);
        }
        watch
    }

    /// Reads the next row; returns what is new: the warning of each rule once per stage.
    pub fn look(&mut self, row: &MetricsRow) -> Vec<String> {
        let metrics = [TOP_RESPONSE, DISTINCT_RESPONSES, EXACT_MATCH];
        let says: [Says; 3] = [one_answer, few_answers, wrong_answers];
        let mut new = Vec::new();
        for ((rule, metric), says) in self.rules.iter_mut().zip(metrics).zip(says) {
            let held_out = row.get(&held_out(metric.name));
            let Some(now) = held_out.or_else(|| row.get(metric.name)) else { continue };
            let before = *rule.before.get_or_insert(now);
            if let Some(words) = says(held_out.is_some(), row, before, now) {
                let words = format!("step {}: {words}", row.step);
                if rule.found.replace(words.clone()).is_none() {
                    new.push(words);
                }
            }
        }
        new
    }

    /// The last warning of each broken rule.
    pub fn warnings(&self) -> Vec<String> {
        self.rules.iter().filter_map(|rule| rule.found.clone()).collect()
    }
}

/// Which responses a metric is about and how many, if they are enough.
fn responses(are_held_out: bool, row: &MetricsRow) -> Option<String> {
    let (name, which) = match are_held_out {
        true => (held_out(NUM_RESPONSES.name), "held-out "),
        false => (NUM_RESPONSES.name.to_owned(), ""),
    };
    let count = row.get(&name)?;
    (count >= RESPONSES).then(|| format!("{} {which}responses", number::count(count as u64)))
}

fn one_answer(held_out: bool, row: &MetricsRow, before: f64, now: f64) -> Option<String> {
    let responses = responses(held_out, row)?;
    (now >= TOP && now >= 2.0 * before).then(|| {
        format!(
            "responses collapse: {} of {responses} are one and the same, {} at the start; {WHAT_TO_DO}",
            percent(now),
            percent(before)
        )
    })
}

fn few_answers(held_out: bool, row: &MetricsRow, before: f64, now: f64) -> Option<String> {
    let responses = responses(held_out, row)?;
    (now <= before / 2.0).then(|| {
        format!(
            "responses collapse: {} of {responses} are different ones, {} at the start; {WHAT_TO_DO}",
            percent(now),
            percent(before)
        )
    })
}

fn wrong_answers(_: bool, _: &MetricsRow, before: f64, now: f64) -> Option<String> {
    (before - now > FALL).then(|| {
        format!(
            "right answers to held-out questions (`eval_exact_match`) fell from {} to {}, whatever loss and \
             rewards say",
            percent(before),
            percent(now)
        )
    })
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Metrics;

    fn row(step: u64, prefix: &str, metrics: &[(&str, f64)]) -> MetricsRow {
        let metrics: Metrics =
            metrics.iter().map(|(name, value)| (format!("{prefix}{name}"), *value)).collect();
        MetricsRow::new(step, 0.0, &metrics)
    }

    fn shares(step: u64, prefix: &str, responses: f64, top: f64, distinct: f64) -> MetricsRow {
        let metrics = [
            ("val/num_responses", responses),
            ("val/top_response", top),
            ("val/distinct_responses", distinct),
        ];
        row(step, prefix, &metrics)
    }

    #[test]
    fn one_answer_and_few_answers_are_said_once_and_kept_as_they_end() {
        let mut watch = CollapseWatch::default();
        assert!(watch.look(&shares(0, "eval_", 120.0, 0.03, 0.9)).is_empty());
        assert!(watch.look(&shares(8, "", 64.0, 0.2, 0.6)).is_empty());
        let new = watch.look(&shares(16, "", 64.0, 0.3, 0.44));
        assert_eq!(new.len(), 2, "{new:?}");
        assert!(new[0].starts_with(
            "step 16: responses collapse: 30 % of 64 responses are one and the same, 3 % at the start; "
        ));
        assert!(new[1].starts_with(
            "step 16: responses collapse: 44 % of 64 responses are different ones, 90 % at the start; "
        ));
        assert!(watch.look(&shares(24, "eval_", 120.0, 0.9, 0.05)).is_empty(), "said already");
        let kept = watch.warnings();
        assert!(kept[0].starts_with("step 24: responses collapse: 90 % of 120 held-out responses "));
        assert!(kept[1].starts_with("step 24: responses collapse: 5 % of 120 held-out responses "));
    }

    #[test]
    fn what_was_so_at_the_start_is_no_collapse() {
        // Yes or no: few answers are right, and many are the same.
        let rows = [shares(0, "eval_", 200.0, 0.6, 0.01), shares(9, "eval_", 200.0, 0.9, 0.01)];
        assert_eq!(CollapseWatch::over(&rows).warnings(), [] as [&str; 0]);
        // Shares of few responses are chance.
        let rows = [shares(0, "", 4.0, 0.25, 1.0), shares(9, "", 4.0, 1.0, 0.25)];
        assert_eq!(CollapseWatch::over(&rows).warnings(), [] as [&str; 0]);
    }

    #[test]
    fn right_answers_that_fall_are_said() {
        let rows =
            |after| [row(0, "eval_", &[("exact_match", 0.9)]), row(9, "eval_", &[("exact_match", after)])];
        assert_eq!(CollapseWatch::over(&rows(0.86)).warnings(), [] as [&str; 0]);
        let said = CollapseWatch::over(&rows(0.5)).warnings();
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("step 9: right answers to held-out questions"), "{said:?}");
        assert!(said[0].contains("fell from 90 % to 50 %"), "{said:?}");
    }
}
