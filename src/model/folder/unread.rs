//! Stored tensors that the decoder does not read: those that mean nothing, those of heads that score,
//! those to warn of, and those without which the model is another.

use std::path::Path;

use crate::model::config::Config;
use crate::model::fault::Fault;
use crate::model::value_head::HEADS;

/// Names that a message lists.
const LISTED: usize = 3;

/// Ends of the names of buffers that older versions stored, and that are made anew.
const BUFFERS: [&str; 8] = [
    "rotary_emb.inv_freq",
    "rotary_emb.original_inv_freq",
    "rotary_emb.cos_cached",
    "rotary_emb.sin_cached",
    "attn.masked_bias",
    // the causal mask of older versions
    "self_attn.bias",
    "attention.bias",
    "position_ids",
];

/// What the tensors are that nothing reads.
#[derive(Debug, Default)]
pub struct Unread {
    pub reward_heads: Vec<String>,
    pub warnings: Vec<String>,
    pub faults: Vec<Fault>,
}

/// Sorts the names of tensors that are not read.
pub fn sort<'a>(names: impl Iterator<Item = &'a str>, config: &Config, folder: &Path) -> Unread {
    let mut unread = Unread::default();
    let (mut strange, mut later, mut biases, mut adapters, mut misplaced) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let starts = |beginnings: &[&str]| beginnings.iter().any(|beginning| name.starts_with(beginning));
        if BUFFERS.iter().any(|buffer| name.ends_with(buffer)) {
            continue;
        } else if starts(&HEADS) {
            unread.reward_heads.push(name.to_owned());
        } else if layer(name).is_some_and(|layer| layer >= config.num_hidden_layers) {
            later.push(name);
        } else if name.contains(".lora_") || name.contains(".base_layer.") {
            adapters.push(name);
        } else if name.ends_with(".bias") {
            biases.push(name);
        } else if starts(&["model.", "layers.", "lm_head.", "embed_tokens.", "norm."]) {
            misplaced.push(name);
        } else {
            strange.push(name);
        }
    }
    let (family, path) = (config.architecture.model_type(), folder.display());
    let layers = config.num_hidden_layers;
    let has = later.iter().filter_map(|name| layer(name)).max().map_or(layers, |last| last + 1);
    let groups: [(&[&str], String, String); 4] = [
        (
            &later,
            format!("of layers past `num_hidden_layers` of `config.json`, which is {layers}"),
            format!(
                "set `num_hidden_layers` to {has} if they belong to the model, or take them out of the files"
            ),
        ),
        (
            &adapters,
            "of an adapter that is not merged".to_owned(),
            "merge it (`merge_and_unload` in peft), or name the adapter's folder as `adapter` of `[model]`"
                .to_owned(),
        ),
        (
            &biases,
            format!("for biases that a `{family}` model with this `config.json` does not have"),
            "choose a model without them (`attention_bias` and `mlp_bias` are not supported), or take them \
             out of the files"
                .to_owned(),
        ),
        (
            &misplaced,
            format!("for which a `{family}` model has no place"),
            "`model_type` of `config.json` must be that of the weights; or take them out of the files"
                .to_owned(),
        ),
    ];
    for (names, what, help) in groups {
        if !names.is_empty() {
            let tensors = if names.len() == 1 { "tensor" } else { "tensors" };
            let listed = listed(names.iter().copied());
            let message = format!("`{path}` has {} {tensors} {what}: {listed}", names.len());
            unread.faults.push(Fault::new(message).with_help(help));
        }
    }
    if !strange.is_empty() {
        let names = listed(strange.iter().copied());
        unread.warnings.push(format!("`{path}` has weights that are not read: {names}"));
    }
    unread
}

/// The layer that a weight belongs to, by its name.
pub fn layer(name: &str) -> Option<usize> {
    let rest = name.strip_prefix("model.").unwrap_or(name).strip_prefix("layers.")?;
    rest.split_once('.')?.0.parse().ok()
}

/// The first names, and how many more there are.
pub fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let shown: Vec<String> = names.take(LISTED).map(|name| format!("`{name}`")).collect();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}
