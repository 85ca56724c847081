//! Turns that a row marks as not to be trained: `loss: false` (ms-swift), `weight: 0` (OpenAI),
//! `training: false` (axolotl), `train: false`.

use serde_json::{Map, Value};

use crate::data::reason::Reason;

/// Keys that say whether a turn is trained.
pub const MARKS: [&str; 4] = ["loss", "weight", "training", "train"];

/// Takes the marks out of a turn's keys: whether it is trained, where it is the assistant's.
pub fn take(extra: &mut Map<String, Value>, role: &str, pointer: &str) -> Result<bool, Reason> {
    let mut trained: Option<(bool, &str)> = None;
    for key in MARKS {
        let Some(value) = extra.shift_remove(key).filter(|value| !value.is_null()) else { continue };
        let at = format!("{pointer}/{key}");
        let says = match (&value, value.as_f64()) {
            (Value::Bool(says), _) => *says,
            (_, Some(0.0)) => false,
            (_, Some(1.0)) => true,
            _ => {
                return Err(Reason::wrong_type(
                    at,
                    &value,
                    "`true` or 1, `false` or 0: a turn is trained or it is not",
                ));
            }
        };
        if says && role != "assistant" {
            let accepted = format!("`false`, or no such key: turns of `{role}` are not trained");
            return Err(Reason::wrong_type(at, &value, accepted));
        }
        match trained {
            Some((before, other)) if before != says => {
                let why = "one says that the turn is trained, the other that it is not";
                return Err(Reason::contradiction(&at, &format!("{pointer}/{other}"), why));
            }
            _ => trained = Some((says, key)),
        }
    }
    Ok(trained.is_none_or(|(says, _)| says))
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
