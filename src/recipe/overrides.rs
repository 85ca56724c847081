//! `--set a.b=c`: sets any key of a recipe from the command line, checked like the file itself.

use std::ops::Range;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Location, Problem};
use super::document::{Document, join};
use super::suggest;

const FORM: &str = "write `--set KEY=VALUE`, e.g. `--set stage.dpo.beta=0.2`, \
                    `--set data.rows.limit=100`, `--set seed=1`";

/// Applies one `--set`. `stage.NAME.key` addresses a stage by its name; other keys are as in the
/// file. A value that is not TOML is taken as a string, so that shells need no second quotes.
pub fn apply(document: &mut Document, text: &str) -> Vec<Problem> {
    let source = document.add_source("--set", text);
    let refuse = |span: Range<usize>, message: String, help: Option<String>| {
        let problem = Problem::error(Some(Location { source, span }), message);
        vec![Problem { help, ..problem }]
    };
    let Some(equals) = text.find('=') else {
        let message = "an override without `=`".to_owned();
        return refuse(0..text.len(), message, Some(FORM.to_owned()));
    };
    let Some(path) = key_path(&text[..equals]) else {
        let message = format!("`{}` is not a key", text[..equals].trim());
        return refuse(0..equals, message, Some(FORM.to_owned()));
    };
    let mut pointer = String::new();
    let mut rest = path.as_slice();
    if let [(table, span), (name, name_span), ..] = rest
        && table == "stage"
    {
        let names = stage_names(&document.json);
        let Some(index) = names.iter().position(|other| *other == Some(name)) else {
            let names: Vec<&str> = names.into_iter().flatten().collect();
            let help = suggest::help(name, &names, "stages");
            return refuse(name_span.clone(), format!("no stage is named `{name}`"), help);
        };
        pointer = format!("/stage/{index}");
        rest = &rest[2..];
        if rest.is_empty() {
            let message = format!("`stage.{name}` is a whole stage");
            return refuse(span.start..name_span.end, message, Some(FORM.to_owned()));
        }
    }
    for (at, (key, span)) in rest.iter().enumerate() {
        pointer = join(&pointer, key);
        let is_last = at + 1 == rest.len();
        let blocked = document.json.pointer(&pointer).is_some_and(|value| !value.is_object());
        if blocked && !is_last {
            return refuse(span.clone(), format!("`{key}` is not a table in this recipe"), None);
        }
    }
    let Some((_, last)) = path.last() else {
        return refuse(0..equals, "an override without a key".to_owned(), Some(FORM.to_owned()));
    };
    let key = Location { source, span: last.clone() };
    let written = &text[equals + 1..];
    let start = equals + 1 + (written.len() - written.trim_start().len());
    let written = written.trim();
    let span = start..start + written.len();
    match DeValue::parse(written) {
        Ok(value) => document.replace(&pointer, key, value.get_ref(), span),
        Err(_) => document.replace(&pointer, key, &DeValue::String(written.into()), span),
    }
}

fn stage_names(recipe: &Value) -> Vec<Option<&str>> {
    let stages = recipe.get("stage").and_then(Value::as_array);
    stages.into_iter().flatten().map(|stage| stage.get("name").and_then(Value::as_str)).collect()
}

/// The parts of a dotted TOML key with their spans, or `None` if it is not one.
fn key_path(text: &str) -> Option<Vec<(String, Range<usize>)>> {
    // The parser reads keys only where a value follows; the spans stay those of `text`.
    let line = format!("{text}=0");
    let table = DeTable::parse(&line).ok()?;
    let mut path = Vec::new();
    let mut at = table.get_ref();
    loop {
        let (key, value) = at.iter().next()?;
        path.push((key.get_ref().to_string(), key.span()));
        match value.get_ref() {
            DeValue::Table(inner) => at = inner,
            _ => return Some(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RECIPE: &str =
        "seed = 1\n[data.rows]\nsource = 'a'\n[[stage]]\nname = 'sft'\n[[stage]]\nname = 'dpo'\nbeta = 0.1\n";

    fn set(texts: &[&str]) -> (Value, Vec<String>) {
        let (mut document, problems) = Document::parse("r.toml", RECIPE).unwrap();
        assert_eq!(problems, vec![]);
        let problems = texts.iter().flat_map(|text| apply(&mut document, text)).collect();
        let rendered = document.diagnostics(problems);
        let messages = rendered.problems().iter().map(|p| p.message.clone()).collect();
        (document.json, messages)
    }

    #[test]
    fn keys_of_the_file_and_of_stages_by_name() {
        let (json, problems) = set(&[
            "stage.dpo.beta = 0.3",
            "stage.sft.lora.rank=4",
            "data.rows.source=[\"b\", \"c\"]",
            "model.base=some/folder",
            "\"seed\"=7",
        ]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(
            json,
            json!({
                "seed": 7,
                "data": { "rows": { "source": ["b", "c"] } },
                "stage": [
                    { "name": "sft", "lora": { "rank": 4 } },
                    { "name": "dpo", "beta": 0.3 }
                ],
                "model": { "base": "some/folder" }
            })
        );
    }

    #[test]
    fn what_cannot_be_set_is_said() {
        let (json, problems) =
            set(&["beta", "=1", "a b=1", "stage.dop.beta=1", "stage.dpo=1", "seed.x=1", "x=nan"]);
        assert_eq!(
            problems,
            [
                "an override without `=`",
                "`` is not a key",
                "`a b` is not a key",
                "no stage is named `dop`",
                "`stage.dpo` is a whole stage",
                "`seed` is not a table in this recipe",
                "`nan` is not a finite number",
            ]
        );
        assert_eq!(json["seed"], 1);
    }
}
