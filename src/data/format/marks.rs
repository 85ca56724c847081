//! Turns and rows that are marked as not to be trained: `loss: false` (ms-swift), `weight: 0` (OpenAI),
//! `training: false` (axolotl), `train: false`.

use serde_json::{Map, Value};

use crate::data::reason::RowReason;

/// Keys that say whether a turn is trained.
pub const MARKS: [&str; 4] = ["loss", "weight", "training", "train"];

/// Takes the marks out of a turn's keys. Returns whether the turn, if it is the assistant's, is trained.
pub fn take(extra: &mut Map<String, Value>, role: &str, pointer: &str) -> Result<bool, RowReason> {
    let mut trained: Option<(bool, &str)> = None;
    for key in MARKS {
        let Some(value) = extra.shift_remove(key).filter(|value| !value.is_null()) else { continue };
        let at = format!("{pointer}/{key}");
        let says = match (&value, value.as_f64()) {
            (Value::Bool(says), _) => *says,
            (_, Some(0.0)) => false,
            (_, Some(1.0)) => true,
            _ => {
                return Err(RowReason::wrong_type(
                    at,
                    &value,
                    "`true` or 1, `false` or 0: a turn is trained or it is not",
                ));
            }
        };
        if says && role != "assistant" {
            let accepted = format!("`false`, or no such key: turns of `{role}` are not trained");
            return Err(RowReason::wrong_type(at, &value, accepted));
        }
        match trained {
            Some((before, other)) if before != says => {
                let why = "one says that the turn is trained, the other that it is not";
                return Err(RowReason::contradiction(&at, &format!("{pointer}/{other}"), why));
            }
            _ => trained = Some((says, key)),
        }
    }
    Ok(trained.is_none_or(|(says, _)| says))
}

/// Takes the marks out of a row's own keys. Errors if it is not to be trained. A value that is neither yes
/// nor no (a loss that was measured, a weight between 0 and 1) is not such a mark.
pub fn take_row(row: &mut Map<String, Value>) -> Result<(), RowReason> {
    let mut trained: Option<&str> = None;
    let mut untrained: Option<(&str, Value)> = None;
    for key in MARKS {
        let Some(value) = row.get(key) else { continue };
        let text = value.as_str().map(|text| text.trim().to_lowercase());
        let says = match (value, value.as_f64(), text.as_deref()) {
            (Value::Bool(says), ..) => *says,
            (_, Some(0.0), _) | (.., Some("false" | "0" | "0.0")) => false,
            (_, Some(1.0), _) | (.., Some("true" | "1" | "1.0")) => true,
            _ => continue,
        };
        let value = row.shift_remove(key).unwrap_or_default();
        match says {
            true => trained = trained.or(Some(key)),
            false => untrained = untrained.or(Some((key, value))),
        }
    }
    match (trained, untrained) {
        (_, None) => Ok(()),
        (None, Some((key, value))) => {
            Err(RowReason::RowNotTrained { pointer: format!("/{key}"), value: value.to_string() })
        }
        (Some(other), Some((key, _))) => {
            let why = "one says that the row is trained, the other that it is not";
            Err(RowReason::contradiction(&format!("/{key}"), &format!("/{other}"), why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn taken(turn: Value, role: &str) -> Result<bool, String> {
        let mut extra = turn.as_object().cloned().unwrap_or_default();
        let trained = take(&mut extra, role, "/m/1").map_err(|reason| reason.to_string());
        assert!(trained.is_err() || MARKS.iter().all(|mark| !extra.contains_key(*mark)));
        trained
    }

    #[test]
    fn marks_say_whether_a_turn_is_trained() {
        for (turn, trained) in [
            (json!({}), true),
            (json!({"loss": false}), false),
            (json!({"weight": 0}), false),
            (json!({"weight": 0.0, "training": false}), false),
            (json!({"train": true, "loss": null}), true),
        ] {
            assert_eq!(taken(turn.clone(), "assistant"), Ok(trained), "{turn}");
        }
        assert_eq!(taken(json!({"loss": false}), "user"), Ok(false));
    }

    #[test]
    fn a_row_that_is_not_to_be_trained_is_told() {
        let taken = |row: Value| {
            let mut row = row.as_object().cloned().unwrap_or_default();
            take_row(&mut row).map(|()| row.len()).map_err(|reason| reason.to_string())
        };
        for (row, left) in [
            (json!({"prompt": "q"}), 1),
            (json!({"weight": 1, "loss": true, "train": "True"}), 0),
            (json!({"weight": 0.5, "loss": 1.25, "train": "yes"}), 3),
        ] {
            assert_eq!(taken(row.clone()), Ok(left), "{row}");
        }
        for (row, said) in [
            (json!({"weight": 0}), "the row is not to be trained: /weight is 0"),
            (json!({"loss": false, "weight": 0}), "the row is not to be trained: /loss is false"),
            (json!({"train": "False"}), "the row is not to be trained: /train is \"False\""),
            (
                json!({"loss": true, "weight": 0.0}),
                "/weight contradicts /loss: one says that the row is trained, the other that it is not",
            ),
        ] {
            assert_eq!(taken(row.clone()), Err(said.to_owned()), "{row}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let error = |turn: Value, role| taken(turn, role).unwrap_err();
        assert!(error(json!({"weight": 0.5}), "assistant").starts_with("wrong type at /m/1/weight: 0.5;"));
        assert!(error(json!({"loss": "no"}), "assistant").starts_with("wrong type at /m/1/loss"));
        assert!(error(json!({"loss": true}), "user").contains("turns of `user` are not trained"));
        assert_eq!(
            error(json!({"loss": true, "weight": 0}), "assistant"),
            "/m/1/weight contradicts /m/1/loss: one says that the turn is trained, the other that it is not"
        );
    }
}
