//! `exact_match`: of the questions whose row names right answers, the share that the model answers, greedily,
//! with one of these. An answer that does not end counts as wrong.

use anyhow::Result;

use crate::data::accepted::is_accepted;
use crate::train::Progress;

/// Answers that are generated at once.
const BATCH: usize = 32;

/// The right answers to questions, which are known by their number.
pub struct Accepted<'a> {
    /// The right answers to each question; empty where its row names none.
    pub answers: &'a [Vec<String>],
    /// Tokens that end an answer.
    pub end_tokens: &'a [u32],
    pub decode: &'a dyn Fn(&[u32]) -> Result<String>,
}

impl Accepted<'_> {
    /// The share, or `None` where no row names right answers or the model writes no text. `answer` gives the
    /// greedy answers to the questions of these numbers, each of at most that many tokens; a model that
    /// writes no text gives none.
    pub fn exact_match(
        &self,
        mut answer: impl FnMut(&[usize], usize) -> Result<Vec<Vec<u32>>>,
        progress: &mut Progress,
    ) -> Result<Option<f64>> {
        let known: Vec<usize> =
            (0..self.answers.len()).filter(|&row| !self.answers[row].is_empty()).collect();
        // Every token but the end token stands for a byte or more.
        let longest = self.answers.iter().flatten().map(String::len).max().unwrap_or(0) + 1;
        let (mut right, mut asked) = (0, 0);
        for rows in known.chunks(BATCH) {
            progress(asked as u64, known.len() as u64)?;
            let answers = answer(rows, longest)?;
            for (&row, tokens) in rows.iter().zip(&answers) {
                let ended = tokens.last().is_some_and(|last| self.end_tokens.contains(last));
                right += usize::from(ended && is_accepted(&(self.decode)(tokens)?, &self.answers[row]));
            }
            asked += answers.len();
        }
        Ok((asked > 0).then(|| right as f64 / asked as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u32 = 0;

    /// Tokens are bytes.
    fn share(accepted: &[&[&str]], said: &[&str]) -> Option<f64> {
        let answers: Vec<Vec<String>> =
            accepted.iter().map(|texts| texts.iter().map(|&text| text.to_owned()).collect()).collect();
        let decode = |tokens: &[u32]| {
            Ok(tokens.iter().filter(|&&token| token != END).map(|&token| token as u8 as char).collect())
        };
        let accepted = Accepted { answers: &answers, end_tokens: &[END], decode: &decode };
        let answer = |rows: &[usize], most: usize| {
            let whole = |&row: &usize| said[row].bytes().map(u32::from).chain([END]).take(most).collect();
            Ok(rows.iter().map(whole).collect())
        };
        accepted.exact_match(answer, &mut |_, _| Ok(())).unwrap()
    }

    #[test]
    fn counts_whole_answers_of_rows_that_name_right_ones() {
        assert_eq!(share(&[&["yes", "aye"], &["no"], &[]], &["aye", "yes", "no"]), Some(0.5));
        // An answer longer than the longest right one is cut, so it is wrong.
        assert_eq!(share(&[&["yes"]], &["yes and no"]), Some(0.0));
        assert_eq!(share(&[&["yes"]], &["yes"]), Some(1.0));
        assert_eq!(share(&[&[], &[]], &["yes", "no"]), None);
        assert_eq!(share(&[], &[]), None);
    }

    #[test]
    fn more_questions_than_are_asked_at_once_all_count() {
        let accepted: Vec<&[&str]> = vec![&["yes"]; 100];
        let said: Vec<&str> = (0..100).map(|row| if row < 75 { "yes" } else { "no" }).collect();
        assert_eq!(share(&accepted, &said), Some(0.75));
    }

    #[test]
    fn a_model_that_does_not_speak_has_no_share() {
        let answers = [vec!["yes".to_owned()]];
        let decode = |_: &[u32]| Ok(String::new());
        let accepted = Accepted { answers: &answers, end_tokens: &[END], decode: &decode };
        assert_eq!(accepted.exact_match(|_, _| Ok(Vec::new()), &mut |_, _| Ok(())).unwrap(), None);
    }
}
