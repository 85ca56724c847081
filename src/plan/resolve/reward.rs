//! `reward` of a ppo stage, and the value head of `[model]`: that what is named is a reward model,
//! and one that reads the policy's tokens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::checker::Checker;
use crate::json_file;
use crate::kinds::{Role, Source, StageSettings, Trains};
use crate::model::artifact::Artifact;
use crate::model::config::Config;
use crate::model::pooling;
use crate::model::spec::{ModelOrigin, ModelSpec, TokenizerSpec};
use crate::model::value_head::FILE as VALUE_HEAD;
use crate::model::value_head::StoredHead;
use crate::plan::openable;
use crate::recipe::schema::kinds_with;
use crate::recipe::stage::StageTable;
use crate::recipe::suggest;
use crate::recipe::written::Recipe;

/// Names of a value head's weight: ours (and TRL's), and that of sequence classification.
const HEAD_WEIGHTS: [&str; 2] = ["v_head.summary.weight", "score.weight"];

const REWARD_MODELS: &str = "give the `model` folder of a finished rm stage, a sequence classifier with one \
     label as transformers saves it, or an adapter of one as PEFT does";

/// Checks the reward model of every stage that needs one.
pub fn check(checker: &mut Checker, recipe: &Recipe, settings: &[StageSettings], model: Option<&ModelSpec>) {
    let tables = recipe.stage.as_deref().unwrap_or_default();
    let needs_reward = |stage: &StageSettings| kinds_with(Role::Reward.key()).contains(&stage.kind.name());
    for (index, stage) in settings.iter().enumerate().filter(|(_, stage)| needs_reward(stage)) {
        let at = checker.stage_key(index, Role::Reward.key());
        let sources = stage.kind.facts().sources;
        let named = sources.into_iter().find(|(role, _)| *role == Role::Reward).map(|(_, source)| source);
        match named {
            _ if checker.document.is_refused(&at) => {}
            None => {
                let name = if stage.name.is_empty() { "?" } else { &stage.name };
                checker.error(&at, format!("stage `{name}` has no reward model")).help = Some(
                    "put an rm stage before it, or name one: `reward = \"stage:NAME\"`, or a folder"
                        .to_owned(),
                );
            }
            Some(Source::Stage(_)) => {}
            Some(Source::Folder(folder)) => check_folder(checker, tables, &at, folder, model),
            Some(Source::Base) => {
                if !checker.is_written("/model/head") && model.and_then(own_head).is_none() {
                    checker.error(&at, "the base model has no value head, so it gives no reward").help =
                        Some("name a file with one: `head` of `[model]`".to_owned());
                }
            }
        }
    }
}

fn check_folder(
    checker: &mut Checker,
    stages: &[StageTable],
    at: &str,
    folder: &Path,
    model: Option<&ModelSpec>,
) {
    let written = folder.strip_prefix(checker.dir()).unwrap_or(folder).display().to_string();
    if !folder.is_dir() {
        let is_stage = stages.iter().any(|stage| stage.name.as_deref() == Some(written.as_str()));
        checker.error(at, format!("there is no folder `{written}`")).help = Some(match is_stage {
            true => format!("did you mean `stage:{written}`?"),
            false => "paths are relative to the recipe's folder".to_owned(),
        });
        return;
    }
    let artifact = Artifact::of_folder(folder);
    if artifact.head.is_none() && openable::check_readable(&artifact).is_ok() {
        let message = format!(
            "`{written}` is no reward model: it has no `{VALUE_HEAD}`, and its weights have no `score.weight`"
        );
        checker.error(at, message).help = Some(REWARD_MODELS.to_owned());
        return;
    }
    let theirs = [folder.to_owned(), artifact.base].map(|folder| folder.join("tokenizer.json"));
    let Some(theirs) = theirs.into_iter().find(|path| path.is_file()) else {
        checker.error(at, format!("the reward model `{written}` has no `tokenizer.json`")).help =
            Some(REWARD_MODELS.to_owned());
        return;
    };
    if let Some(own) = model.and_then(tokenizer_of)
        && let Some(difference) = difference(&own, &theirs)
    {
        let message = format!("the reward model `{written}` has another tokenizer: {difference}");
        checker.error(at, message).help =
            Some("policy and reward model read the same tokens: train one from the same base".to_owned());
    }
}

/// The base's `tokenizer.json`; `None` if it is made only later.
fn tokenizer_of(model: &ModelSpec) -> Option<PathBuf> {
    let folder = match &model.origin {
        ModelOrigin::Folder(folder) => folder,
        ModelOrigin::Scratch(scratch) => match &scratch.tokenizer {
            TokenizerSpec::Path(path) if path.is_file() => return Some(path.clone()),
            TokenizerSpec::Path(path) => path,
            TokenizerSpec::Train { .. } => return None,
        },
    };
    Some(folder.join("tokenizer.json"))
}

/// How the vocabularies of two `tokenizer.json` files differ, ours first; `None` if they do not, or if
/// ours cannot be read, which is a problem of its own.
fn difference(own: &Path, theirs: &Path) -> Option<String> {
    let own = vocabulary(own)?;
    let Some(theirs) = vocabulary(theirs) else { return Some("it cannot be read".to_owned()) };
    if own.len() != theirs.len() {
        return Some(format!("{} tokens, where the base has {}", theirs.len(), own.len()));
    }
    own.iter().find_map(|(token, id)| match theirs.get(token) {
        None => Some(format!("it has no token `{token}`")),
        Some(other) if other != id => Some(format!("token `{token}` is {other}, and {id} in the base")),
        Some(_) => None,
    })
}

/// Token → id, added tokens included.
fn vocabulary(path: &Path) -> Option<BTreeMap<String, u64>> {
    let json = json_file::read(path).ok()?;
    let mut tokens = BTreeMap::new();
    match &json["model"]["vocab"] {
        Value::Object(vocab) => {
            tokens.extend(vocab.iter().filter_map(|(token, id)| Some((token.clone(), id.as_u64()?))));
        }
        // Unigram: pieces with their scores, in the order of their ids.
        Value::Array(pieces) => {
            let pieces = pieces.iter().map(|piece| piece[0].as_str().map(str::to_owned));
            tokens.extend(pieces.zip(0..).filter_map(|(piece, id)| Some((piece?, id))));
        }
        _ => {}
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        if let (Some(token), Some(id)) = (added["content"].as_str(), added["id"].as_u64()) {
            tokens.insert(token.to_owned(), id);
        }
    }
    Some(tokens)
}

/// The file with a head that the base or its adapter brings along.
pub fn own_head(model: &ModelSpec) -> Option<PathBuf> {
    let ModelOrigin::Folder(base) = &model.origin else { return None };
    Artifact::of(base.clone(), model.adapter.clone()).head
}

/// Checks `head` of `[model]`, or else the head that the base or its adapter brings along, and whether
/// anything starts from it.
pub fn check_head(
    checker: &mut Checker,
    recipe: &Recipe,
    model: Option<&ModelSpec>,
    stages: &[StageSettings],
) {
    let config = model.and_then(|model| match &model.origin {
        ModelOrigin::Folder(base) => Config::read(base).ok(),
        ModelOrigin::Scratch(_) => None,
    });
    if let (Some(model), Some(config)) = (model, &config) {
        check_bias(checker, model, config, stages);
    }
    let Some(written) = recipe.model.as_ref().and_then(|model| model.head.as_deref()) else {
        if let Some((model, path)) = model.and_then(|model| Some((model, own_head(model)?))) {
            check_own_head(checker, model, &path, config.as_ref(), stages);
        }
        return;
    };
    let at = "/model/head";
    let path = checker.path(written);
    if checker.is_written("/model/scratch") {
        checker.error(at, "a value head belongs to the model it was trained on, not to random weights");
    } else if !path.is_file() {
        checker.error(at, format!("there is no file `{written}`")).help =
            Some("paths are relative to the recipe's folder".to_owned());
    } else if StoredHead::find(&path).is_ok_and(|head| head.is_none()) {
        checker.error(at, format!("`{written}` has no value head")).help =
            Some(format!("it must be a safetensors file with one of {}", suggest::quoted(&HEAD_WEIGHTS)));
    } else if !stages.iter().any(uses_head) {
        let message = "`head` does nothing: no rm stage starts from the base, and no `reward` is `base`";
        match openable::find_head(&path, config.as_ref()) {
            Ok(_) => checker.warning(at, message),
            Err(error) => checker.error(at, format!("{error:#}")),
        };
    } else {
        check_found(checker, at, openable::find_head(&path, config.as_ref()), None);
    }
}

/// A head that a stage uses, or why it cannot be.
fn check_found(checker: &mut Checker, at: &str, found: Result<StoredHead>, help: Option<&str>) {
    match found {
        Ok(head) => {
            if let Some(warning) = head.warning() {
                checker.warning(at, warning);
            }
        }
        Err(error) => checker.error(at, format!("{error:#}")).help = help.map(str::to_owned),
    }
}

/// A head that nobody named.
fn check_own_head(
    checker: &mut Checker,
    model: &ModelSpec,
    path: &Path,
    config: Option<&Config>,
    stages: &[StageSettings],
) {
    let of_adapter = model.adapter.as_ref().is_some_and(|adapter| path.starts_with(adapter));
    let (at, whose) = if of_adapter { ("/model/adapter", "adapter") } else { ("/model/base", "base") };
    if !stages.iter().any(uses_head) {
        let message = format!(
            "the {whose} is a reward model, and its head (`{}`) does nothing: no rm stage starts from it, and \
             no `reward` is `base`",
            path.file_name().unwrap_or_default().display()
        );
        checker.warning(at, message);
    } else {
        let help = "name another head, `head` of `[model]`, or a base without one";
        check_found(checker, at, openable::find_head(path, config), Some(help));
    }
}

/// Warns of a bias that is asked for where the head has no place for one.
fn check_bias(checker: &mut Checker, model: &ModelSpec, config: &Config, stages: &[StageSettings]) {
    let head = model.head.clone().or_else(|| own_head(model));
    // What cannot be read is reported elsewhere.
    if !pooling::is_classifier(config, model.adapter.as_deref(), head.as_deref()).unwrap_or(false) {
        return;
    }
    let mut places: Vec<String> = Vec::new();
    for (index, stage) in stages.iter().enumerate().filter(|(_, stage)| stage.policy == Source::Base) {
        let at = checker.stage_key(index, "head_bias");
        if stage.kind.facts().trains == (Trains::RewardModel { head_bias: true }) && checker.has(&at) {
            places.push(at);
        }
    }
    places.dedup();
    for at in places {
        let message =
            "`head_bias` does nothing: the head of a sequence classifier (`score.weight`) has no bias";
        checker.warning(&at, message);
    }
}

/// Whether a stage reads the value head of `[model]`.
pub fn uses_head(stage: &StageSettings) -> bool {
    let facts = stage.kind.facts();
    let starts_from_it = matches!(facts.trains, Trains::RewardModel { .. }) && stage.policy == Source::Base;
    starts_from_it || facts.sources.contains(&(Role::Reward, &Source::Base))
}
