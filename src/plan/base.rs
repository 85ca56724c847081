//! The model that everything starts from, without its weights: its config, tokenizer and template, and the
//! hashes of its content.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::backend::compute::Dtype;
use crate::backend::new_file::copy;
use crate::data::Tokenizer;
use crate::data::spec::DataSpec;
use crate::kinds::{Role, Source, StageSettings};
use crate::model::artifact::Artifact;
use crate::model::config::Config;
use crate::model::fault::Fault;
use crate::model::folder::{ModelFolder, generation};
use crate::model::scratch::Vocabulary;
use crate::model::spec::{ModelOrigin, ScratchSpec, TokenizerSpec};
use crate::plan::content::{self, Hashes};
use crate::plan::fingerprint::flatten;
use crate::plan::folder::{RunFolder, from_here};
use crate::plan::model_files::{hash_files, hash_folder};
use crate::plan::models::{self, OpenedBase};
use crate::plan::record::FilesRecord;
use crate::plan::resolve::{Resolved, uses_head};
use crate::plan::scratch_tokenizer::{TokenizerSource, copy_tokenizer};
use crate::plan::vocabulary;
use crate::template::{ADDITIONAL, ChatTemplate};

/// Files of the base that a result gets beside its weights, and that nothing here reads but for the tokens
/// that end texts.
const CARRIED: [&str; 4] = ["generation_config.json", "vocab.json", "merges.txt", "tokenizer.model"];
/// The template of a model from random weights. A tokenizer that is trained has its tokens.
const SCRATCH_TEMPLATE: &str = "chatml";
/// In a folder of random weights: the digest of what it was made from.
const MADE_FROM: &str = "made-from.txt";
/// In such a folder: the record of its files.
const MADE_FILES: &str = "files.json";

/// The name of the content of `[model] head`.
const VALUE_HEAD_CONTENT: &str = "value head";

/// What stands before the names of a reward model's files, and of those that its adapter is for.
pub const REWARD_CONTENT: &str = "reward ";
const REWARD_BASE_CONTENT: &str = "reward base ";

/// The base model, opened without its weights.
#[derive(Debug)]
pub struct Base {
    pub artifact: Artifact,
    pub config: Config,
    pub tokenizer: Tokenizer,
    pub template: ChatTemplate,
    /// For fingerprints: file → content hash.
    pub content: BTreeMap<String, String>,
    /// For fingerprints: settings of random weights.
    pub settings: BTreeMap<String, Value>,
    pub scratch: Option<Scratch>,
    /// Why it cannot predict tokens; `None` if it can.
    pub headless: Option<Fault>,
    /// What is wrong with it, apart from what would keep it from being opened.
    pub faults: Vec<Fault>,
    /// What a person should know of it.
    pub warnings: Vec<String>,
}

/// Random weights, yet to be made or made by an earlier run.
#[derive(Debug)]
pub struct Scratch {
    pub spec: ScratchSpec,
    pub vocabulary: Vocabulary,
    pub seed: u64,
    pub dtype: Dtype,
    /// Digest of all that the weights and the tokenizer follow from.
    made_from: String,
    /// The tokenizer's files, where the model is not made yet.
    tokenizer: Option<TempDir>,
}

impl Base {
    /// Opens the recipe's model. A tokenizer that is to be trained is trained here, unless the run's
    /// folder has it already.
    pub fn open(recipe: &Resolved, folder: &RunFolder, hashes: &mut Hashes) -> Result<Self> {
        match &recipe.model.origin {
            ModelOrigin::Folder(path) => Self::of_folder(recipe, path, hashes),
            ModelOrigin::Scratch(spec) => Self::of_scratch(recipe, spec, &folder.base(), hashes),
        }
    }

    fn of_folder(recipe: &Resolved, path: &Path, hashes: &mut Hashes) -> Result<Self> {
        let adapter = recipe.model.adapter.as_deref().map(from_here);
        let mut content = hash_folder(path, "", hashes)?;
        content.extend(hash_files(path, "", &CARRIED, hashes)?);
        if let Some(adapter) = &adapter {
            content.extend(hash_folder(adapter, "adapter ", hashes)?);
        }
        let head = recipe.model.head.as_deref().map(from_here);
        if let Some(head) = &head {
            content.insert(VALUE_HEAD_CONTENT.to_owned(), hashes.file(head)?);
        }
        let template = ChatTemplate::for_model(recipe.model.template.as_deref(), &recipe.dir, Some(path))?
            .with_kwargs(recipe.model.chat_template_kwargs.clone())?;
        content.insert("chat template".to_owned(), content::text(&template.identity()));
        let OpenedBase { config, headless, mut faults, mut warnings } = models::open_base(recipe, path)?;
        let tokenizer = Tokenizer::from_folder(path)?;
        let (unsound, unusable) = vocabulary::check(&tokenizer, &config, path);
        faults.extend(unsound);
        warnings.extend(unusable);
        match generation::check(path) {
            Ok(warning) => warnings.extend(warning),
            Err(wrong) => faults.extend(wrong.0),
        }
        Ok(Self {
            artifact: match head {
                Some(head) => Artifact { base: from_here(path), adapter, head: Some(head) },
                None => Artifact::of(from_here(path), adapter),
            },
            config,
            tokenizer,
            template,
            content,
            settings: template_settings(recipe),
            scratch: None,
            headless,
            faults,
            warnings,
        })
    }

    fn of_scratch(recipe: &Resolved, spec: &ScratchSpec, folder: &Path, hashes: &mut Hashes) -> Result<Self> {
        let mut settings = BTreeMap::new();
        let mut shape = serde_json::to_value(spec)?;
        if let Some(shape) = shape.as_object_mut() {
            shape.shift_remove("tokenizer");
        }
        flatten("model.scratch", shape, &mut settings);
        settings.insert("model.seed".to_owned(), Value::from(recipe.seed));
        if recipe.model.dtype != Dtype::default() {
            settings.insert("model.dtype".to_owned(), Value::from(recipe.model.dtype.name()));
        }
        let source = TokenizerSource::of(recipe, &spec.tokenizer)?;
        let template = recipe.model.template.as_deref();
        let template = match &source {
            TokenizerSource::Folder(path) => ChatTemplate::for_model(template, &recipe.dir, Some(path)),
            TokenizerSource::Train { .. } => {
                ChatTemplate::for_model(template.or(Some(SCRATCH_TEMPLATE)), &recipe.dir, None)
            }
        }?;
        let mut content = source.content(hashes)?;
        content.insert("chat template".to_owned(), content::text(&template.identity()));
        if let TokenizerSource::Train { vocab_size, data, need } = &source {
            settings.insert("model.scratch.tokenizer.rows".to_owned(), Value::from(need.name()));
            settings.insert("model.scratch.tokenizer.vocab_size".to_owned(), Value::from(*vocab_size));
            settings.extend(data_settings("model.scratch.tokenizer.data", data)?);
        }
        let made_from = content::text(&serde_json::to_string(&(&settings, &content))?);
        let made = fs::read_to_string(folder.join(MADE_FROM)).is_ok_and(|digest| digest == made_from)
            && is_as_written(folder, hashes);
        let unmade = if made { None } else { Some(source.write(&template)?) };
        let files = unmade.as_ref().map_or(folder, TempDir::path);
        let tokenizer = Tokenizer::from_folder(files)?;
        // The model does not depend on them, but all rows do.
        settings.extend(template_settings(recipe));
        let vocabulary = Vocabulary {
            size: tokenizer.embedding_rows(),
            eos: tokenizer.eos_id(),
            pad: tokenizer.special_tokens().get("pad_token").and_then(|token| tokenizer.id(token)),
        };
        let config = Config::scratch(spec, vocabulary.size, vocabulary.eos, vocabulary.pad)?;
        let named = match &spec.tokenizer {
            TokenizerSpec::Path(path) => path,
            TokenizerSpec::Train { .. } => folder,
        };
        let (faults, _) = vocabulary::check(&tokenizer, &config, named);
        if made && let Err(error) = ModelFolder::open(folder) {
            bail!("the model that an earlier run made is damaged: {error:#}; remove `{}`", folder.display())
        }
        Ok(Self {
            artifact: Artifact { base: folder.to_owned(), adapter: None, head: None },
            config,
            headless: None,
            faults,
            warnings: Vec::new(),
            // The template is read again, because its special tokens come from the tokenizer's files.
            template: ChatTemplate::for_model(recipe.model.template.as_deref(), &recipe.dir, Some(files))?
                .with_kwargs(recipe.model.chat_template_kwargs.clone())?,
            tokenizer,
            content,
            settings,
            scratch: Some(Scratch {
                spec: spec.clone(),
                vocabulary,
                seed: recipe.seed,
                dtype: recipe.model.dtype,
                made_from,
                tokenizer: unmade,
            }),
        })
    }
}

impl Base {
    /// What `stage` follows from, of the base and of a reward model in a folder: file → content hash.
    pub fn content_for(
        &self,
        stage: &StageSettings,
        hashes: &mut Hashes,
    ) -> Result<BTreeMap<String, String>> {
        let mut content = self.content.clone();
        if !uses_head(stage) {
            content.remove(VALUE_HEAD_CONTENT);
        }
        for (_, source) in stage.kind.facts().sources.iter().filter(|(role, _)| *role == Role::Reward) {
            let Source::Folder(folder) = source else { continue };
            content.extend(hash_folder(folder, REWARD_CONTENT, hashes)?);
            let base = Artifact::of_folder(folder).base;
            if base != *folder {
                content.extend(hash_folder(&base, REWARD_BASE_CONTENT, hashes)?);
            }
        }
        Ok(content)
    }
}

impl Scratch {
    /// Whether the model has yet to be made.
    pub fn is_unmade(&self) -> bool {
        self.tokenizer.is_some()
    }

    /// Writes the tokenizer's files into `folder`, and the digest that tells a later run that this
    /// is the model it wants.
    pub fn write_tokenizer(&self, folder: &Path) -> Result<()> {
        if let Some(tokenizer) = &self.tokenizer {
            copy_tokenizer(tokenizer.path(), folder)?;
            let (from, to) = (tokenizer.path().join(ADDITIONAL), folder.join(ADDITIONAL));
            if from.is_dir() {
                fs::create_dir_all(&to).with_context(|| format!("cannot make `{}`", to.display()))?;
                for entry in fs::read_dir(&from)? {
                    let entry = entry?;
                    copy(&entry.path(), &to.join(entry.file_name()))?;
                }
            }
        }
        fs::write(folder.join(MADE_FROM), &self.made_from)?;
        Ok(())
    }

    /// Writes the record of the files in `folder`, which are all there.
    pub fn write_record(&self, folder: &Path) -> Result<()> {
        let record = FilesRecord::of(folder, &self.made_from, None)?;
        fs::write(folder.join(MADE_FILES), record.to_bytes()?)?;
        Ok(())
    }
}

/// Whether the files of a folder with random weights are those that were written. Those of earlier versions
/// have no record.
fn is_as_written(folder: &Path, hashes: &mut Hashes) -> bool {
    let path = folder.join(MADE_FILES);
    let record = FilesRecord::read(&path);
    record.map_or(!path.exists(), |record| record.change(folder, hashes).is_none())
}

/// The variables that a recipe gives its template, as settings.
fn template_settings(recipe: &Resolved) -> BTreeMap<String, Value> {
    let kwargs = recipe.model.chat_template_kwargs.iter();
    kwargs.map(|(name, value)| (format!("model.chat_template_kwargs.{name}"), value.clone())).collect()
}

/// How the rows of a data set are read: what enters a fingerprint besides the files themselves.
pub fn data_settings(key: &str, data: &DataSpec) -> Result<BTreeMap<String, Value>> {
    let DataSpec { format, columns, roles, eval_fraction, limit, .. } = data;
    let mut flat = BTreeMap::new();
    flatten(&format!("{key}.format"), serde_json::to_value(format)?, &mut flat);
    flatten(&format!("{key}.columns"), serde_json::to_value(columns)?, &mut flat);
    flatten(&format!("{key}.roles"), serde_json::to_value(roles)?, &mut flat);
    flatten(&format!("{key}.eval_fraction"), serde_json::to_value(eval_fraction)?, &mut flat);
    flatten(&format!("{key}.limit"), serde_json::to_value(limit)?, &mut flat);
    Ok(flat)
}
