//! Every key that PEFT's `LoraConfig` has had up to 0.21, and what becomes of it here. A key that is not
//! in the list is refused, unless it is off.

use serde_json::Value;

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Read, see [`super::AdapterConfig`].
    Read,
    /// Says nothing about what the adapter computes: names, versions, sizes of what is off.
    Harmless,
    /// Says how the adapter was made or trained, not what it computes: a warning.
    Past,
    /// Changes what the adapter computes in a way that the decoder does not have: refused unless off.
    Refused(Remedy),
}

/// What to do about an option that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Merge the adapter into its base.
    Merge,
    /// Turn it into plain LoRA as PEFT saves it.
    Convert,
    /// Only PEFT can use it.
    Nothing,
}

impl Remedy {
    pub fn text(self) -> &'static str {
        match self {
            Remedy::Merge => {
                "merge it into its base with PEFT (`merge_and_unload`), save that model and name it as `base`"
            }
            Remedy::Convert => {
                "save it as plain LoRA (`save_pretrained(…, path_initial_model_for_weight_conversion=…)`), or \
                 merge it with PEFT and name the merged model as `base`"
            }
            Remedy::Nothing => "train another adapter without it",
        }
    }
}

const KEYS: [(&str, Use); 45] = [
    ("r", Use::Read),
    ("lora_alpha", Use::Read),
    ("use_rslora", Use::Read),
    ("rank_pattern", Use::Read),
    ("alpha_pattern", Use::Read),
    ("target_modules", Use::Read),
    ("exclude_modules", Use::Read),
    ("layers_to_transform", Use::Read),
    ("layers_pattern", Use::Read),
    ("modules_to_save", Use::Read),
    ("init_lora_weights", Use::Read),
    ("ensure_weight_tying", Use::Read),
    ("peft_type", Use::Read),
    ("task_type", Use::Read),
    ("base_model_name_or_path", Use::Read),
    ("auto_mapping", Use::Harmless),
    ("inference_mode", Use::Harmless),
    ("peft_version", Use::Harmless),
    ("revision", Use::Harmless),
    ("runtime_config", Use::Harmless),
    // Dropout of a stage that trains on is the recipe's.
    ("lora_dropout", Use::Harmless),
    // Sizes and names for `use_qalora` and `megatron_config`, which are refused.
    ("qalora_group_size", Use::Harmless),
    ("megatron_core", Use::Harmless),
    ("loftq_config", Use::Past),
    ("eva_config", Use::Past),
    ("corda_config", Use::Past),
    ("lora_ga_config", Use::Past),
    ("velora_config", Use::Past),
    ("use_dora", Use::Refused(Remedy::Merge)),
    ("bias", Use::Refused(Remedy::Merge)),
    ("lora_bias", Use::Refused(Remedy::Merge)),
    ("fan_in_fan_out", Use::Refused(Remedy::Merge)),
    ("trainable_token_indices", Use::Refused(Remedy::Merge)),
    ("target_parameters", Use::Refused(Remedy::Merge)),
    ("layer_replication", Use::Refused(Remedy::Nothing)),
    ("kasa_config", Use::Refused(Remedy::Merge)),
    ("monteclora_config", Use::Refused(Remedy::Merge)),
    ("use_qalora", Use::Refused(Remedy::Merge)),
    ("use_bdlora", Use::Refused(Remedy::Merge)),
    ("arrow_config", Use::Refused(Remedy::Nothing)),
    ("alora_invocation_tokens", Use::Refused(Remedy::Nothing)),
    ("megatron_config", Use::Refused(Remedy::Nothing)),
    // Of PEFT before 0.3.
    ("enable_lora", Use::Refused(Remedy::Nothing)),
    ("merge_weights", Use::Refused(Remedy::Nothing)),
    // Of ms-swift: the float type that the adapter was trained in.
    ("lora_dtype", Use::Harmless),
];

/// What becomes of `key`; `None` if nobody knows it.
pub fn of(key: &str) -> Option<Use> {
    KEYS.iter().find(|(name, _)| *name == key).map(|(_, found)| *found)
}

/// `` `a`, `b`, `c` ``
pub fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    names.join(", ")
}

/// Whether an option has a value that turns nothing on.
pub fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty() || text == "none",
        _ => false,
    }
}
