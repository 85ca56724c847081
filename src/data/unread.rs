//! Warnings about what rows and recipe give to a template that does not read it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::row::{Row, RowTurns};
use crate::template::{ChatTemplate, Message, Rendering};

/// Keys of turns that are checked elsewhere, or that connect a call to its result.
const KNOWN_KEYS: [&str; 5] = ["tool_calls", "tool_call_id", "reasoning_content", "thinking", "reasoning"];

/// What a row gives to its template.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Given {
    template: String,
    /// Whether the row has tools, by which the template is chosen.
    has_tools: bool,
    keys: BTreeSet<String>,
    variables: BTreeSet<String>,
}

/// What `row` gives to its template; `None` if none renders it.
pub fn given(row: &Row, template: &ChatTemplate) -> Option<Given> {
    let turns: Vec<&Message> = match &row.turns {
        RowTurns::Answers { prompt, answers } => prompt.iter().chain(answers.iter().flatten()).collect(),
        RowTurns::Conversation(messages) => messages.iter().collect(),
        RowTurns::Text(_) => return None,
    };
    let name = template.name_of(Rendering { tools: row.tools.as_ref(), ..Rendering::default() })?;
    let held = turns.into_iter().flat_map(|turn| &turn.extra).filter(|(_, value)| !value.is_null());
    let keys = held.map(|(key, _)| key.as_str()).filter(|key| !KNOWN_KEYS.contains(key));
    Some(Given {
        template: name.to_owned(),
        has_tools: row.tools.as_ref().and_then(Value::as_array).is_none_or(|tools| !tools.is_empty())
            && row.tools.is_some(),
        keys: keys.map(str::to_owned).collect(),
        variables: row.chat_template_kwargs.iter().flatten().map(|(name, _)| name.clone()).collect(),
    })
}

/// Warns of keys of turns and of template variables that the template of their rows does not read; if a
/// model has several templates, the warning names it. Also warns of variables of the recipe that only
/// another of the model's templates reads. `has_rows`: whether there are any rows, in `given` or not.
pub fn warn(given: &BTreeSet<&Given>, has_rows: bool, template: &ChatTemplate, ledger: &mut Ledger) {
    let some_tools = json!([{}]);
    let several = template.sources().count() > 1;
    let quoted = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join("`, `");
    let mut nowhere: BTreeSet<&str> = template.kwargs().keys().map(String::as_str).collect();
    let mut by_template: BTreeMap<&str, Vec<&Given>> = BTreeMap::new();
    for given in given {
        by_template.entry(&given.template).or_default().push(given);
    }
    for (name, given) in by_template {
        let which = if several { format!("template `{name}`") } else { "template".to_owned() };
        let tools = given.iter().any(|given| given.has_tools).then_some(&some_tools);
        let rendering = Rendering { tools, ..Rendering::default() };
        let mut keys: BTreeSet<&str> =
            given.iter().flat_map(|given| &given.keys).map(String::as_str).collect();
        let variables = given.iter().flat_map(|given| &given.variables);
        let mut variables: BTreeSet<&str> = variables.map(String::as_str).collect();
        keys.retain(|key| !template.reads_key(key, rendering));
        variables.retain(|variable| !template.reads_variable(variable, rendering));
        nowhere.retain(|variable| !template.reads_variable(variable, rendering));
        if !keys.is_empty() {
            ledger.warn(format!("the {which} does not read these keys of turns: `{}`", quoted(keys)));
        }
        if !variables.is_empty() {
            ledger.warn(format!(
                "the {which} does not read these `chat_template_kwargs` of rows: `{}`",
                quoted(variables)
            ));
        }
    }
    // The plan has a warning about those that no template reads.
    let unread = template.unread(template.kwargs());
    nowhere.retain(|variable| !unread.contains(variable));
    if has_rows {
        ledger.unread_by_rows(nowhere.into_iter().map(str::to_owned).collect());
    }
}
