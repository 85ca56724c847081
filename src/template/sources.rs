//! Where chat templates come from: shipped ones, files, and the named ones of a model's folder.

use std::path::Path;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use serde_json::Value;

use super::{CHAT_TEMPLATE, shipped};
use crate::json_file;

/// The name of the template that a model uses unless a row has tools.
pub const DEFAULT: &str = "default";
/// The name of the template that a model with several uses where a row has tools.
pub const TOOL_USE: &str = "tool_use";
/// The folder of a model's additional templates, each of which is a file `NAME.jinja`.
pub const ADDITIONAL: &str = "additional_chat_templates";
/// What comes before the name of one of a model's templates in a recipe.
pub const OF_MODEL: &str = "model:";

/// Name → source. A recipe's own choice goes by the name `default`.
pub type TemplateSources = IndexMap<String, String>;

/// The templates of a recipe: see [`ChatTemplate::for_model`](super::ChatTemplate::for_model).
pub fn sources(
    template: Option<&str>,
    recipe_dir: &Path,
    model_dir: Option<&Path>,
) -> Result<TemplateSources> {
    let template = template.filter(|name| *name != "model");
    match (template.map(|name| (name, name.strip_prefix(OF_MODEL))), model_dir) {
        (Some((_, Some(name))), Some(folder)) => one_of(own(folder)?, name, folder),
        (Some((name, None)), _) => Ok(only(named(name, recipe_dir)?)),
        (None, Some(folder)) => usable(own(folder)?, folder),
        (_, None) => bail!(
            "no chat template: there is no model folder to take one from; set `template` in \
             `[model]` to one of {}, or to a path",
            one_of_shipped()
        ),
    }
}

/// All templates of a model's folder, as transformers reads them: `chat_template.jinja`, which is called
/// `default`, and those in `additional_chat_templates/`; if there are none of these files, what
/// `tokenizer_config.json` has under `chat_template`. Empty if there are none.
pub fn own(folder: &Path) -> Result<TemplateSources> {
    let mut sources = TemplateSources::new();
    let path = folder.join(CHAT_TEMPLATE);
    if path.is_file() {
        sources.insert(DEFAULT.to_owned(), read(&path)?);
    }
    let additional = folder.join(ADDITIONAL);
    if additional.is_dir() {
        let cannot = || format!("cannot list `{}`", additional.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&additional).with_context(cannot)? {
            files.push(entry.with_context(cannot)?.path());
        }
        files.sort();
        for path in files.iter().filter(|path| path.extension().is_some_and(|kind| kind == "jinja")) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            sources.insert(name, read(path)?);
        }
    }
    if !sources.is_empty() {
        return Ok(sources);
    }
    let path = folder.join("tokenizer_config.json");
    let config = json_file::find(&path)?.unwrap_or_default();
    let wrong = || {
        format!(
            "`chat_template` in `{}`: neither a text nor a list of `{{\"name\": …, \"template\": …}}`",
            path.display()
        )
    };
    match &config["chat_template"] {
        Value::Null => {}
        Value::String(source) => {
            sources.insert(DEFAULT.to_owned(), source.clone());
        }
        Value::Array(list) => {
            for named in list {
                let (name, source) = (named["name"].as_str(), named["template"].as_str());
                let (name, source) = name.zip(source).with_context(wrong)?;
                sources.insert(name.to_owned(), source.to_owned());
            }
        }
        Value::Object(map) => {
            for (name, source) in map {
                sources.insert(name.clone(), source.as_str().with_context(wrong)?.to_owned());
            }
        }
        _ => bail!(wrong()),
    }
    Ok(sources)
}

/// The templates of a folder, if one of them is for rows without tools or for rows with them.
fn usable(sources: TemplateSources, folder: &Path) -> Result<TemplateSources> {
    if sources.contains_key(DEFAULT) || sources.contains_key(TOOL_USE) {
        return Ok(sources);
    }
    if !sources.is_empty() {
        bail!(
            "`{}` has several chat templates and none of them is called `{DEFAULT}`: choose one by \
             `template` in `[model]`: {}",
            folder.display(),
            choices(sources.keys())
        );
    }
    let legacy = match folder.join("chat_template.json").is_file() {
        true => "; its `chat_template.json` is for processors, not for its tokenizer",
        false => "",
    };
    bail!(
        "`{}` has no chat template (no `{CHAT_TEMPLATE}`, no `chat_template` in \
         `tokenizer_config.json`{legacy}); set `template` in `[model]` to one of {}, or to a path",
        folder.display(),
        one_of_shipped()
    )
}

fn one_of(mut sources: TemplateSources, name: &str, folder: &Path) -> Result<TemplateSources> {
    match sources.shift_remove(name) {
        Some(source) => Ok(only(source)),
        None if sources.is_empty() => bail!("`{}` has no chat template of its own", folder.display()),
        None => {
            bail!("`{}` has no chat template `{name}`; it has {}", folder.display(), choices(sources.keys()))
        }
    }
}

/// How the templates of a model are written in a recipe.
pub fn choices<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{OF_MODEL}{name}`")).collect();
    names.join(", ")
}

fn only(source: String) -> TemplateSources {
    TemplateSources::from([(DEFAULT.to_owned(), source)])
}

fn named(name: &str, recipe_dir: &Path) -> Result<String> {
    if let Some(source) = shipped::source(name) {
        return Ok(source.to_owned());
    }
    let path = recipe_dir.join(name);
    if !path.is_file() {
        bail!("template `{name}`: neither a file (`{}`) nor one of {}", path.display(), one_of_shipped());
    }
    read(&path)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn one_of_shipped() -> String {
    let names: Vec<String> = shipped::names().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
