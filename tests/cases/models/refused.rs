//! Folders that are refused, with the words that name file, key or tensor, and the remedy.

use std::fs;

use serde_json::{Value, json};

use super::folder::{Copy, EMBEDDING, HEAD, MODELS, Stored};

/// Asserts that a check refuses the folder, saying all of `says`, and that a run does not load it.
fn assert_refused(copy: &Copy, says: &[&str], what: &str) {
    let error = copy.opened().expect_err(what);
    for words in says {
        assert!(error.contains(words), "{what}: {error}");
    }
    assert!(copy.loss().is_err(), "{what}");
}

#[test]
fn values_of_the_wrong_kind_are_named_with_file_and_key() {
    let wrong = [
        ("attention_bias", json!(null), "llama3", "true or false"),
        ("tie_word_embeddings", json!("false"), "qwen2", "true or false"),
        ("use_sliding_window", json!(null), "qwen3", "true or false"),
        ("hidden_size", json!(64.0), "mistral", "a whole number"),
        ("hidden_size", json!(null), "llama3", "a whole number"),
        ("hidden_size", json!(0), "llama3", "a whole number"),
        ("num_attention_heads", json!(0), "llama3", "a whole number"),
        ("num_hidden_layers", json!(-1), "llama3", "a whole number"),
        ("num_hidden_layers", json!(100_000_000), "llama3", "number of layers"),
        ("vocab_size", json!("512"), "qwen2", "a whole number"),
        ("num_key_value_heads", json!(null), "mistral", "a whole number"),
        ("head_dim", json!(null), "qwen3", "a whole number"),
        ("head_dim", json!(7), "llama3", "even number"),
        ("rms_norm_eps", json!("1e-5"), "llama3", "a number"),
        ("rms_norm_eps", json!(null), "qwen3", "a number"),
        ("initializer_range", json!(null), "qwen3", "a number"),
        ("max_window_layers", json!(null), "qwen2", "a whole number"),
        ("sliding_window", json!(0), "mistral", "a whole number"),
        ("hidden_act", json!(null), "llama3", "a text"),
        ("layer_types", json!("full_attention"), "qwen3", "a list of texts"),
        ("eos_token_id", json!("x"), "llama3", "a token id"),
        ("rope_parameters", json!("x"), "llama3", "an object"),
        ("rope_parameters", json!({ "rope_theta": null }), "llama3", "a number"),
        ("model_type", json!(null), "llama3", "supported: llama"),
        ("use_cache", json!("x"), "qwen3", "true or false"),
        ("use_cache", json!(null), "llama3", "true or false"),
        ("max_position_embeddings", json!("1024"), "mistral", "a whole number"),
        ("max_position_embeddings", json!(1024.0), "qwen2", "a whole number"),
        ("pretraining_tp", json!("1"), "llama3", "a whole number"),
        ("num_labels", json!("1"), "llama3", "a whole number"),
        ("id2label", json!("x"), "llama3", "a table of labels"),
        ("attention_dropout", json!("0"), "qwen2", "a number"),
    ];
    for (key, value, model, says) in wrong {
        let copy = Copy::of(model);
        copy.config(json!({ key: value }));
        assert_refused(&copy, &["config.json", &format!("`{key}"), says], &format!("{model} {key} {value}"));
    }
    let copy = Copy::of("llama3");
    copy.config(json!({ "attention_bias": null, "hidden_size": "64", "rms_norm_eps": null }));
    assert_refused(&copy, &["attention_bias", "hidden_size", "rms_norm_eps"], "all at once");
    fs::write(copy.file("config.json"), "{").unwrap();
    assert_refused(&copy, &["config.json", "is not JSON"], "no JSON");
}

#[test]
fn what_the_decoder_does_not_compute_is_refused_by_name() {
    let rope = |kind: &str| json!({ "rope_scaling": { "rope_type": kind, "factor": 4.0, "original_max_position_embeddings": 256 } });
    let cases: [(&str, Value, &str); 14] = [
        ("llama3", json!({ "attention_bias": true }), "attention_bias"),
        ("qwen3", json!({ "attention_bias": true }), "attention_bias"),
        ("llama3", json!({ "mlp_bias": true }), "mlp_bias"),
        ("llama3", json!({ "is_causal": false }), "is_causal"),
        ("llama3", json!({ "hidden_act": "gelu" }), "gelu"),
        ("llama3", json!({ "quantization_config": { "quant_method": "gptq" } }), "quantization_config"),
        ("llama3", json!({ "partial_rotary_factor": 0.5 }), "partial_rotary_factor"),
        ("llama3", json!({ "model_type": "gemma" }), "gemma"),
        ("qwen2", rope("yarn"), "yarn"),
        ("llama3", rope("dynamic"), "dynamic"),
        ("llama3", rope("longrope"), "longrope"),
        (
            "qwen3",
            json!({ "rope_parameters": { "full_attention": { "rope_type": "default" } } }),
            "by layer type",
        ),
        ("qwen2", json!({ "layer_types": ["full_attention"] }), "1 entries for 2 layers"),
        ("qwen2", json!({ "layer_types": ["full_attention", "linear_attention"] }), "linear_attention"),
    ];
    for (model, keys, says) in cases {
        let copy = Copy::of(model);
        copy.config(keys);
        assert_refused(&copy, &["config.json", says], says);
    }
}

#[test]
fn weights_that_change_the_model_and_that_nothing_reads_are_refused() {
    let extra: [(&str, &[&str]); 7] = [
        ("model.layers.2.self_attn.q_proj.weight", &["num_hidden_layers", "set `num_hidden_layers` to 3"]),
        ("model.layers.0.self_attn.o_proj.bias", &["biases", "attention_bias"]),
        ("lm_head.bias", &["biases"]),
        ("model.layers.1.post_feedforward_layernorm.weight", &["has no place", "model_type"]),
        ("model.embed_positions.weight", &["has no place"]),
        ("layers.0.self_attn.sinks", &["has no place"]),
        ("model.layers.0.self_attn.q_proj.lora_A.default.weight", &["merge"]),
    ];
    for (name, says) in extra {
        let copy = Copy::of("llama3");
        copy.weights(|weights| drop(weights.insert(name.to_owned(), Stored::zeros(&[64]))));
        assert_refused(&copy, &[&[name][..], says].concat(), name);
    }
    let norms = Copy::of("qwen2");
    norms.weights(|weights| {
        drop(weights.insert("model.layers.0.self_attn.q_norm.weight".to_owned(), Stored::zeros(&[16])));
    });
    assert_refused(&norms, &["q_norm", "`qwen2` model"], "norms of another family");
}

#[test]
fn files_that_are_not_whole_are_named() {
    for (model, shards) in [("llama3", 1), ("qwen2", 3)] {
        let copy = Copy::of(model);
        if shards > 1 {
            copy.shards(shards);
        }
        let name = if shards > 1 { "model-00002-of-00003.safetensors" } else { "model.safetensors" };
        let bytes = fs::read(copy.file(name)).unwrap();
        for cut in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
            fs::write(copy.file(name), &bytes[..cut]).unwrap();
            assert_refused(&copy, &[name, "get the file again"], &format!("{cut} bytes"));
        }
        fs::write(copy.file(name), [&bytes[..], b"tail"].concat()).unwrap();
        assert_refused(&copy, &[name, "4 bytes more"], "a tail");
        fs::remove_file(copy.file(name)).unwrap();
        assert_refused(&copy, &[name], "a missing file");
    }
    let copy = Copy::of("qwen3");
    copy.shards(2);
    let index = "model.safetensors.index.json";
    for (text, says) in [("{}", "weight_map"), ("[", "is not JSON"), (r#"{"weight_map": {"a": 1}}"#, "`a`")] {
        fs::write(copy.file(index), text).unwrap();
        assert_refused(&copy, &[index, says], text);
    }
    fs::remove_file(copy.file(index)).unwrap();
    assert_refused(&copy, &["model-00001-of-00002.safetensors", "index"], "shards without an index");
    let copy = Copy::of("qwen3");
    fs::rename(copy.file("model.safetensors"), copy.file("pytorch_model.bin")).unwrap();
    assert_refused(&copy, &["pytorch_model.bin", "save_pretrained"], "torch's own format");
}

#[test]
fn weights_that_do_not_fit_the_config_are_named_with_the_keys_to_look_at() {
    for model in MODELS {
        let copy = Copy::of(model);
        copy.config(json!({ "vocab_size": 500, "pad_token_id": null }));
        assert_refused(&copy, &[EMBEDDING, "[512, 64]", "[500, 64]", "`vocab_size`"], model);

        let copy = Copy::of(model);
        copy.config(json!({ "num_hidden_layers": 3, "layer_types": null }));
        assert_refused(&copy, &["the weights have 2 layers", "num_hidden_layers"], model);

        let copy = Copy::of(model);
        copy.config(json!({ "num_hidden_layers": 1, "layer_types": null }));
        assert_refused(&copy, &["model.layers.1.", "set `num_hidden_layers` to 2"], model);

        let name = "model.layers.1.mlp.up_proj.weight";
        let copy = Copy::of(model);
        copy.weights(|weights| drop(weights.remove(name)));
        assert_refused(&copy, &[name, "lack 1 of"], model);

        let copy = Copy::of(model);
        copy.weights(|weights| *weights.get_mut(name).unwrap() = weights[name].rows(159));
        assert_refused(&copy, &[name, "[159, 64]", "`intermediate_size`"], model);

        let copy = Copy::of(model);
        copy.weights(|weights| *weights.get_mut(name).unwrap() = weights[name].as_integers());
        assert_refused(&copy, &[name, "I32", "floats"], model);

        let copy = Copy::of(model);
        copy.weights(|weights| {
            *weights =
                weights.iter().map(|(name, stored)| (format!("module.{name}"), stored.clone())).collect();
        });
        assert_refused(&copy, &["take the `module.` off"], model);
    }
    let copy = Copy::of("qwen2");
    copy.weights(|weights| drop(weights.insert(HEAD.to_owned(), weights[EMBEDDING].rows(500))));
    assert_refused(&copy, &[HEAD, "[500, 64]"], "a tied head of another shape");
}
