//! Every key that PEFT's `LoraConfig` has had up to 0.21, and what becomes of it here. A key that is not
//! in the list is refused, unless it is off.

use serde_json::Value;

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
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

const KEYS: [(&str, KeyUse); 45] = [
    ("r", KeyUse::Read),
    ("lora_alpha", KeyUse::Read),
    ("use_rslora", KeyUse::Read),
    ("rank_pattern", KeyUse::Read),
    ("alpha_pattern", KeyUse::Read),
    ("target_modules", KeyUse::Read),
    ("exclude_modules", KeyUse::Read),
    ("layers_to_transform", KeyUse::Read),
    ("layers_pattern", KeyUse::Read),
    ("modules_to_save", KeyUse::Read),
    ("init_lora_weights", KeyUse::Read),
    ("ensure_weight_tying", KeyUse::Read),
    ("peft_type", KeyUse::Read),
    ("task_type", KeyUse::Read),
    ("base_model_name_or_path", KeyUse::Read),
    ("auto_mapping", KeyUse::Harmless),
    ("inference_mode", KeyUse::Harmless),
    ("peft_version", KeyUse::Harmless),
    ("revision", KeyUse::Harmless),
    ("runtime_config", KeyUse::Harmless),
    // Dropout of a stage that trains on is the recipe's.
    ("lora_dropout", KeyUse::Harmless),
    // Sizes and names for `use_qalora` and `megatron_config`, which are refused.
    ("qalora_group_size", KeyUse::Harmless),
    ("megatron_core", KeyUse::Harmless),
    ("loftq_config", KeyUse::Past),
    ("eva_config", KeyUse::Past),
    ("corda_config", KeyUse::Past),
    ("lora_ga_config", KeyUse::Past),
    ("velora_config", KeyUse::Past),
    ("use_dora", KeyUse::Refused(Remedy::Merge)),
    ("bias", KeyUse::Refused(Remedy::Merge)),
    ("lora_bias", KeyUse::Refused(Remedy::Merge)),
    ("fan_in_fan_out", KeyUse::Refused(Remedy::Merge)),
    ("trainable_token_indices", KeyUse::Refused(Remedy::Merge)),
    ("target_parameters", KeyUse::Refused(Remedy::Merge)),
    ("layer_replication", KeyUse::Refused(Remedy::Nothing)),
    ("kasa_config", KeyUse::Refused(Remedy::Merge)),
    ("monteclora_config", KeyUse::Refused(Remedy::Merge)),
    ("use_qalora", KeyUse::Refused(Remedy::Merge)),
    ("use_bdlora", KeyUse::Refused(Remedy::Merge)),
    ("arrow_config", KeyUse::Refused(Remedy::Nothing)),
    ("alora_invocation_tokens", KeyUse::Refused(Remedy::Nothing)),
    ("megatron_config", KeyUse::Refused(Remedy::Nothing)),
    // Of PEFT before 0.3.
    ("enable_lora", KeyUse::Refused(Remedy::Nothing)),
    ("merge_weights", KeyUse::Refused(Remedy::Nothing)),
    // Of ms-swift: the float type that the adapter was trained in.
    ("lora_dtype", KeyUse::Harmless),
];

/// What becomes of `key`; `None` if nobody knows it.
pub fn of(key: &str) -> Option<KeyUse> {
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
