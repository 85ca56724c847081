//! A stage as written, `[defaults]` included → its settings.

use serde_json::{Value, json};

use super::checker::Checker;
use crate::kinds::facts::Losses;
use crate::kinds::{Kind, KindSettings, Role, Source, StageSettings, Trains};
use crate::recipe::schema;
use crate::recipe::stage::StageTable;
use crate::recipe::suggest;
use crate::recipe::written::Recipe;
use crate::train::TrainingSettings;
use crate::train::settings::SEED;

/// Settings of every stage, in the order of the recipe. Where something is missing or wrong, which
/// is then a problem, they are of no use.
pub fn resolve(checker: &mut Checker, recipe: &Recipe) -> serde_json::Result<Vec<StageSettings>> {
    let seed = recipe.seed.unwrap_or(SEED);
    let mut newest = Source::Base;
    let mut newest_reward = None;
    let mut settings = Vec::new();
    for (index, table) in recipe.stage.iter().flatten().enumerate() {
        let name = table.name.clone().unwrap_or_default();
        let training = training(table, seed)?;
        check_training(checker, index, table, &training);
        let has_own_losses = check_losses(checker, index, table);
        let kind = kind(checker, table, has_own_losses, newest_reward.as_ref())?;
        if table.kind.is_some() && has_own_losses {
            check_kind(checker, index, table, &kind, &training);
        }
        let policy = match &table.common.policy {
            Some(policy) => within(checker, policy.clone()),
            None => newest.clone(),
        };
        match kind.facts().trains {
            Trains::RewardModel { .. } => newest_reward = Some(Source::Stage(name.clone())),
            Trains::Policy | Trains::PolicyAndValue => newest = Source::Stage(name.clone()),
        }
        let data = table.common.data.clone().unwrap_or_default();
        settings.push(StageSettings { name, data, policy, kind, training });
    }
    Ok(settings)
}

/// A source whose folder is relative to the recipe's.
fn within(checker: &Checker, source: Source) -> Source {
    match source {
        Source::Folder(folder) => Source::Folder(checker.dir().join(folder)),
        other => other,
    }
}

/// The stage's kind and its keys. A stage without a kind, which is a problem of its own, counts as sft; one
/// that needs a reward model and names none has the newest.
fn kind(
    checker: &Checker,
    table: &StageTable,
    has_own_losses: bool,
    newest_reward: Option<&Source>,
) -> serde_json::Result<KindSettings> {
    let kind = table.kind.unwrap_or(Kind::Sft);
    let mut keys = table.keys.clone();
    keys.insert("kind".to_owned(), json!(kind));
    if !has_own_losses {
        keys.remove("loss_type");
    }
    if let Some(reward) = newest_reward
        && schema::kinds_with(Role::Reward.key()).contains(&kind.name())
    {
        keys.entry(Role::Reward.key()).or_insert_with(|| json!(reward));
    }
    for role in [Role::Reward, Role::Reference] {
        if let Some(Value::String(text)) = keys.get_mut(role.key()) {
            *text = within(checker, Source::from(text.clone())).into();
        }
    }
    serde_json::from_value(Value::Object(keys))
}

/// Keys that every kind has. The default learning rate is the kind's.
fn training(table: &StageTable, seed: u64) -> serde_json::Result<TrainingSettings> {
    let mut training: TrainingSettings = serde_json::from_value(Value::Object(table.keys.clone()))?;
    let rates = table.kind.unwrap_or(Kind::Sft).defaults().facts().learning_rate;
    if !table.keys.contains_key("learning_rate") {
        let has_adapter = training.tuner.is_adapter();
        training.schedule.learning_rate = if has_adapter { rates.lora } else { rates.full };
    }
    if !table.keys.contains_key("seed") {
        training.seed = seed;
    }
    Ok(training)
}

/// Keys that every kind has and that contradict each other.
fn check_training(checker: &mut Checker, index: usize, table: &StageTable, training: &TrainingSettings) {
    let has = |key: &str| table.keys.contains_key(key);
    if has("warmup_ratio") && has("warmup_steps") {
        let other = checker.stage_key_place(index, "warmup_ratio");
        let at = checker.stage_key(index, "warmup_steps");
        let problem = checker.error(&at, "both `warmup_steps` and `warmup_ratio`");
        problem.related.extend(other.map(|place| (place, "the other".to_owned())));
        problem.help = Some("take one of them out".to_owned());
    }
    let max_length = training.max_length;
    if let Some(prompt) = training.max_prompt_length
        && prompt >= max_length
    {
        let at = checker.stage_key(index, "max_prompt_length");
        let message = format!(
            "a prompt of `max_prompt_length` {prompt} leaves no room for an answer in `max_length` {max_length}"
        );
        checker.error(&at, message).help =
            Some("make `max_prompt_length` smaller or `max_length` larger".to_owned());
    }
    if has("lora") && !has("tuner") && checker.has(&format!("/stage/{index}/lora")) {
        let at = checker.stage_key(index, "lora");
        checker.error(&at, "`lora` without `tuner`, whose default is `full`").help =
            Some("add `tuner = \"lora\"`".to_owned());
    }
}

/// Whether the stage's losses are the kind's own. The schema has seen those of the stage's own table, but not
/// those of `[defaults]`.
fn check_losses(checker: &mut Checker, index: usize, table: &StageTable) -> bool {
    let (Some(kind), Some(written)) = (table.kind, table.keys.get("loss_type")) else { return true };
    let Some(losses) = kind.defaults().facts().losses else { return true };
    let Losses { names, lists, .. } = losses();
    let written_names: Vec<&str> = match written {
        Value::Array(losses) => losses.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let foreign = written_names.iter().find(|loss| !names.iter().any(|name| name == *loss));
    let what = match foreign {
        Some(foreign) => format!("cannot be `{foreign}`"),
        None if written.is_array() && !lists => "is one loss, not a list".to_owned(),
        None => return true,
    };
    let at = checker.stage_key(index, "loss_type");
    let stage = table.name.as_deref().unwrap_or("?");
    let message = format!("`loss_type` of {} stage `{stage}` {what}", kind.name());
    checker.error(&at, message).help = Some(format!("choices: {}", suggest::quoted(&names)));
    false
}

/// Keys of a kind that contradict each other.
fn check_kind(
    checker: &mut Checker,
    index: usize,
    table: &StageTable,
    kind: &KindSettings,
    training: &TrainingSettings,
) {
    let is_refused =
        |checker: &Checker, key: &str| checker.document.is_refused(&checker.stage_key(index, key));
    if kind.facts().losses.is_some() && is_refused(checker, "loss_type") {
        return;
    }
    for found in kind.problems(table.name.as_deref().unwrap_or("?"), training) {
        if found.about.iter().any(|key| is_refused(checker, key)) {
            continue;
        }
        let related = found
            .related
            .and_then(|(key, what)| Some((checker.stage_key_place(index, key)?, what.to_owned())));
        let at = checker.stage_key(index, found.key);
        let problem = checker.error(&at, found.message);
        problem.related.extend(related);
        problem.help = Some(found.help);
    }
}
