//! `bos_token`, `eos_token` and the like, as a model's tokenizer files name them.

use std::path::Path;

use anyhow::Result;
use indexmap::IndexMap;
use serde_json::Value;

use crate::json_file;

/// Name (`bos_token`, …) → text, in the file's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens(IndexMap<String, String>);

impl SpecialTokens {
    /// Reads `tokenizer_config.json`, and those tokens that only `special_tokens_map.json` has. Files that
    /// are missing are skipped.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut tokens = IndexMap::new();
        for file in ["tokenizer_config.json", "special_tokens_map.json"] {
            let Some(Value::Object(config)) = json_file::find(&folder.join(file))? else { continue };
            for (name, value) in &config {
                let text = value.as_str().or_else(|| value.get("content")?.as_str());
                if let Some(text) = text.filter(|_| name.ends_with("_token")) {
                    tokens.entry(name.clone()).or_insert_with(|| text.to_owned());
                }
            }
        }
        Ok(SpecialTokens(tokens))
    }

    /// The text of the token called `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }
}
