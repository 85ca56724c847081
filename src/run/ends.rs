//! How answers end, in the files of a result: `generate` of transformers stops at `eos_token_id` of
//! `generation_config.json`, else at that of `config.json`; trainers and servers ask for the tokenizer's
//! `eos_token`. Those of a base model say how texts end, which may differ from how the template ends a turn.

use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::json_file::{self, find_object};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const EOS_TOKEN_ID: &str = "eos_token_id";
/// Files that name the tokenizer's special tokens. The first is made where there is none.
const TOKENIZER_FILES: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];

/// How a stage's answers end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerEnds {
    /// Tokens that end an answer, the end of turn first.
    pub tokens: Vec<u32>,
    /// The text of the end of turn; `None` if the template writes none.
    pub end_of_turn: Option<String>,
}

impl AnswerEnds {
    /// Writes the tokens into the files of the result in `folder`, which was trained from the model in
    /// `base`: first these, then those at which `base` stops. Everything else in the files stays as it is.
    pub fn write(&self, base: &Path, folder: &Path) -> Result<()> {
        let base_config = find_object(&base.join(CONFIG))?.unwrap_or_default();
        let generation_config = find_object(&base.join(GENERATION_CONFIG))?;
        let mut ids = self.tokens.clone();
        for config in [generation_config.as_ref().unwrap_or(&base_config), &base_config] {
            ids.extend(token_ids(config));
        }
        let mut all: Vec<u32> = Vec::new();
        for id in ids {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        if !all.is_empty() {
            let mut config = generation_config.unwrap_or_else(|| of_model(&base_config));
            config.shift_remove("_from_model_config"); // transformers would make the file again from config.json
            config.insert(EOS_TOKEN_ID.into(), json!(all));
            write(folder, GENERATION_CONFIG, &config)?;
            if let Some(mut config) = find_object(&folder.join(CONFIG))? {
                config.insert(EOS_TOKEN_ID.into(), json!(all));
                write(folder, CONFIG, &config)?;
            }
        }
        self.write_token(folder)
    }

    /// Makes the end of turn the tokenizer's `eos_token`.
    fn write_token(&self, folder: &Path) -> Result<()> {
        let Some(end_of_turn) = &self.end_of_turn else { return Ok(()) };
        for (index, name) in TOKENIZER_FILES.into_iter().enumerate() {
            let config = find_object(&folder.join(name))?;
            if let Some(mut config) = config.or_else(|| (index == 0).then(Map::new)) {
                config.insert("eos_token".into(), json!(end_of_turn));
                write(folder, name, &config)?;
            }
        }
        Ok(())
    }
}

/// `eos_token_id` of a config: one, several or none.
fn token_ids(config: &Map<String, Value>) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match config.get(EOS_TOKEN_ID) {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        one => one.and_then(id).into_iter().collect(),
    }
}

/// What transformers takes from `config.json` where a model has no `generation_config.json`.
fn of_model(config: &Map<String, Value>) -> Map<String, Value> {
    let kept = ["bos_token_id", "pad_token_id"].into_iter();
    let known = kept.filter_map(|key| Some((key.to_owned(), config.get(key)?.clone())));
    known.filter(|(_, value)| !value.is_null()).collect()
}

fn write(folder: &Path, name: &str, object: &Map<String, Value>) -> Result<()> {
    json_file::write(&folder.join(name), object)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn ends() -> AnswerEnds {
        AnswerEnds { tokens: vec![7, 3], end_of_turn: Some("<|im_end|>".into()) }
    }

    /// A base and a result with these files; what is in the result's after [`AnswerEnds::write`].
    fn written(base: &[(&str, Value)], result: &[(&str, Value)], name: &str) -> Option<Value> {
        let [base_folder, folder] = [base, result].map(|files| {
            let folder = tempfile::tempdir().unwrap();
            for (name, content) in files {
                fs::write(folder.path().join(name), content.to_string()).unwrap();
            }
            folder
        });
        ends().write(base_folder.path(), folder.path()).unwrap();
        find_object(&folder.path().join(name)).unwrap().map(Value::Object)
    }

    #[test]
    fn the_end_of_turn_comes_first_and_the_base_s_ends_stay() {
        let generation =
            json!({ "_from_model_config": true, "eos_token_id": [3, 5], "top_p": 0.8, "pad_token_id": 7 });
        let config = json!({ "eos_token_id": 6, "hidden_size": 4 });
        let base = [("generation_config.json", generation), ("config.json", config.clone())];
        assert_eq!(
            written(&base, &[], "generation_config.json"),
            Some(json!({ "eos_token_id": [7, 3, 5, 6], "top_p": 0.8, "pad_token_id": 7 }))
        );
        // an adapter has no config of a model; a whole model has
        assert_eq!(written(&base, &[], "config.json"), None);
        let whole = written(&base, &[("config.json", config)], "config.json");
        assert_eq!(whole, Some(json!({ "eos_token_id": [7, 3, 5, 6], "hidden_size": 4 })));
    }

    #[test]
    fn a_base_without_a_generation_config_gives_what_its_config_has() {
        let config = json!({ "eos_token_id": null, "bos_token_id": 1, "pad_token_id": null });
        let found = written(&[("config.json", config)], &[], "generation_config.json");
        assert_eq!(found, Some(json!({ "bos_token_id": 1, "eos_token_id": [7, 3] })));
    }

    #[test]
    fn the_tokenizer_ends_with_the_end_of_turn_and_keeps_its_padding() {
        let token = json!({ "content": "<|endoftext|>", "lstrip": false });
        let tokenizer = json!({ "eos_token": token, "pad_token": "<|endoftext|>", "model_max_length": 9 });
        let expected =
            json!({ "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "model_max_length": 9 });
        assert_eq!(
            written(&[], &[("tokenizer_config.json", tokenizer)], "tokenizer_config.json"),
            Some(expected)
        );
        let map = [("special_tokens_map.json", json!({ "eos_token": "</s>" }))];
        let found = written(&[], &map, "special_tokens_map.json");
        assert_eq!(found, Some(json!({ "eos_token": "<|im_end|>" })));
        assert_eq!(written(&[], &map, "tokenizer_config.json"), found);
        assert_eq!(written(&[], &[], "special_tokens_map.json"), None);
    }
}
