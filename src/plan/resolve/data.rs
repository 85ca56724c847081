//! `[data.NAME]`: files that exist, tables that are used.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::bail;
use indexmap::IndexMap;

use super::checker::Checker;
use super::pattern;
use crate::data::hub::{self, RepoKind};
use crate::data::named::{Named, named, names};
use crate::data::source;
use crate::data::spec::{DataSpec, MAX_ROW_BYTES};
use crate::recipe::data::{DataTable, EVAL_FRACTION, MAX_BAD_ROWS, MAX_DROPPED, RoleNames, SourceValue};
use crate::recipe::document::join;
use crate::recipe::model::TokenizerValue;
use crate::recipe::suggest;
use crate::recipe::written::Recipe;

/// Where a repository has its training rows; the first that matches anything counts.
const TRAINING_FILES: [&str; 7] = [
    "**/train*.parquet",
    "**/*train*.jsonl",
    "**/*train*.csv",
    "**/*.parquet",
    "**/*.jsonl",
    "**/*.csv",
    "*.json",
];

pub fn resolve(checker: &mut Checker, recipe: &Recipe) -> IndexMap<String, DataSpec> {
    let tables = recipe.data.iter().flatten();
    tables.map(|(name, table)| (name.clone(), spec(checker, name, table))).collect()
}

fn spec(checker: &mut Checker, name: &str, table: &DataTable) -> DataSpec {
    let at = format!("{}/source", Checker::data_table(name));
    let (patterns, is_list) = match &table.source {
        None => (vec![], false),
        Some(SourceValue::One(one)) => (vec![one.clone()], false),
        Some(SourceValue::Many(many)) => (many.clone(), true),
    };
    let mut files: Vec<PathBuf> = Vec::new();
    // A file is read once, by whichever of its names it is found first.
    let mut real: HashSet<PathBuf> = HashSet::new();
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
                    if real.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                        files.push(path);
                    }
                }
            }
            Err((message, help)) => checker.error(&at, message).help = help,
        }
    }
    // The table's own keys win over what is known of a named data set.
    let known = patterns.iter().find_map(|pattern| named_set(checker.dir(), pattern));
    let mut columns: IndexMap<String, String> = known
        .map(|set| set.columns.iter().map(|(own, theirs)| (own.to_string(), theirs.to_string())).collect())
        .unwrap_or_default();
    columns.extend(table.columns.clone().unwrap_or_default());
    check_columns(checker, name, table);
    DataSpec {
        name: name.to_owned(),
        source: patterns,
        files,
        format: table.format.or(known.map(|set| set.format)),
        columns,
        roles: roles(checker, name, table),
        eval_fraction: table.eval_fraction.unwrap_or(EVAL_FRACTION),
        limit: table.limit,
        max_bad_rows: table.max_bad_rows.unwrap_or(MAX_BAD_ROWS),
        max_dropped: table.max_dropped.unwrap_or(MAX_DROPPED),
        max_row_bytes: table.max_row_bytes.unwrap_or(MAX_ROW_BYTES),
    }
}

/// Errors if one column of the file is read under two of our names: only the first would have it.
fn check_columns(checker: &mut Checker, name: &str, table: &DataTable) {
    let columns = table.columns.iter().flatten();
    let mut readers: HashMap<&str, &str> = HashMap::new();
    for (ours, theirs) in columns.clone() {
        if let Some(other) = readers.insert(theirs, ours) {
            twice(checker, name, ours, format!("the column `{theirs}` is read as `{other}` already"));
        }
    }
    for (ours, theirs) in columns {
        // The column that holds the one at a dotted name.
        let ends = theirs.match_indices('.').map(|(at, _)| &theirs[..at]);
        if let Some((whole, other)) = ends.filter_map(|whole| readers.get_key_value(whole)).next() {
            twice(
                checker,
                name,
                ours,
                format!("`{theirs}` is a part of `{whole}`, which is read as `{other}`"),
            );
        }
    }
}

fn twice(checker: &mut Checker, name: &str, ours: &str, message: String) {
    let at = join(&format!("{}/columns", Checker::data_table(name)), ours);
    checker.error(&at, message).help = Some("give each column of the file one name".to_owned());
}

/// Names of roles, ours → theirs. Errors if a name is given twice.
fn roles(checker: &mut Checker, name: &str, table: &DataTable) -> IndexMap<String, Vec<String>> {
    let at = format!("{}/roles", Checker::data_table(name));
    let mut roles: IndexMap<String, Vec<String>> = IndexMap::new();
    for (ours, theirs) in table.roles.iter().flatten() {
        let theirs = match theirs {
            RoleNames::One(one) => vec![one.clone()],
            RoleNames::Many(many) => many.clone(),
        };
        for (index, one) in theirs.iter().enumerate() {
            let same = |other: &String| other.to_lowercase() == one.to_lowercase();
            let taken = roles.iter().find(|(_, names)| names.iter().any(same)).map(|(role, _)| role);
            let taken = taken.or_else(|| theirs[..index].iter().any(same).then_some(ours));
            if let Some(role) = taken {
                let message = format!("the role `{one}` is given to `{role}` already");
                checker.error(&format!("{at}/{ours}"), message).help = Some("name each role once".to_owned());
            }
        }
        roles.insert(ours.clone(), theirs);
    }
    roles
}

/// The data set that `source` names, if it is no file's name.
fn named_set(dir: &Path, source: &str) -> Option<&'static Named> {
    named(source).filter(|_| !dir.join(source).exists())
}

/// The files that a path, pattern, hub id or named data set stands for, sorted; or message and help.
fn matches(dir: &Path, pattern: &str) -> Result<Vec<PathBuf>, (String, Option<String>)> {
    let relative = || Some("paths are relative to the recipe's folder".to_owned());
    if let Some(set) = named_set(dir, pattern) {
        return set.cached().map_err(|error| lacking(pattern, set.repos[0], &error));
    }
    if let Some(repo) = pattern.strip_prefix("hub://") {
        return of_hub(repo);
    }
    if let Some((scheme, _)) = pattern.split_once("://") {
        let help = "download the files and give their path, or write `hub://ORG/NAME`";
        return Err((format!("`{scheme}://` cannot be downloaded"), Some(help.to_owned())));
    }
    let path = dir.join(pattern);
    if path.is_dir() {
        let help = format!("name its files, e.g. `{}/*.jsonl`", pattern.trim_end_matches('/'));
        return Err((format!("`{pattern}` is a folder"), Some(help)));
    }
    if path.is_file() {
        return Ok(vec![path]);
    }
    if path.exists() {
        let help = "rows are not read from pipes and devices: write them into a file".to_owned();
        return Err((format!("`{pattern}` is no regular file"), Some(help)));
    }
    if !pattern.contains(['*', '?', '[']) {
        let near = suggest::nearest(pattern, names()).map(|near| format!("did you mean `{near}`?"));
        return Err((format!("there is no file `{pattern}`"), near.or_else(relative)));
    }
    let files = pattern::files(dir, pattern)
        .map_err(|error| (format!("`{pattern}` is not a pattern: {error}"), None))?;
    match files.is_empty() {
        true => Err((format!("no file matches `{pattern}`"), relative())),
        false => Ok(files),
    }
}

/// Files of `ORG/NAME`, or those of them that match the pattern after it: `ORG/NAME/data/*.parquet`.
fn of_hub(written: &str) -> Result<Vec<PathBuf>, (String, Option<String>)> {
    let source = format!("hub://{written}");
    let parts: Vec<&str> = written.splitn(3, '/').collect();
    let ([org, name] | [org, name, _]) = parts.as_slice() else {
        let help = "write `hub://ORG/NAME`, or `hub://ORG/NAME/PATTERN`";
        return Err((format!("`{source}` names no repository"), Some(help.to_owned())));
    };
    let repo = format!("{org}/{name}");
    let found = match parts.get(2) {
        Some(pattern) => hub::cached(&repo, RepoKind::Dataset, &[pattern]),
        None => hub::cache().and_then(|cache| {
            let folder = hub::snapshot(&cache, &repo, RepoKind::Dataset)?;
            let tried = TRAINING_FILES.iter().map(|pattern| hub::matches(&folder, pattern));
            let mut tried = tried.filter(|files| files.as_ref().map_or(true, |files| !files.is_empty()));
            tried.next().unwrap_or_else(|| bail!("`{repo}` has no data file; name some: `{source}/PATTERN`"))
        }),
    };
    found.map_err(|error| lacking(&source, &repo, &error))
}

/// Message and help for a data set of the hub whose files cannot be found.
fn lacking(written: &str, repo: &str, error: &anyhow::Error) -> (String, Option<String>) {
    let is_cached = hub::cache().and_then(|cache| hub::snapshot(&cache, repo, RepoKind::Dataset)).is_ok();
    match is_cached {
        true => (format!("`{written}`: {error:#}"), None),
        false => (
            format!("`{written}` is not in the Hugging Face cache"),
            Some(format!("get it with `hf download --repo-type dataset {repo}`")),
        ),
    }
}

/// An error at `pointer` if no `[data.NAME]` table is called `name`.
pub fn check_name(checker: &mut Checker, recipe: &Recipe, pointer: &str, name: &str) {
    let is_there = recipe.data.as_ref().is_some_and(|tables| tables.contains_key(name));
    if is_there || checker.is_written(&Checker::data_table(name)) {
        return;
    }
    let tables: Vec<&str> = recipe.data.iter().flatten().map(|(name, _)| name.as_str()).collect();
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
    if recipe.stage.is_none() || stages.clone().any(|stage| stage.common.data.is_none()) {
        return;
    }
    let read: HashSet<&str> =
        stages.filter_map(|stage| stage.common.data.as_deref()).chain(trained_on).collect();
    for (name, _) in recipe.data.iter().flatten() {
        if !read.contains(name.as_str()) {
            checker.warning(&Checker::data_table(name), format!("no stage reads `[data.{name}]`"));
        }
    }
}
