//! Where each tensor of an adapter belongs. What [`Adapter::places`] lets through can be loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::config::AdapterConfig;
use super::keys::{Remedy, quoted};
use super::modules::{EMBEDDING, HEAD, linears};
use crate::backend::header::{StoredTensor, read_header};
use crate::model::config::Config;

/// The file of the weights in an adapter's folder.
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT writes before a module's name.
pub const PREFIX: &str = "base_model.model.";

/// Names that a message lists at most.
const LISTED: usize = 3;

/// An adapter's folder, opened but for its weights.
#[derive(Debug, Clone)]
pub struct Adapter {
    pub config: AdapterConfig,
    /// The file of the weights.
    pub file: PathBuf,
    tensors: BTreeMap<String, StoredTensor>,
}

/// LoRA's matrices of one module.
#[derive(Debug, Clone, PartialEq)]
pub struct Low {
    /// Name of A, `[rank, in]`; of an embedding `[rank, vocabulary]`.
    pub a: String,
    /// Name of B, `[out, rank]`; of an embedding `[hidden, rank]`.
    pub b: String,
    pub rank: usize,
    pub alpha: f64,
    /// α / r, or α / √r.
    pub scale: f64,
}

/// What an adapter has for the embedding or for the head.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdapterTable {
    /// Name of a tensor in place of the base's.
    pub stored: Option<String>,
    /// Whether `modules_to_save` names it: then it is trained, and no longer tied.
    pub saved: bool,
    pub low: Option<Low>,
}

/// Every tensor of an adapter in its place in a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Places {
    /// Module → matrices.
    pub linears: BTreeMap<String, Low>,
    pub embedding: AdapterTable,
    pub head: AdapterTable,
    /// Name of the weight of a sequence classifier's head.
    pub score: Option<String>,
    /// What is passed over, and why that does no harm.
    pub warnings: Vec<String>,
}

impl Adapter {
    /// Reads the configuration and the header of the weights. Errors, which name the file, if one of them
    /// cannot be read, or if there is an option that the decoder does not have.
    pub fn open(folder: &Path) -> Result<Self> {
        let config = AdapterConfig::read(folder)?;
        let file = folder.join(WEIGHTS);
        let tensors = read_header(&file)?;
        Ok(Adapter { config, file, tensors })
    }

    /// The last parts of the names of modules of the layers that LoRA is on.
    pub fn modules(&self) -> BTreeSet<String> {
        let modules = self.tensors.keys().filter_map(|name| split(name)).filter_map(|(module, what)| {
            let last = module.rsplit('.').next().filter(|_| module.starts_with("model.layers."));
            last.filter(|_| what == TensorRole::A).map(str::to_owned)
        });
        modules.collect()
    }

    /// Finds the place of every tensor in a model of `config`. Errors on a tensor that has none, on one
    /// of another shape than the model and the adapter's configuration say, and on matrices without
    /// their partner.
    /// `has_head`: whether the base has a head at all.
    pub fn places(&self, config: &Config, has_head: bool) -> Result<Places> {
        self.find(config, has_head).with_context(|| format!("the adapter `{}`", self.file.display()))
    }

    fn find(&self, config: &Config, has_head: bool) -> Result<Places> {
        let modules: BTreeMap<String, [usize; 2]> = linears(config).into_iter().collect();
        let (vocabulary, hidden) = (config.vocab_size, config.hidden_size);
        let table = [vocabulary, hidden];
        let mut places = Places { warnings: self.config.warnings.clone(), ..Places::default() };
        for (name, tensor) in &self.tensors {
            ensure!(tensor.is_float(), "has `{name}` as {:?}, which is no float", tensor.dtype);
            let Some((module, what)) = split(name) else { bail!(no_place(name)) };
            match (module.as_str(), what) {
                ("score", TensorRole::Weight) => places.score = Some(name.clone()),
                (_, TensorRole::Original) => {}
                (HEAD, _) if !has_head => bail!("has `{name}`, and its base has no head"),
                (EMBEDDING, TensorRole::Weight) => {
                    places.embedding.stored = self.table(name, tensor, table)?
                }
                (HEAD, TensorRole::Weight) => places.head.stored = self.table(name, tensor, table)?,
                (EMBEDDING, TensorRole::EmbeddingA) => {
                    let shapes = [hidden, vocabulary];
                    places.embedding.low = Some(self.low(EMBEDDING, shapes, TensorRole::EmbeddingA, name)?);
                }
                (HEAD, TensorRole::A) => places.head.low = Some(self.low(HEAD, table, what, name)?),
                (EMBEDDING, TensorRole::EmbeddingB) | (HEAD, TensorRole::B) => self.partner(name, what)?,
                (module, TensorRole::A) if modules.contains_key(module) => {
                    let low = self.low(module, modules[module], what, name)?;
                    places.linears.insert(module.to_owned(), low);
                }
                (module, TensorRole::B) if modules.contains_key(module) => self.partner(name, what)?,
                _ => bail!(no_place(name)),
            }
        }
        self.check_saved(&mut places)?;
        self.check_targets(&modules, &mut places)?;
        let tables = [&places.embedding, &places.head];
        let any = places.score.is_some() || tables.iter().any(|table| **table != AdapterTable::default());
        ensure!(
            any || !places.linears.is_empty(),
            "has no tensors: save it again with PEFT, or take another"
        );
        ensure!(
            !config.tie_word_embeddings
                || !self.config.ensure_weight_tying
                || tables.iter().all(|table| **table == AdapterTable::default()),
            "has tensors of the embedding or the head and `ensure_weight_tying`, which is not supported; {}",
            Remedy::Merge.text()
        );
        Ok(places)
    }

    /// A table in place of the base's.
    fn table(&self, name: &str, tensor: &StoredTensor, shape: [usize; 2]) -> Result<Option<String>> {
        let [rows, width] = shape;
        if let &[own, own_width] = tensor.shape.as_slice()
            && own_width == width
            && own != rows
        {
            bail!(
                "has `{name}` of {own} rows, and the base's vocabulary is {rows}: the base was given other \
                 tokens before the adapter was trained; do the same to it \
                 (`model.resize_token_embeddings({own})`), save model and tokenizer, and name that folder \
                 as `base`"
            )
        }
        if tensor.shape != shape {
            bail!("has `{name}` of shape {:?}; in this model it is {shape:?}", tensor.shape)
        }
        Ok(Some(name.to_owned()))
    }

    /// The matrices of a module whose A is `name`; the weight that they are added to is `[out, in]`.
    fn low(&self, module: &str, [out, width]: [usize; 2], what: TensorRole, name: &str) -> Result<Low> {
        let other = partner(name, what);
        let rank = self.config.rank_of(module);
        let b = self.tensors.get(&other);
        let b = b.with_context(|| format!("has `{name}` without `{other}`"))?;
        for (name, tensor, shape) in
            [(name, &self.tensors[name], [rank, width]), (other.as_str(), b, [out, rank])]
        {
            if tensor.shape != shape {
                bail!(
                    "has `{name}` of shape {:?}; with rank {rank}, as its configuration says, in this model \
                     it is {shape:?}",
                    tensor.shape
                )
            }
        }
        let alpha = self.config.alpha_of(module);
        let divisor = if self.config.rslora { (rank as f64).sqrt() } else { rank as f64 };
        Ok(Low { a: name.to_owned(), b: other, rank, alpha, scale: alpha / divisor })
    }

    /// Errors if a B has no A.
    fn partner(&self, name: &str, what: TensorRole) -> Result<()> {
        let other = partner(name, what);
        ensure!(self.tensors.contains_key(&other), "has `{name}` without `{other}`");
        Ok(())
    }

    /// `modules_to_save` and the tensors that it names.
    fn check_saved(&self, places: &mut Places) -> Result<()> {
        let named = [("embed_tokens", &mut places.embedding), ("lm_head", &mut places.head)];
        for (name, table) in named {
            table.saved = self.config.saves(name);
            ensure!(
                !table.saved || table.stored.is_some(),
                "lacks the weight of `{name}`, which `modules_to_save` names"
            );
            ensure!(
                !table.saved || table.low.is_none(),
                "has LoRA on `{name}`, which `modules_to_save` names: one of them is right"
            );
        }
        if self.config.saves("score") && places.score.is_none() {
            let message =
                "`modules_to_save` names `score`, and the adapter has no weight of it: it has no head";
            places.warnings.push(message.to_owned());
        }
        Ok(())
    }

    /// `target_modules` and the tensors there are.
    fn check_targets(&self, modules: &BTreeMap<String, [usize; 2]>, places: &mut Places) -> Result<()> {
        let targets = &self.config.targets;
        if !targets.are_said() {
            return Ok(());
        }
        let with = |table: &AdapterTable, name: &'static str| table.low.is_some().then_some(name);
        let tables = [with(&places.embedding, EMBEDDING), with(&places.head, HEAD)];
        let has: BTreeSet<&str> =
            places.linears.keys().map(String::as_str).chain(tables.into_iter().flatten()).collect();
        if let Some(module) = has.iter().find(|module| !targets.has(module)) {
            bail!(
                "has LoRA on `{module}`, which its `target_modules` do not name: PEFT would pass over it; \
                 correct its configuration"
            )
        }
        let known = modules.keys().map(String::as_str).chain([EMBEDDING, HEAD]);
        let lacks: Vec<&str> = known.filter(|module| targets.has(module) && !has.contains(module)).collect();
        if !lacks.is_empty() {
            let more = if lacks.len() > LISTED { ", …" } else { "" };
            places.warnings.push(format!(
                "`target_modules` name {} modules that the adapter has no matrices for, so they stay as in \
                 the base: {}{more}",
                lacks.len(),
                quoted(&lacks[..lacks.len().min(LISTED)])
            ));
        }
        Ok(())
    }
}

impl Places {
    /// Why an adapter can be used but not trained further.
    pub fn only_frozen(&self, config: &AdapterConfig) -> Option<String> {
        let on = |name: &str, table: &AdapterTable| {
            let what = format!("LoRA on `{name}` cannot be trained further; {}", Remedy::Merge.text());
            table.low.is_some().then_some(what)
        };
        let mica = config.is_mica.then(|| {
            "an adapter made with `init_lora_weights` = \"mica\" trains A alone, which is not supported; use \
             `tuner = \"full\"`, or another adapter"
                .to_owned()
        });
        on("embed_tokens", &self.embedding).or_else(|| on("lm_head", &self.head)).or(mica)
    }

    /// Weights that training the adapter further trains in a model of `config`.
    pub fn trainable(&self, config: &Config) -> usize {
        let modules: BTreeMap<String, [usize; 2]> = linears(config).into_iter().collect();
        let matrices = self.linears.iter().filter_map(|(module, low)| {
            let [out, width] = modules.get(module)?;
            Some(low.rank * (out + width))
        });
        let tables = [&self.embedding, &self.head].iter().filter(|table| table.saved).count();
        matrices.sum::<usize>() + tables * config.vocab_size * config.hidden_size
    }
}

/// The part of a module that a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TensorRole {
    A,
    B,
    EmbeddingA,
    EmbeddingB,
    /// The module's own weight.
    Weight,
    /// The base's weight beside one that is trained whole: not used.
    Original,
}

/// Ends of tensors' names.
const ENDS: [(&str, TensorRole); 9] = [
    (".lora_A.weight", TensorRole::A),
    (".lora_B.weight", TensorRole::B),
    (".lora_embedding_A", TensorRole::EmbeddingA),
    (".lora_embedding_B", TensorRole::EmbeddingB),
    (".original_module.weight", TensorRole::Original),
    (".modules_to_save.default.weight", TensorRole::Weight),
    (".modules_to_save.weight", TensorRole::Weight),
    (".base_layer.weight", TensorRole::Weight),
    (".weight", TensorRole::Weight),
];

/// A tensor's name → module, as in a causal model, and what of it.
fn split(name: &str) -> Option<(String, TensorRole)> {
    let own = name.strip_prefix(PREFIX)?;
    let (module, what) = ENDS.iter().find_map(|(end, what)| Some((own.strip_suffix(end)?, *what)))?;
    // An adapter of the model without its head names modules without `model.`.
    let inner = ["layers.", "embed_tokens"].iter().any(|start| module.starts_with(start));
    Some((if inner { format!("model.{module}") } else { module.to_owned() }, what))
}

/// The name of the other of two matrices.
fn partner(name: &str, what: TensorRole) -> String {
    let ends = match what {
        TensorRole::A => [".lora_A.", ".lora_B."],
        TensorRole::B => [".lora_B.", ".lora_A."],
        TensorRole::EmbeddingA => ["_embedding_A", "_embedding_B"],
        _ => ["_embedding_B", "_embedding_A"],
    };
    match name.rsplit_once(ends[0]) {
        Some((module, rest)) => format!("{module}{}{rest}", ends[1]),
        None => name.to_owned(),
    }
}

/// Why a tensor has no place, as far as its name tells.
fn no_place(name: &str) -> String {
    let why = match name {
        _ if name.contains("lora_magnitude_vector") => "it is of DoRA, which is not supported",
        _ if name.ends_with("lora_B.bias") => "it is of `lora_bias`, which is not supported",
        _ if name.contains("token_adapter") => "it is of `trainable_token_indices`, which is not supported",
        _ if name.ends_with(".bias") => "trained biases (`bias`) are not supported",
        _ if !name.starts_with(PREFIX) => "PEFT's names begin with `base_model.model.`",
        _ => "this model has no place for it",
    };
    format!("has `{name}`: {why}")
}
