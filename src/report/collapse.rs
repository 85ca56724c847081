//! What the metrics of a stage say of a policy that has stopped to answer the question, for everybody
//! to see: in the console as soon as it shows, in `summary.json`, on the page and at a run's end.
//!
//! Three rules, each against the stage's own start (its first row with the metric, held-out rows before
//! training rows):
//!
//! | rule | says so when |
//! |---|---|
//! | one answer | the most frequent response is at least [`TOP`] of all, and at least twice the share of before |
//! | few answers | the share of different responses is at most half of that before |
//! | wrong answers | the share of held-out questions answered right (`exact_match`) is more than [`FALL`] below that before |
//!
//! The first two look at [`RESPONSES`] responses or more: shares of fewer are chance.

use crate::report::metrics::Row;
use crate::report::number;

/// Share of the most frequent response from which it counts as one answer to everything.
pub const TOP: f64 = 0.25;
/// How far right answers may fall.
pub const FALL: f64 = 0.05;
/// Responses that a share must be of.
pub const RESPONSES: f64 = 16.0;

/// Names of a rule's metric: held-out first, since that is measured alike each time.
type Names = &'static [&'static str];

const TOP_RESPONSE: Names = &["eval_val/top_response", "val/top_response"];
const DISTINCT: Names = &["eval_val/distinct_responses", "val/distinct_responses"];
const EXACT_MATCH: Names = &["eval_exact_match"];

const WHAT_TO_DO: &str = "a reward model scores what it has not seen too high: look at `samples.jsonl`, then \
                          raise `kl_coef`, lower `learning_rate` or take fewer steps";

/// Looks at a stage's metrics, row by row.
#[derive(Debug, Default)]
pub struct Watch {
    rules: [Rule; 3],
}

/// What one rule has seen.
#[derive(Debug, Default)]
struct Rule {
    before: Option<f64>,
    /// The words of the last row that broke it.
    found: Option<String>,
}

impl Watch {
    /// One that has looked at `rows`.
    pub fn over<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut watch = Self::default();
        for row in rows {
            watch.look(row);
        }
        watch
    }

    /// Takes in the next row; returns what is new, each rule's words once a stage.
    pub fn look(&mut self, row: &Row) -> Vec<String> {
        let names = [TOP_RESPONSE, DISTINCT, EXACT_MATCH];
        let says: [fn(&str, &Row, f64, f64) -> Option<String>; 3] = [one_answer, few_answers, wrong_answers];
        let mut new = Vec::new();
        for ((rule, names), says) in self.rules.iter_mut().zip(names).zip(says) {
            let Some((name, now)) = names.iter().find_map(|name| Some((*name, row.get(name)?))) else {
                continue;
            };
            let before = *rule.before.get_or_insert(now);
            if let Some(words) = says(name, row, before, now) {
                let words = format!("step {}: {words}", row.step);
                if rule.found.replace(words.clone()).is_none() {
                    new.push(words);
                }
            }
        }
        new
    }

    /// The last words of each broken rule.
    pub fn warnings(&self) -> Vec<String> {
        self.rules.iter().filter_map(|rule| rule.found.clone()).collect()
    }
}

/// Which responses a metric is about and how many, if they are enough.
fn responses(name: &str, row: &Row) -> Option<String> {
    let (prefix, which) = if name.starts_with("eval_") { ("eval_", "held-out ") } else { ("", "") };
    let count = row.get(&format!("{prefix}val/num_responses"))?;
    (count >= RESPONSES).then(|| format!("{} {which}responses", number::count(count as u64)))
}

fn one_answer(name: &str, row: &Row, before: f64, now: f64) -> Option<String> {
    let responses = responses(name, row)?;
    (now >= TOP && now >= 2.0 * before).then(|| {
        format!(
            "responses collapse: {} of {responses} are one and the same, {} at the start; {WHAT_TO_DO}",
            percent(now),
            percent(before)
        )
    })
}

fn few_answers(name: &str, row: &Row, before: f64, now: f64) -> Option<String> {
    let responses = responses(name, row)?;
    (now <= before / 2.0).then(|| {
        format!(
            "responses collapse: {} of {responses} are different ones, {} at the start; {WHAT_TO_DO}",
            percent(now),
            percent(before)
        )
    })
}

fn wrong_answers(_: &str, _: &Row, before: f64, now: f64) -> Option<String> {
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
