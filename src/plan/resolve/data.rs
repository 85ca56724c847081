//! `[data.NAME]`: files that exist, tables that are used.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::checker::Checker;
use crate::data::source;
use crate::data::spec::{DataSpec, Format};
use crate::recipe::data::{DataTable, EVAL_FRACTION, MAX_BAD_ROWS, RowFormat, Sources};
use crate::recipe::model::TokenizerValue;
use crate::recipe::suggest;
use crate::recipe::written::Recipe;

pub fn resolve(checker: &mut Checker, recipe: &Recipe) -> IndexMap<String, DataSpec> {
    let tables = recipe.data.iter().flatten();
    tables.map(|(name, table)| (name.clone(), spec(checker, name, table))).collect()
}

fn spec(checker: &mut Checker, name: &str, table: &DataTable) -> DataSpec {
    let at = format!("{}/source", Checker::data_table(name));
    let (patterns, is_list) = match &table.source {
        None => (vec![], false),
        Some(Sources::One(one)) => (vec![one.clone()], false),
        Some(Sources::Many(many)) => (many.clone(), true),
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for (index, pattern) in patterns.iter().enumerate() {
        let at = if is_list { format!("{at}/{index}") } else { at.clone() };
        match matches(checker.dir(), pattern) {
            Ok(found) => {
                for path in found {
                    if !source::is_known(&path) {
                        let file = path.file_name().unwrap_or(path.as_os_str());
                        let message = format!("`{}` is no data file", file.display());
                        checker.error(&at, message).help =
                            Some(format!("rows are read from {}", source::KINDS));
                    }
                    if !files.contains(&path) {
                        files.push(path);
                    }
                }
            }
            Err((message, help)) => checker.error(&at, message).help = help,
        }
    }
    DataSpec {
        name: name.to_owned(),
        source: patterns,
        files,
        format: table.format.map(|format| match format {
            RowFormat::Sft => Format::Sft,
            RowFormat::Preference => Format::Preference,
            RowFormat::Unpaired => Format::Unpaired,
            RowFormat::Prompt => Format::Prompt,
        }),
        columns: table.columns.clone().unwrap_or_default(),
        eval_fraction: table.eval_fraction.unwrap_or(EVAL_FRACTION),
        limit: table.limit,
        max_bad_rows: table.max_bad_rows.unwrap_or(MAX_BAD_ROWS),
    }
}

/// The files that a path or pattern stands for, sorted; or message and help.
fn matches(dir: &Path, pattern: &str) -> Result<Vec<PathBuf>, (String, Option<String>)> {
    let relative = || Some("paths are relative to the recipe's folder".to_owned());
    if let Some((scheme, _)) = pattern.split_once("://") {
        let help = "download the files and give their path";
        return Err((format!("`{scheme}://` cannot be downloaded yet"), Some(help.to_owned())));
    }
    let path = dir.join(pattern);
    if path.is_dir() {
        let help = format!("name its files, e.g. `{}/*.jsonl`", pattern.trim_end_matches('/'));
        return Err((format!("`{pattern}` is a folder"), Some(help)));
    }
    if path.is_file() {
        return Ok(vec![path]);
    }
    if !pattern.contains(['*', '?', '[']) {
        return Err((format!("there is no file `{pattern}`"), relative()));
    }
    let escaped = PathBuf::from(glob::Pattern::escape(&dir.to_string_lossy())).join(pattern);
    let paths = glob::glob(&escaped.to_string_lossy())
        .map_err(|error| (format!("`{pattern}` is not a pattern: {}", error.msg), None))?;
    let mut files: Vec<PathBuf> = paths.flatten().filter(|path| path.is_file()).collect();
    files.sort();
    match files.is_empty() {
        true => Err((format!("no file matches `{pattern}`"), relative())),
        false => Ok(files),
    }
}

/// An error at `pointer` if no `[data.NAME]` table is called `name`.
pub fn check_name(checker: &mut Checker, recipe: &Recipe, pointer: &str, name: &str) {
    let tables: Vec<&str> = recipe.data.iter().flatten().map(|(name, _)| name.as_str()).collect();
    if tables.contains(&name) || checker.is_written(&Checker::data_table(name)) {
        return;
    }
    let help = suggest::help(name, &tables, "data tables")
        .unwrap_or_else(|| format!("add a `[data.{name}]` table with a `source`"));
    checker.error(pointer, format!("no `[data.{name}]` table")).help = Some(help);
}

/// Tables that nothing reads.
pub fn check_use(checker: &mut Checker, recipe: &Recipe) {
    let tokenizer = recipe.model.as_ref().and_then(|model| model.scratch.as_ref());
    let trained_on = match tokenizer.and_then(|scratch| scratch.tokenizer.as_ref()) {
        Some(TokenizerValue::Train(value)) => value.train.as_ref().and_then(|t| t.data.as_deref()),
        _ => None,
    };
    let stages = recipe.stage.iter().flatten();
    // A stage whose data is not known may be the one that reads them.
    if recipe.stage.is_none() || stages.clone().any(|stage| stage.training.data.is_none()) {
        return;
    }
    let read: Vec<&str> =
        stages.filter_map(|stage| stage.training.data.as_deref()).chain(trained_on).collect();
    for (name, _) in recipe.data.iter().flatten() {
        if !read.contains(&name.as_str()) {
            checker.warning(&Checker::data_table(name), format!("no stage reads `[data.{name}]`"));
        }
    }
}
