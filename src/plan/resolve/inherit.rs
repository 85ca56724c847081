//! `[defaults]` into a stage: keys that its kind has and that it does not write itself. The keys of
//! `lora` count one by one.

use serde_json::Value;

use crate::recipe::schema;

/// A stage that writes the first key does not inherit the second, which would contradict it.
const INSTEAD: [(&str, &str); 6] = [
    ("warmup_steps", "warmup_ratio"),
    ("warmup_ratio", "warmup_steps"),
    ("num_train_epochs", "max_steps"),
    ("num_train_epochs", "total_episodes"),
    ("total_episodes", "max_steps"),
    ("loss_type", "loss_weights"),
];

/// Fills the keys of `defaults` into the table `stage`.
pub fn fill(stage: &mut Value, defaults: &Value) {
    let (Value::Object(stage), Value::Object(defaults)) = (stage, defaults) else {
        return;
    };
    let own: Vec<String> = stage.keys().cloned().collect();
    let has = |key: &str| own.iter().any(|own| own == key);
    let kind = stage.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (key, value) in defaults {
        let owners = schema::kinds_with(key);
        let is_foreign = !owners.is_empty() && !owners.contains(&kind.as_str());
        let is_replaced = INSTEAD.iter().any(|(first, second)| second == key && has(first));
        if is_foreign || is_replaced {
            continue;
        }
        match (stage.get_mut(key), value) {
            (None, _) => {
                stage.insert(key.clone(), value.clone());
            }
            (Some(Value::Object(own)), Value::Object(inherited)) => {
                for (key, value) in inherited {
                    own.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            (Some(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stages_own_key_wins_and_lora_is_merged() {
        let defaults = json!({
            "beta": 0.2, "batch_size": 4, "warmup_ratio": 0.1, "max_steps": 9,
            "lora": { "rank": 4, "alpha": 8.0 }
        });
        let mut sft = json!({ "kind": "sft", "lora": { "rank": 2 }, "warmup_steps": 3 });
        fill(&mut sft, &defaults);
        assert_eq!(
            sft,
            json!({
                "kind": "sft", "lora": { "rank": 2, "alpha": 8.0 }, "warmup_steps": 3,
                "batch_size": 4, "max_steps": 9
            })
        );
        let mut dpo = json!({ "kind": "dpo", "num_train_epochs": 1.0 });
        fill(&mut dpo, &defaults);
        assert_eq!(
            dpo,
            json!({
                "kind": "dpo", "num_train_epochs": 1.0, "beta": 0.2, "batch_size": 4,
                "warmup_ratio": 0.1, "lora": { "rank": 4, "alpha": 8.0 }
            })
        );
    }
}
