//! What `config.json` means, family by family: defaults as transformers has them, and what of it the
//! decoder does not have.

use serde_json::Value;

use super::keys::{Keys, short};
use crate::model::arch::{Architecture, KvHeads, SlidingWindow, Traits};
use crate::model::fault::Fault;

/// No model has more layers.
const MOST_LAYERS: usize = 1 << 14;

/// The family, if the decoder computes it.
pub fn architecture(keys: &Keys) -> Result<Architecture, Fault> {
    let found = keys.get("model_type").map_or("not there".to_owned(), short);
    let known = keys.get("model_type").and_then(Value::as_str).and_then(Architecture::of_model_type);
    known.ok_or_else(|| {
        Fault::new(format!("`model_type` is {found}, which is not supported"))
            .with_help(format!("supported: {}", Architecture::ALL.map(Architecture::model_type).join(", ")))
    })
}

/// Notes features that change what a model computes, and that the decoder does not have.
pub fn refuse_unsupported(keys: &mut Keys, traits: &Traits) {
    for key in traits.unsupported_biases {
        if keys.flag(key, false) {
            keys.refuse(format!("`{key}` is not supported"), "choose a model without such biases");
        }
    }
    if keys.get("quantization_config").is_some_and(|value| !value.is_null()) {
        let message = "quantised weights cannot be trained (`quantization_config`)";
        keys.refuse(message, "use the unquantised model");
    }
    match keys.text("hidden_act", "silu") {
        // two names of one function
        "silu" | "swish" => {}
        other => keys.refuse(format!("hidden_act `{other}` is not supported"), "supported: silu"),
    }
    if keys.get("is_causal").is_some_and(|value| *value != Value::Bool(true)) {
        let message = "`is_causal` is not true: attention to later tokens is not supported";
        keys.refuse(message, "take the key out if the model is a usual decoder");
    }
    if keys.get("per_layer_config").is_some_and(|value| !value.is_null()) {
        let message = "layers of different shapes (`per_layer_config`) are not supported";
        keys.refuse(message, "choose a model whose layers are alike");
    }
}

/// The number of layers.
pub fn layers(keys: &mut Keys) -> usize {
    let layers = keys.size("num_hidden_layers", None);
    if layers > MOST_LAYERS {
        keys.refuse(
            format!("`num_hidden_layers` is {layers}"),
            "give the number of layers that the weights have",
        );
        return 1;
    }
    layers
}

/// Heads of keys and values.
pub fn kv_heads(keys: &mut Keys, traits: &Traits, heads: usize) -> usize {
    let default = match traits.kv_heads {
        KvHeads::AsQueries => heads,
        KvHeads::Fixed(number) => number,
    };
    let is_null = keys.is_null("num_key_value_heads") && traits.kv_heads_may_be_null;
    let kv_heads = if is_null { heads } else { keys.size("num_key_value_heads", Some(default)) };
    if !heads.is_multiple_of(kv_heads) {
        let message = format!(
            "{heads} attention heads cannot share {kv_heads} key-value heads (`num_key_value_heads`)"
        );
        keys.refuse(message, format!("without that key, a `{}` model has {default}", traits.model_type));
        return heads;
    }
    kv_heads
}

/// The width of a head.
pub fn head_dim(keys: &mut Keys, traits: &Traits, hidden_size: usize, heads: usize) -> usize {
    let shared = hidden_size / heads;
    let head_dim = match keys.is_null("head_dim") && traits.head_dim_may_be_null {
        true => shared,
        false => keys.size("head_dim", Some(traits.head_dim.unwrap_or(shared))),
    };
    if head_dim == 0 || !head_dim.is_multiple_of(2) {
        let message = format!("`head_dim` is {head_dim}, not an even number above 0");
        keys.refuse(message, "without that key it is `hidden_size` / `num_attention_heads`");
        return 2;
    }
    head_dim
}

/// Keys a query of each layer sees at most.
pub fn windows(keys: &mut Keys, traits: &Traits, layers: usize) -> Vec<Option<usize>> {
    // What transformers takes where a config does not say.
    const WINDOW: usize = 4096;
    const FIRST_LAYER: usize = 28;
    let window = match traits.window {
        SlidingWindow::Never => None,
        SlidingWindow::Always => keys.size_or_null("sliding_window", Some(WINDOW)),
        SlidingWindow::Switched => {
            let window = keys.size_or_null("sliding_window", Some(WINDOW));
            keys.flag("use_sliding_window", false).then_some(window).flatten()
        }
    };
    let first = match traits.window {
        SlidingWindow::Switched => keys.count("max_window_layers", FIRST_LAYER),
        SlidingWindow::Never | SlidingWindow::Always => 0,
    };
    let Some(types) = keys.texts("layer_types") else {
        return (0..layers).map(|layer| window.filter(|_| layer >= first)).collect();
    };
    if types.len() != layers {
        let message = format!("`layer_types` has {} entries for {layers} layers", types.len());
        keys.refuse(message, "it has one for each of `num_hidden_layers`");
    }
    let mut windows = Vec::with_capacity(types.len());
    for kind in types {
        windows.push(match kind {
            "sliding_attention" if traits.window == SlidingWindow::Never => None,
            "sliding_attention" if window.is_none() => {
                let message = "`layer_types` has `sliding_attention`, but there is no window";
                keys.refuse(message, "set `sliding_window` (and `use_sliding_window` of qwen2 and qwen3)");
                return windows;
            }
            "sliding_attention" => window,
            "full_attention" | "attention" => None,
            other => {
                let message = format!("`layer_types` has `{other}`, which is not supported");
                keys.refuse(message, "supported: full_attention, sliding_attention");
                return windows;
            }
        });
    }
    windows
}

/// Checks the ids that a result carries on.
pub fn check_tokens(keys: &mut Keys) {
    for (key, several) in [("bos_token_id", false), ("eos_token_id", true), ("pad_token_id", false)] {
        keys.token_ids(key, several);
    }
}

/// Known keys whose values have no effect here.
pub fn idle(keys: &mut Keys, traits: &Traits) -> Option<String> {
    let dropout =
        keys.get("attention_dropout").filter(|value| !value.is_null() && value.as_f64() != Some(0.0));
    if let Some(dropout) = dropout {
        return Some(format!(
            "`attention_dropout` {dropout} is not applied: attention is trained without dropout"
        ));
    }
    let types = keys.texts("layer_types").unwrap_or_default();
    (traits.window == SlidingWindow::Never && types.contains(&"sliding_attention")).then(|| {
        format!(
            "`layer_types` has no effect: all layers of a `{}` model attend to everything before",
            traits.model_type
        )
    })
}
