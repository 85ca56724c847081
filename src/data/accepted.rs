//! `accepted_answers`: a row's list of all answers to its question that are right, whatever it is trained
//! on. Rows of any shape may have it.

use serde_json::{Map, Value};

use super::format::{python_list, texts};
use super::reason::RowReason;

pub const KEY: &str = "accepted_answers";

/// Takes the list out of a row. It is empty if the row has none. A text is the only item of the list, or
/// the whole list as JSON.
pub fn take(row: &mut Map<String, Value>) -> Result<Vec<String>, RowReason> {
    let wrong = |at: String, found: &Value| RowReason::wrong_type(at, found, "a text or a list of texts");
    let list = match row.shift_remove(KEY) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) if ["", "[]"].contains(&text.trim()) => return Ok(Vec::new()),
        Some(Value::String(text)) if python_list(&text) => {
            let accepted =
                "a text, or a list of texts as JSON (this is Python's form; write it with `json.dumps`)";
            return Err(RowReason::wrong_type(format!("/{KEY}"), &text.into(), accepted));
        }
        Some(Value::String(text)) => texts(&text).unwrap_or_else(|| vec![text.into()]),
        Some(Value::Array(texts)) => texts,
        Some(other) => return Err(wrong(format!("/{KEY}"), &other)),
    };
    let text = |(index, text): (usize, Value)| match text {
        Value::String(text) => Ok(text),
        other => Err(wrong(format!("/{KEY}/{index}"), &other)),
    };
    list.into_iter().enumerate().map(text).collect()
}

/// Whether `answer` is one of the accepted ones, apart from white space at its ends and the amount of it
/// between words.
pub fn is_accepted(answer: &str, accepted: &[String]) -> bool {
    let same = |text: &String| text.split_whitespace().eq(answer.split_whitespace());
    accepted.iter().any(same)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(value: Value) -> Result<Vec<String>, RowReason> {
        let mut row = Map::from_iter([("prompt".to_owned(), json!("q")), (KEY.to_owned(), value)]);
        let found = take(&mut row);
        assert_eq!(row.keys().collect::<Vec<_>>(), ["prompt"]);
        found
    }

    #[test]
    fn a_row_says_what_is_right() {
        assert_eq!(taken(json!(["a", "b"])), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(taken(json!("a")), Ok(vec!["a".to_owned()]));
        assert_eq!(taken(json!("[\"a\", \"b\"]")), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(taken(json!("[1, 2]")), Ok(vec!["[1, 2]".to_owned()]));
        for none in [json!([]), json!(""), json!("[]")] {
            assert_eq!(taken(none), Ok(Vec::new()));
        }
        let refused = |value| taken(value).unwrap_err().to_string();
        assert!(refused(json!("['a', 'b']")).contains("json.dumps"));
        assert!(refused(json!(["a", 4])).starts_with("wrong type at /accepted_answers/1: 4;"));
        assert!(refused(json!({ "text": ["a"] })).starts_with("wrong type at /accepted_answers: {"));
    }

    #[test]
    fn spaces_make_no_difference_and_words_do() {
        let accepted = ["A cow says moo.".to_owned(), "Moo.".to_owned()];
        assert!(is_accepted(" A cow  says moo.\n", &accepted));
        assert!(!is_accepted("A cow says moo. Moo.", &accepted));
        assert!(!is_accepted("", &accepted) && !is_accepted("Moo.", &[]));
    }
}
