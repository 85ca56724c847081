//! Losses of transformers 5.24 on tokens 30 to 99 (float32, mean over 69 predictions).

use serde_json::{Map, Value, json};

use super::folder::{Copy, EMBEDDING, HEAD, MODELS};

/// Loss of each golden model as it is, in the order of [`MODELS`].
pub const PLAIN: [f64; 4] = [6.4966, 6.3354, 6.3413, 6.5183];

pub fn assert_loss(copy: &Copy, want: f64, what: &str) {
    let loss = copy.loss().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!((loss - want).abs() < 1.01e-4, "{what}: {loss}, transformers' {want}");
}

/// `null` takes a key out.
fn config(model: &str, keys: &Value, absent: &[&str], want: f64) {
    let copy = Copy::of(model);
    copy.json("config.json", |config: &mut Map<String, Value>| {
        absent.iter().for_each(|key| drop(config.shift_remove(*key)));
        config.extend(keys.as_object().unwrap().clone());
    });
    assert_loss(&copy, want, &format!("{model} {keys} without {absent:?}"));
}

#[test]
fn defaults_nulls_and_older_keys_mean_what_they_mean_in_transformers() {
    for (model, plain) in MODELS.iter().zip(PLAIN) {
        for keys in [
            json!({ "rope_scaling": null }),
            json!({ "layer_types": null }),
            json!({ "hidden_act": "swish" }),
            json!({ "rope_scaling": {} }),
        ] {
            config(model, &keys, &[], plain);
        }
        let absent = ["attention_bias", "mlp_bias", "hidden_act", "initializer_range", "layer_types"];
        let same = if *model == "llama3" { vec!["head_dim", "num_key_value_heads"] } else { vec![] };
        config(model, &json!({ "num_key_value_heads": 2 }), &[&absent[..], &same].concat(), plain);
    }
    config("llama3", &json!({}), &["rope_parameters"], 6.5071);
    config("llama3", &json!({ "rope_parameters": null }), &[], 6.5071);
    config("llama3", &json!({}), &["rms_norm_eps"], 6.4965);
    config("llama3", &json!({ "head_dim": null }), &[], 6.4966);
    config("mistral", &json!({ "sliding_window": null }), &[], 6.3265);
    config("mistral", &json!({}), &["sliding_window"], 6.3265);
    config("mistral", &json!({ "sliding_window": 1 }), &[], 6.4405);
    config("qwen2", &json!({}), &["rope_parameters"], 6.3684);
    config("qwen2", &json!({ "attention_bias": null }), &[], 6.3413);
    config("qwen3", &json!({ "mlp_bias": true }), &[], 6.5183);
}

#[test]
fn windows_and_types_of_layers_are_those_of_transformers() {
    let window =
        |types: [&str; 2]| json!({ "sliding_window": 4, "use_sliding_window": true, "layer_types": types });
    let (full, sliding) = ("full_attention", "sliding_attention");
    config("qwen2", &window([sliding, sliding]), &[], 6.6329);
    config("qwen2", &window(["attention", sliding]), &[], 6.3425);
    config("mistral", &window([sliding, sliding]), &[], 6.4068);
    config("mistral", &window([full, sliding]), &[], 6.3172);
    config("llama3", &window([sliding, sliding]), &[], 6.4966);
    let all = json!({ "sliding_window": 4, "use_sliding_window": true, "max_window_layers": 0, "layer_types": null });
    config("qwen3", &all, &[], 6.3947);
}

#[test]
fn older_and_newer_rope_tables_are_those_of_transformers() {
    let linear = json!({ "type": "linear", "factor": 2.0 });
    config("llama3", &json!({ "rope_scaling": linear }), &[], 6.4994);
    config("llama3", &json!({ "rope_scaling": linear, "rope_theta": 1e6 }), &[], 6.4915);
    let llama3 = |theta: Option<f64>| {
        let mut table =
            json!({ "rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0 });
        if let Some(theta) = theta {
            table["rope_theta"] = theta.into();
        }
        table
    };
    config("llama3", &json!({ "rope_parameters": llama3(None) }), &[], 6.5063);
    let keys = json!({ "rope_parameters": llama3(Some(5e5)), "original_max_position_embeddings": 256 });
    config("llama3", &keys, &[], 6.4966);
    let both = json!({ "rope_parameters": { "type": "linear", "rope_type": "default", "factor": 8.0 } });
    config("llama3", &both, &[], 6.5071);
}

#[test]
fn a_head_beside_a_tie_counts_where_it_differs() {
    for (model, plain, untied) in [("qwen2", 6.3413, 5.297218799), ("qwen3", 6.5183, 5.778018951)] {
        let copy = Copy::of(model);
        copy.weights(|weights| drop(weights.insert(HEAD.to_owned(), weights[EMBEDDING].clone())));
        assert_eq!(copy.opened().unwrap(), Vec::<String>::new());
        assert_loss(&copy, plain, "equal heads");

        let copy = Copy::of(model);
        copy.weights(|weights| drop(weights.insert(HEAD.to_owned(), weights[EMBEDDING].rolled())));
        let warnings = copy.opened().unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("tie_word_embeddings"), "{warnings:?}");
        assert!(warnings[0].contains(HEAD), "{warnings:?}");
        assert_loss(&copy, untied, "another head");

        let copy = Copy::of(model);
        copy.weights(|weights| {
            let table = weights.remove(EMBEDDING).unwrap();
            weights.insert(HEAD.to_owned(), table);
        });
        assert_eq!(copy.opened().unwrap(), Vec::<String>::new());
        assert_loss(&copy, plain, "the table under the head's name");
    }
}
