//! Preferences in which an index, a winner or a sign says which answer is better.

use serde_json::{Map, Value};

use super::decode::RowReader;
use super::finish::Aside;
use super::index::Index;
use super::{Need, RowShape, wire};
use crate::data::reason::RowReason;
use crate::data::row::Content;

/// What may come before the letter of a winner.
const PREFIXES: [&str; 5] = ["model_", "response_", "conversation_", "assistant_", "answer_"];

/// The values that say which of two answers is better, for errors.
const BETTER: &str = "0 for `response_0`, 1 for `response_1`";
const WINNERS: &str = "`a`, `model_a` or `response_a`, the same with `b`, or `tie`";

/// Errors if the value of `key` cannot be an index.
fn check_index(row: &Map<String, Value>, key: &str, accepted: impl Fn() -> String) -> Result<(), RowReason> {
    match row.get(key) {
        Some(found) if Index::try_from(found.clone()).is_err() => {
            Err(RowReason::wrong_type(format!("/{key}"), found, accepted()))
        }
        _ => Ok(()),
    }
}

fn check_winner(row: &Map<String, Value>) -> Result<(), RowReason> {
    match row.get("winner") {
        Some(found) if !found.is_string() => Err(RowReason::wrong_type("/winner", found, WINNERS)),
        _ => Ok(()),
    }
}

impl RowReader<'_> {
    /// The pairs of a row that has its answers side by side.
    pub fn told(
        &mut self,
        row: Map<String, Value>,
        shape: RowShape,
    ) -> Result<Vec<Result<Content, RowReason>>, RowReason> {
        match shape {
            RowShape::ChosenIndex => self.chosen_index(row),
            RowShape::BetterResponse => {
                check_index(&row, "better_response_id", || BETTER.to_owned())?;
                let row: wire::BetterResponse = self.typed(row)?;
                let responses = [("/response_0", row.response_0), ("/response_1", row.response_1)];
                let first = match row.better_response_id {
                    Index(0) => true,
                    Index(1) => false,
                    Index(other) => {
                        return Err(RowReason::wrong_type("/better_response_id", &other.into(), BETTER));
                    }
                };
                let aside = self.aside(row.beside, "/prompt", row.margin, None)?;
                self.side_by_side(row.question, responses, first, aside)
            }
            RowShape::PreferenceStrength => {
                let row: wire::PreferenceStrength = self.typed(row)?;
                let responses = [("/response_1", row.response_1), ("/response_2", row.response_2)];
                let strength = row.preference_strength;
                let first = match strength.partial_cmp(&0.0) {
                    Some(std::cmp::Ordering::Equal) | None => {
                        self.tie(format!("`preference_strength` is {strength}"))?
                    }
                    Some(side) => side.is_lt(),
                };
                let aside = self.aside(row.beside, "/prompt", row.margin, None)?;
                self.side_by_side(row.question, responses, first, aside)
            }
            RowShape::Winner => {
                check_winner(&row)?;
                let row: wire::Winner = self.typed(row)?;
                let responses = [("/response_a", row.response_a), ("/response_b", row.response_b)];
                let first = self.first_won(&row.winner)?;
                let aside = self.aside(row.beside, "/prompt", row.margin, None)?;
                self.side_by_side(row.question, responses, first, aside)
            }
            _ => {
                check_winner(&row)?;
                let row: wire::ConversationWinner = self.typed(row)?;
                let first = self.first_won(&row.winner)?;
                let a = self.reader.messages(row.conversation_a, "/conversation_a")?;
                let b = self.reader.messages(row.conversation_b, "/conversation_b")?;
                let (chosen, rejected) = if first { (a, b) } else { (b, a) };
                let aside = self.aside(row.beside, "/conversation_a", row.margin, None)?;
                self.finish(None, chosen, vec![rejected], aside)
            }
        }
    }

    fn chosen_index(
        &mut self,
        row: Map<String, Value>,
    ) -> Result<Vec<Result<Content, RowReason>>, RowReason> {
        let keys: Vec<String> = row.keys().cloned().collect();
        let place = || {
            let answers = row.get("responses").and_then(Value::as_array).map_or(0, Vec::len);
            format!("a place from 0 in `responses`, which has {answers}")
        };
        check_index(&row, "chosen_index", place)?;
        check_index(&row, "rejected_index", place)?;
        let row: wire::ChosenIndex = self.typed(row)?;
        let prompt = self.question(row.question)?;
        let prompt = prompt.ok_or(RowReason::Missing { pointer: "/prompt".into(), keys })?;
        let mut answers = Vec::with_capacity(row.responses.len());
        for (place, response) in row.responses.into_iter().enumerate() {
            answers.push(self.reader.answer(response, &format!("/responses/{place}"))?);
        }
        let within = |pointer: &str, Index(index): Index| match index < answers.len() {
            true => Ok(index),
            false => {
                let accepted = format!("a place from 0 in `responses`, which has {}", answers.len());
                Err(RowReason::wrong_type(pointer, &index.into(), accepted))
            }
        };
        let chosen = within("/chosen_index", row.chosen_index)?;
        let rejected = match row.rejected_index {
            None => (0..answers.len()).filter(|place| *place != chosen).collect(),
            Some(index) => vec![within("/rejected_index", index)?],
        };
        if rejected == [chosen] {
            let why = "both name the same answer";
            return Err(RowReason::contradiction("/rejected_index", "/chosen_index", why));
        }
        let rejected: Vec<_> = rejected.into_iter().map(|place| answers[place].clone()).collect();
        if rejected.is_empty() && self.need != Need::Sft && self.need != Need::Prompt {
            let found = format!("a list of {}", answers.len()).into();
            return Err(RowReason::wrong_type("/responses", &found, "two answers or more"));
        }
        let chosen = answers.swap_remove(chosen);
        let rejected = if rejected.is_empty() { vec![Vec::new()] } else { rejected };
        let aside = self.aside(row.beside, "/prompt", row.margin, None)?;
        self.finish(Some(prompt), chosen, rejected, aside)
    }

    fn side_by_side(
        &mut self,
        question: wire::Question,
        [first, second]: [(&str, wire::Turns); 2],
        first_is_better: bool,
        aside: Aside,
    ) -> Result<Vec<Result<Content, RowReason>>, RowReason> {
        let names = [first.0, second.0].map(|pointer| pointer[1..].to_owned());
        let prompt = self.question(question)?;
        let prompt = prompt.ok_or(RowReason::Missing { pointer: "/prompt".into(), keys: names.to_vec() })?;
        let (better, worse) = if first_is_better { (first, second) } else { (second, first) };
        let chosen = self.reader.answer(better.1, better.0)?;
        let rejected = self.reader.answer(worse.1, worse.0)?;
        self.finish(Some(prompt), chosen, vec![rejected], aside)
    }

    /// Whether the first of two answers won.
    fn first_won(&self, winner: &str) -> Result<bool, RowReason> {
        let lower = winner.trim().to_lowercase();
        let letter = PREFIXES.iter().find_map(|prefix| lower.strip_prefix(prefix)).unwrap_or(&lower);
        match letter {
            "a" => Ok(true),
            "b" => Ok(false),
            other
                if other.starts_with("tie")
                    || ["draw", "both_bad", "bothbad", "neither"].contains(&other) =>
            {
                self.tie(format!("`winner` is `{winner}`"))
            }
            _ => Err(RowReason::wrong_type("/winner", &winner.into(), WINNERS)),
        }
    }

    /// A tie, of which only the question can be used.
    fn tie(&self, found: String) -> Result<bool, RowReason> {
        match self.need {
            Need::Prompt => Ok(true),
            _ => Err(RowReason::Tie(found)),
        }
    }
}
