//! `generation_config.json` of a model's folder. A run generates by the recipe, not by this file; it
//! goes with the result, so it must be one that transformers reads.

use std::path::Path;

use serde_json::Value;

use crate::json_file;
use crate::model::fault::{Fault, Faults};

const FILE: &str = "generation_config.json";

/// Keys that transformers knows, in this version or an older one.
const KNOWN: [&str; 79] = [
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_from_model_config",
    "_name_or_path",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_ensemble_weight",
    "assistant_lookbehind",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "constraints",
    "continuous_batching_config",
    "decoder_start_token_id",
    "disable_compile",
    "diversity_penalty",
    "do_sample",
    "dola_layers",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "eos_token_id",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "force_words_ids",
    "forced_bos_token_id",
    "forced_decoder_ids",
    "forced_eos_token_id",
    "guidance_scale",
    "is_assistant",
    "length_penalty",
    "low_memory",
    "max_cache_len",
    "max_length",
    "max_matching_ngram_size",
    "max_new_tokens",
    "max_time",
    "min_length",
    "min_new_tokens",
    "min_p",
    "no_repeat_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "pad_token_id",
    "penalty_alpha",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "remove_invalid_values",
    "renormalize_logits",
    "repetition_penalty",
    "return_dict_in_generate",
    "return_legacy_cache",
    "sequence_bias",
    "speculation_type",
    "stop_strings",
    "suppress_tokens",
    "target_lookbehind",
    "temperature",
    "token_healing",
    "top_h",
    "top_k",
    "top_p",
    "transformers_version",
    "typical_p",
    "use_cache",
    "use_mtp",
    "watermarking_config",
];

/// Checks the file of a folder, which may have none. Returns a warning, or none; errors, which name
/// file and key, if the file is no JSON object or its token ids are no ids.
pub fn check(folder: &Path) -> Result<Option<String>, Faults> {
    let path = folder.join(FILE);
    let found = json_file::find_object(&path);
    let Some(map) = found.map_err(|error| Faults(vec![Fault::new(format!("{error:#}"))]))? else {
        return Ok(None);
    };
    let is_id = |value: &Value| value.is_i64() || value.is_null();
    for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        let Some(value) = map.get(key) else { continue };
        let is_list = value.as_array().is_some_and(|list| list.iter().all(Value::is_i64));
        if !(is_id(value) || is_list && key == "eos_token_id") {
            let help = "correct it, or take the key out: a result gets the ends of its template";
            let message = format!("`{key}` is {value}, where a token id is expected");
            return Err(Faults(vec![Fault::new(message).with_help(help).of(&path)]));
        }
    }
    let unknown: Vec<String> =
        map.keys().filter(|key| !KNOWN.contains(&key.as_str())).map(|key| format!("`{key}`")).collect();
    Ok((!unknown.is_empty()).then(|| {
        format!(
            "`{}`: transformers knows no {}; it has no effect, and goes with the result as it is",
            path.display(),
            unknown.join(", no ")
        )
    }))
}
