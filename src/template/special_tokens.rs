//! `bos_token`, `eos_token` and the like, as a model's tokenizer files name them.

use std::path::Path;

use anyhow::{Context, Result};
use indexmap::IndexMap;
use serde_json::Value;

/// Name (`bos_token`, …) → text, in the file's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens(IndexMap<String, String>);

impl SpecialTokens {
    /// Reads `tokenizer_config.json`, and those tokens that only `special_tokens_map.json` has. Files that
    /// are missing are skipped.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut tokens = IndexMap::new();
        for file in ["tokenizer_config.json", "special_tokens_map.json"] {
            let Some(Value::Object(config)) = read_json(&folder.join(file))? else { continue };
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

/// A JSON file's content; `None` if there is no such file.
pub fn read_json(path: &Path) -> Result<Option<Value>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let value = serde_json::from_str(&text).with_context(|| format!("`{}` is not JSON", path.display()))?;
    Ok(Some(value))
}
