//! Options of an adapter's configuration: what nobody reads is refused or warned of, by name.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::made::Made;
use super::workspace::Workspace;

const ROWS: &str = r#"{"prompt": "Is it so?", "completion": "yes"}"#;

const RECIPE: &str = r#"
name = "a"
[model]
base = "$MODEL/llama3"
adapter = "adapter"
[data.d]
source = "rows.jsonl"
[[stage]]
name = "sft"
kind = "sft"
data = "d"
max_steps = 1
"#;

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("rows.jsonl", ROWS);
    workspace.recipe(RECIPE);
    workspace
}

/// Options that change what an adapter computes, as PEFT writes them.
fn unsupported() -> Vec<(&'static str, Value)> {
    let mut options = vec![
        ("use_dora", json!(true)),
        ("lora_bias", json!(true)),
        ("bias", json!("all")),
        ("fan_in_fan_out", json!(true)),
        ("alora_invocation_tokens", json!([510])),
        ("use_qalora", json!(true)),
        ("layer_replication", json!([[0, 2], [1, 2]])),
        ("megatron_config", json!({ "hidden_size": 64 })),
        ("trainable_token_indices", json!({ "embed_tokens": [1] })),
        ("target_parameters", json!(["mlp.experts.down_proj"])),
        ("use_bdlora", json!({ "nblocks": 2 })),
        ("kasa_config", json!({ "beta": 1e-4 })),
        ("monteclora_config", json!({ "num_samples": 8 })),
        ("arrow_config", json!({ "top_k": 3 })),
        ("modules_to_save", json!(["norm"])),
        ("peft_type", json!("LOHA")),
    ];
    let starts = ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "true"];
    options.extend(starts.map(|start| ("init_lora_weights", json!(start))));
    options
}

#[test]
fn options_that_are_not_supported_are_refused_by_name_before_the_run() {
    let workspace = workspace();
    for (key, value) in unsupported() {
        Made::plain("llama3").with(key, value.clone()).write(&workspace.path("adapter"));
        for command in ["check", "run"] {
            let said = workspace.run(&[command, "recipe.toml"]);
            assert!(!said.ok && said.err.contains(key), "{key} = {value}: {}", said.err);
        }
    }
}

#[test]
fn tensors_of_options_that_are_not_supported_are_refused_by_name() {
    let workspace = workspace();
    let q = "model.layers.0.self_attn.q_proj";
    for (name, why) in [
        (format!("{q}.lora_magnitude_vector"), "DoRA"),
        (format!("{q}.lora_B.bias"), "lora_bias"),
        (format!("{q}.base_layer.bias"), "bias"),
        ("model.norm.weight".to_owned(), "no place"),
        ("classifier.weight".to_owned(), "no place"),
    ] {
        Made::plain("llama3").tensor(&name, &[64]).write(&workspace.path("adapter"));
        let said = workspace.check();
        assert!(!said.ok && said.err.contains(&name) && said.err.contains(why), "{}", said.err);
    }
}

#[test]
fn options_that_change_nothing_are_read() {
    let workspace = workspace();
    for (key, value) in [
        ("init_lora_weights", json!("gaussian")),
        ("init_lora_weights", json!("eva")),
        ("init_lora_weights", json!("orthogonal")),
        ("init_lora_weights", json!(false)),
        ("peft_version", json!("0.99")),
        ("revision", json!("main")),
        ("lora_dropout", json!(0.1)),
        ("auto_mapping", json!({ "base_model_class": "LlamaForCausalLM" })),
    ] {
        Made::plain("llama3").with(key, value).write(&workspace.path("adapter"));
        let said = workspace.check();
        assert!(said.ok && !said.err.contains("warning"), "{key}: {}", said.err);
    }
}

/// Values of all sorts, on and off.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,6}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(|list| json!(list)),
        Just(json!({})),
        Just(json!({ "a": 1 })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A key that nobody knows is named, whatever its value.
    #[test]
    fn an_unknown_key_is_named(key in "[a-z]{3,8}_[a-z]{3,8}_zz", value in any_value()) {
        let workspace = workspace();
        Made::plain("llama3").with(&key, value).write(&workspace.path("adapter"));
        let said = workspace.check();
        prop_assert!(said.err.contains(&format!("`{key}`")), "{}", said.err);
        prop_assert!(!said.ok || said.err.contains("warning"), "{}", said.err);
    }
}
