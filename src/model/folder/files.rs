//! Which files of a folder hold its weights.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::json_file;
use crate::model::fault::{Fault, Faults};

/// All weights in one file.
pub const SINGLE: &str = "model.safetensors";
/// Which shard holds which weight.
pub const INDEX: &str = "model.safetensors.index.json";

/// Whether a model's folder has weights, in one file or in several.
pub fn has_weights(folder: &Path) -> bool {
    [SINGLE, INDEX].iter().any(|name| folder.join(name).is_file())
}

/// The safetensors files of a model's folder: `model.safetensors`, or the shards that its index names.
/// Errors, which name the file, if there are none, the index cannot be read or a shard is missing.
pub fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    find(folder, &mut Vec::new())
}

/// As [`weight_files`], with what a person should know of them.
pub fn find(folder: &Path, warnings: &mut Vec<String>) -> Result<Vec<PathBuf>> {
    let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
    if single.is_file() {
        if index.is_file() {
            warnings.push(format!(
                "`{}` is read alone, as transformers does; the shards that `{INDEX}` beside it names are not",
                single.display()
            ));
        }
        return Ok(vec![single]);
    }
    if !index.is_file() {
        return Err(Faults(vec![no_weights(folder)]).into());
    }
    shards(folder, &json_file::read(&index)?).map_err(|fault| Faults(vec![fault.of(&index)]).into())
}

fn shards(folder: &Path, index: &Value) -> Result<Vec<PathBuf>, Fault> {
    let lacks = || {
        let help = format!("get `{INDEX}` again, or put all weights into one `{SINGLE}`");
        Fault::new("it has no `weight_map` from weights to files").with_help(help)
    };
    let map = index["weight_map"].as_object().filter(|map| !map.is_empty()).ok_or_else(lacks)?;
    let mut files = Vec::new();
    for (weight, file) in map {
        let Some(file) = file.as_str().filter(|file| !file.is_empty()) else {
            return Err(Fault::new(format!(
                "`weight_map` puts `{weight}` into {file}, which is no file's name"
            )));
        };
        if !is_within(file) {
            return Err(Fault::new(format!(
                "`weight_map` puts `{weight}` into `{file}`, which is not in the folder"
            ))
            .with_help("put that file beside the index, and name it there without a folder above"));
        }
        files.push(folder.join(file));
    }
    files.sort_unstable();
    files.dedup();
    let missing: Vec<String> = files
        .iter()
        .filter(|file| !file.is_file())
        .map(|file| format!("`{}`", file.strip_prefix(folder).unwrap_or(file).display()))
        .collect();
    match missing.len() {
        0 => Ok(files),
        1 => Err(Fault::new(format!("the shard {} that it names is missing", missing[0]))
            .with_help("get that file too")),
        some => Err(Fault::new(format!(
            "of the {} shards that it names, {some} are missing: {}",
            files.len(),
            missing.join(", ")
        ))
        .with_help("get these files too")),
    }
}

/// Whether a name that a model's file gives stands for a file in the model's folder.
fn is_within(name: &str) -> bool {
    Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// What to say of a folder without weights that can be read.
pub fn no_weights(folder: &Path) -> Fault {
    let fault = Fault::new(format!("`{}` has neither `{SINGLE}` nor `{INDEX}`", folder.display()));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    let of = |ends: &[&str]| names.iter().find(|name| ends.iter().any(|end| name.ends_with(end)));
    if let Some(shard) = of(&[".safetensors"]) {
        return fault.with_help(format!(
            "`{shard}` is there: call it `{SINGLE}` if it holds all weights, or get the index that names the shards"
        ));
    }
    match of(&[".bin", ".pt", ".pth", ".gguf"]) {
        Some(other) => fault.with_help(format!(
            "`{other}` cannot be read: load the model in transformers and save it with `save_pretrained`, which writes safetensors"
        )),
        None => fault,
    }
}
