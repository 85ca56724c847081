//! Warnings about what rows and recipe give to a template that does not read it.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Ledger;
use super::row::{Row, RowTurns};
use crate::template::{ChatTemplate, Message, Rendering};

/// Keys of turns that are checked elsewhere, or that connect a call to its result.
const KNOWN_KEYS: [&str; 5] = ["tool_calls", "tool_call_id", "reasoning_content", "thinking", "reasoning"];

/// What the rows that one template renders give to it.
struct Given<'a> {
    rendering: Rendering<'a>,
    keys: BTreeSet<&'a str>,
    variables: BTreeSet<&'a str>,
}

/// Warns of keys of turns and of template variables that the template of their rows does not read; if a
/// model has several templates, the warning names it. Also warns of variables of the recipe that only
/// another of the model's templates reads.
pub fn warn(rows: &[Row], template: &ChatTemplate, ledger: &mut Ledger) {
    let mut given: BTreeMap<&str, Given> = BTreeMap::new();
    for row in rows {
        let turns: Vec<&Message> = match &row.turns {
            RowTurns::Answers { prompt, answers } => prompt.iter().chain(answers.iter().flatten()).collect(),
            RowTurns::Conversation(messages) => messages.iter().collect(),
            RowTurns::Text(_) => continue,
        };
        let rendering = Rendering { tools: row.tools.as_ref(), ..Rendering::default() };
        let Some(name) = template.name_of(rendering) else { continue };
        let given = given.entry(name).or_insert_with(|| Given {
            rendering,
            keys: BTreeSet::new(),
            variables: BTreeSet::new(),
        });
        let held = turns.into_iter().flat_map(|turn| &turn.extra).filter(|(_, value)| !value.is_null());
        given.keys.extend(held.map(|(key, _)| key.as_str()).filter(|key| !KNOWN_KEYS.contains(key)));
        given.variables.extend(row.chat_template_kwargs.iter().flatten().map(|(name, _)| name.as_str()));
    }
    let several = template.sources().count() > 1;
    let quoted = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join("`, `");
    let mut nowhere: BTreeSet<&str> = template.kwargs().keys().map(String::as_str).collect();
    for (name, mut given) in given {
        let which = if several { format!("template `{name}`") } else { "template".to_owned() };
        given.keys.retain(|key| !template.reads_key(key, given.rendering));
        given.variables.retain(|variable| !template.reads_variable(variable, given.rendering));
        nowhere.retain(|variable| !template.reads_variable(variable, given.rendering));
        if !given.keys.is_empty() {
            ledger.warn(format!("the {which} does not read these keys of turns: `{}`", quoted(given.keys)));
        }
        if !given.variables.is_empty() {
            ledger.warn(format!(
                "the {which} does not read these `chat_template_kwargs` of rows: `{}`",
                quoted(given.variables)
            ));
        }
    }
    // The plan has a warning about those that no template reads.
    let unread = template.unread(template.kwargs());
    nowhere.retain(|variable| !unread.contains(variable));
    if !rows.is_empty() {
        ledger.unread_by_rows(nowhere.into_iter().map(str::to_owned).collect());
    }
}
