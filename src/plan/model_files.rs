//! The files of a model's folder, and the hashes by which a fingerprint knows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::model::folder::weight_files;
use crate::plan::content::Hashes;
use crate::template::CHAT_TEMPLATE;

/// Files of a model's folder that are tokenizer, template and their settings.
pub const TOKENIZER_FILES: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    CHAT_TEMPLATE,
];
/// Those of them that enter a fingerprint by the hash of the file. A template enters by its text.
const HASHED: usize = 4;

/// Hashes of the tokenizer's files in a folder: file → content hash.
pub fn hash_tokenizer(folder: &Path, hashes: &mut Hashes) -> Result<BTreeMap<String, String>> {
    hash_files(folder, "", &TOKENIZER_FILES[..HASHED], hashes)
}

/// Hashes of config, tokenizer and weights in a model's or adapter's folder.
pub fn hash_folder(folder: &Path, prefix: &str, hashes: &mut Hashes) -> Result<BTreeMap<String, String>> {
    let mut names: Vec<String> = Vec::new();
    let context = || format!("cannot list `{}`", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let name = entry.with_context(context)?.file_name();
        names.extend(name.to_str().filter(|name| name.ends_with(".safetensors")).map(str::to_owned));
    }
    // An index may name shards in inner folders; one that cannot be read is a problem elsewhere.
    let shards = weight_files(folder).unwrap_or_default();
    names.extend(shards.iter().filter_map(|file| Some(file.strip_prefix(folder).ok()?.to_str()?.to_owned())));
    let settings = ["config.json", "adapter_config.json", "model.safetensors.index.json"];
    names.extend(settings.iter().chain(&TOKENIZER_FILES[..HASHED]).map(|name| (*name).to_owned()));
    hash_files(folder, prefix, &names, hashes)
}

/// Hashes of those of `names` that are in `folder`, under `prefix` and the name.
pub fn hash_files(
    folder: &Path,
    prefix: &str,
    names: &[impl AsRef<str>],
    hashes: &mut Hashes,
) -> Result<BTreeMap<String, String>> {
    let mut content = BTreeMap::new();
    for name in names.iter().map(AsRef::as_ref) {
        let path = folder.join(name);
        if path.is_file() {
            content.insert(format!("{prefix}{name}"), hashes.file(&path)?);
        }
    }
    Ok(content)
}
