//! `[model]`: folders that hold what they must, shapes that fit together.

use std::path::{Path, PathBuf};

use super::checker::Checker;
use super::compute::{self, RecipeUse};
use crate::data::hub::{self, RepoKind};
use crate::model::spec::{ModelOrigin, ModelSpec, ScratchSpec, TokenizerSpec};
use crate::recipe::model::{
    INITIALIZER_RANGE, MAX_POSITION_EMBEDDINGS, ModelTable, ROPE_THETA, ScratchTable, TokenizerValue,
};
use crate::recipe::suggest;
use crate::recipe::written::Recipe;
use crate::template;

/// `None` if something is missing, which is then a problem.
pub fn resolve(checker: &mut Checker, recipe: &Recipe, purpose: RecipeUse) -> Option<ModelSpec> {
    let model = recipe.model.as_ref()?;
    let base = checker.is_written("/model/base");
    let scratch = checker.is_written("/model/scratch");
    if base && scratch {
        let message = "`[model]` has both `base` and `[model.scratch]`";
        checker.error("/model/scratch", message).help = Some("take one of them out".to_owned());
    } else if !base && !scratch {
        checker.error("/model", "`[model]` has neither `base` nor `[model.scratch]`").help =
            Some("name a model's folder: `base = \"path/to/model\"`".to_owned());
    }
    if let Some(base) = &model.base {
        check_base(checker, base);
    }
    if let Some(adapter) = &model.adapter {
        check_adapter(checker, adapter, scratch);
    }
    let (device, dtype) = compute::resolve(checker, model, purpose);
    let template = chat_template(checker, model, scratch);
    let origin = match (&model.base, &model.scratch) {
        (Some(base), _) => ModelOrigin::Folder(base_folder(checker, base)),
        (None, Some(scratch)) => ModelOrigin::Scratch(scratch_spec(checker, recipe, scratch)?),
        (None, None) => return None,
    };
    let adapter = model.adapter.as_ref().map(|adapter| checker.path(adapter));
    let head = model.head.as_ref().map(|head| checker.path(head));
    let chat_template_kwargs = model.chat_template_kwargs.clone().unwrap_or_default();
    if let Some(name) = template::reserved(&chat_template_kwargs) {
        let message = format!("`{name}` {}", template::is_reserved(name));
        checker.error(&format!("/model/chat_template_kwargs/{name}"), message).help =
            Some("take it out".to_owned());
    }
    Some(ModelSpec { origin, adapter, head, template, chat_template_kwargs, device, dtype })
}

pub const HUGGING_FACE_LAYOUT: &str = "give the folder of a model in Hugging Face layout";

/// What is wrong with a model's folder that lacks files.
pub fn lacking(folder: &str, files: &[&str]) -> String {
    format!("the model folder `{folder}` has no {}", suggest::quoted(files))
}

/// A model's folder, or, of a hub id that is no folder, the one in the local Hugging Face cache.
fn base_folder(checker: &Checker, base: &str) -> PathBuf {
    let path = checker.path(base);
    if path.exists() || !is_hub_id(base) {
        return path;
    }
    let cached = hub::cache().and_then(|cache| hub::snapshot(&cache, base, RepoKind::Model));
    cached.unwrap_or(path)
}

fn check_base(checker: &mut Checker, base: &str) {
    let at = "/model/base";
    let path = base_folder(checker, base);
    if path.is_dir() {
        // Only a run needs the weights.
        let missing: Vec<&str> =
            ["config.json", "tokenizer.json"].into_iter().filter(|name| !path.join(name).is_file()).collect();
        if !missing.is_empty() {
            checker.error(at, lacking(base, &missing)).help = Some(HUGGING_FACE_LAYOUT.to_owned());
        }
    } else if path.exists() {
        checker.error(at, format!("`{base}` is a file, not a model's folder"));
    } else if is_hub_id(base) {
        let message = format!("there is no folder `{base}`, nor such a model in the Hugging Face cache");
        checker.error(at, message).help = Some(format!("get it with `hf download {base}`"));
    } else {
        checker.error(at, format!("there is no folder `{base}`")).help =
            Some("paths are relative to the recipe's folder".to_owned());
    }
}

/// `org/name`
fn is_hub_id(text: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    matches!(text.split('/').collect::<Vec<_>>().as_slice(), [org, name] if is_part(org) && is_part(name))
}

fn check_adapter(checker: &mut Checker, adapter: &str, scratch: bool) {
    let at = "/model/adapter";
    let path = checker.path(adapter);
    if scratch {
        checker.error(at, "an adapter belongs to the model it was trained on, not to random weights");
    } else if !path.is_dir() {
        checker.error(at, format!("there is no folder `{adapter}`")).help =
            Some("paths are relative to the recipe's folder".to_owned());
    } else {
        let missing: Vec<&str> = ["adapter_config.json", "adapter_model.safetensors"]
            .into_iter()
            .filter(|name| !path.join(name).is_file())
            .collect();
        if !missing.is_empty() {
            let message = format!("the adapter folder `{adapter}` has no {}", suggest::quoted(&missing));
            checker.error(at, message).help = Some("give the folder of an adapter in PEFT layout".to_owned());
        }
    }
}

fn chat_template(checker: &mut Checker, model: &ModelTable, scratch: bool) -> Option<String> {
    let at = "/model/template";
    let shipped: Vec<&str> = template::shipped_names().collect();
    let choose = format!("choose one: {}, or a `.jinja` file", suggest::quoted(&shipped));
    match model.template.as_deref() {
        None | Some("model") => {
            let lacks = model.base.as_ref().is_some_and(|base| {
                let folder = base_folder(checker, base);
                folder.join("config.json").is_file() && !has_template(&folder)
            });
            if (scratch || lacks) && !checker.document.is_refused(at) {
                let whose = if scratch { "a model from scratch" } else { "this model" };
                checker.error(at, format!("{whose} has no chat template of its own")).help =
                    Some(format!("add `template` to `[model]`; {choose}"));
            }
            if let Some(Ok(own)) = model.base.as_ref().map(|base| template::own(&base_folder(checker, base)))
                && !own.is_empty()
                && !own.contains_key(template::DEFAULT)
                && !own.contains_key(template::TOOL_USE)
            {
                let message =
                    format!("this model has several chat templates, none called `{}`", template::DEFAULT);
                checker.error(at, message).help =
                    Some(format!("set `template` in `[model]`: {}", template::choices(own.keys())));
            }
            None
        }
        Some(name) if name.starts_with(template::OF_MODEL) => {
            let folder = model.base.as_ref().map(|base| base_folder(checker, base));
            let own = folder.and_then(|folder| template::own(&folder).ok()).unwrap_or_default();
            if !own.contains_key(&name[template::OF_MODEL.len()..]) {
                let message =
                    format!("this model has no chat template `{}`", &name[template::OF_MODEL.len()..]);
                checker.error(at, message).help = Some(match own.is_empty() {
                    true => choose,
                    false => format!("it has {}", template::choices(own.keys())),
                });
            }
            Some(name.to_owned())
        }
        Some(name) if shipped.contains(&name) => Some(name.to_owned()),
        Some(name) => {
            let path = checker.path(name);
            if !path.is_file() {
                let near = suggest::nearest(name, shipped.iter().copied().chain(["model"]));
                let help = near.map_or(choose, |near| format!("did you mean `{near}`?"));
                let message = format!("`{name}` is neither a shipped template nor a file");
                checker.error(at, message).help = Some(help);
            }
            Some(path.display().to_string())
        }
    }
}

/// Whether a model's folder brings a chat template.
fn has_template(folder: &Path) -> bool {
    // What is wrong with its files is reported where they are read.
    template::own(folder).is_ok_and(|own| !own.is_empty())
}

fn scratch_spec(checker: &mut Checker, recipe: &Recipe, scratch: &ScratchTable) -> Option<ScratchSpec> {
    let at = |key: &str| format!("/model/scratch/{key}");
    let tokenizer = match scratch.tokenizer.as_ref() {
        None => None,
        Some(TokenizerValue::Path(written)) => {
            let path = checker.path(written);
            if !path.is_file() && !path.join("tokenizer.json").is_file() {
                let message = format!("`{written}` is neither a `tokenizer.json` nor a folder with one");
                checker.error(&at("tokenizer"), message);
            }
            Some(TokenizerSpec::Path(path))
        }
        Some(TokenizerValue::Train(value)) => value.train.as_ref().and_then(|train| {
            let data = train.data.clone()?;
            super::data::check_name(checker, recipe, &at("tokenizer/train/data"), &data);
            Some(TokenizerSpec::Train { vocab_size: train.vocab_size?, data })
        }),
    };
    let (hidden, heads) = (scratch.hidden_size?, scratch.num_attention_heads?);
    let kv_heads = scratch.num_key_value_heads.unwrap_or(heads);
    if !heads.is_multiple_of(kv_heads) {
        let message = format!("{kv_heads} key-value heads do not divide {heads} attention heads");
        checker.error(&at("num_key_value_heads"), message);
    }
    let does_not_divide = scratch.head_dim.is_none() && !hidden.is_multiple_of(heads);
    if does_not_divide {
        let message = format!("{heads} attention heads do not divide a hidden size of {hidden}");
        checker.error(&at("num_attention_heads"), message).help =
            Some("change one of them, or set `head_dim`".to_owned());
    }
    let head_dim = scratch.head_dim.unwrap_or(hidden / heads);
    if !head_dim.is_multiple_of(2) && !does_not_divide {
        let key = if scratch.head_dim.is_some() { "head_dim" } else { "num_attention_heads" };
        checker.error(&at(key), format!("a head {head_dim} wide cannot be rotated")).help =
            Some("rotary positions need an even width".to_owned());
    }
    Some(ScratchSpec {
        architecture: scratch.architecture?,
        hidden_size: hidden,
        num_hidden_layers: scratch.num_hidden_layers?,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        intermediate_size: scratch.intermediate_size?,
        max_position_embeddings: scratch.max_position_embeddings.unwrap_or(MAX_POSITION_EMBEDDINGS),
        rope_theta: scratch.rope_theta.unwrap_or(ROPE_THETA),
        tie_word_embeddings: scratch.tie_word_embeddings.unwrap_or(false),
        initializer_range: scratch.initializer_range.unwrap_or(INITIALIZER_RANGE),
        tokenizer: tokenizer?,
    })
}
