//! Copies of the golden models, changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use runner::backend::Packing;
use runner::model::artifact::Artifact;
use runner::model::decoder::Tokens;
use runner::model::folder::ModelFolder;
use runner::model::log_prob::Targets;
use runner::model::policy::Models;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};
use tempfile::TempDir;

pub const MODELS: [&str; 4] = ["llama3", "mistral", "qwen2", "qwen3"];
pub const EMBEDDING: &str = "model.embed_tokens.weight";
pub const HEAD: &str = "lm_head.weight";

pub fn golden(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(model)
}

/// One tensor of a safetensors file.
#[derive(Debug, Clone)]
pub struct Stored {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Stored {
    pub fn of(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Stored { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub fn zeros(shape: &[usize]) -> Self {
        Self::of(shape, &vec![0.0; shape.iter().product()])
    }

    pub fn values(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    /// The first `rows` rows; past the end, the first row again.
    pub fn rows(&self, rows: usize) -> Self {
        let width: usize = self.shape[1..].iter().product::<usize>() * 4;
        let take = |row: usize| {
            let row = if row < self.shape[0] { row } else { 0 };
            self.bytes[row * width..(row + 1) * width].to_vec()
        };
        let shape = [&[rows], &self.shape[1..]].concat();
        Stored { dtype: self.dtype, shape, bytes: (0..rows).flat_map(take).collect() }
    }

    /// The rows, the last one first.
    pub fn rolled(&self) -> Self {
        let width: usize = self.shape[1..].iter().product::<usize>() * 4;
        let mut bytes = self.bytes.clone();
        bytes.rotate_right(width);
        Stored { bytes, ..self.clone() }
    }

    fn view(&self) -> TensorView<'_> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes).unwrap()
    }

    pub fn as_f64(&self) -> Self {
        if self.dtype == Dtype::F64 {
            return self.clone();
        }
        let bytes = self.values().iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect();
        Stored { dtype: Dtype::F64, shape: self.shape.clone(), bytes }
    }

    /// The same bytes under another type of as many bits or fewer.
    pub fn as_integers(&self) -> Self {
        Stored { dtype: Dtype::I32, ..self.clone() }
    }
}

pub type Weights = BTreeMap<String, Stored>;

pub fn read_weights(path: &Path) -> Weights {
    let bytes = fs::read(path).unwrap();
    let stored = |view: TensorView| Stored {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    tensors.into_iter().map(|(name, view)| (name, stored(view))).collect()
}

pub fn write_weights(weights: &Weights, path: &Path) {
    let views: Vec<_> = weights.iter().map(|(name, stored)| (name, stored.view())).collect();
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// A copy of a golden model, to be changed.
pub struct Copy {
    folder: TempDir,
}

impl Copy {
    pub fn of(model: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = golden(model);
        fs::create_dir(folder.path().join("model")).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join("model").join(path.file_name().unwrap())).unwrap();
        }
        Copy { folder }
    }

    /// Where the model lies: `model` in [`Copy::workspace`].
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    /// The folder around the model.
    pub fn workspace(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn json(&self, file: &str, change: impl FnOnce(&mut Map<String, Value>)) {
        let path = self.file(file);
        let text = fs::read(&path).unwrap_or_else(|_| b"{}".to_vec());
        let mut json: Value = serde_json::from_slice(&text).unwrap();
        change(json.as_object_mut().unwrap());
        fs::write(path, json.to_string()).unwrap();
    }

    /// Merges `keys` into `config.json`.
    pub fn config(&self, keys: Value) {
        self.json("config.json", |config| config.extend(keys.as_object().unwrap().clone()));
    }

    pub fn weights(&self, change: impl FnOnce(&mut Weights)) {
        let path = self.file("model.safetensors");
        let mut weights = read_weights(&path);
        change(&mut weights);
        write_weights(&weights, &path);
    }

    /// Deals the weights out to `shards` files with an index.
    pub fn shards(&self, shards: usize) {
        let weights = read_weights(&self.file("model.safetensors"));
        fs::remove_file(self.file("model.safetensors")).unwrap();
        let file = |index: usize| format!("model-{:05}-of-{shards:05}.safetensors", index + 1);
        let mut parts = vec![Weights::new(); shards];
        let mut map = Map::new();
        for (index, (name, stored)) in weights.into_iter().enumerate() {
            map.insert(name.clone(), file(index % shards).into());
            parts[index % shards].insert(name, stored);
        }
        for (index, part) in parts.iter().enumerate() {
            write_weights(part, &self.file(&file(index)));
        }
        let index = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map });
        fs::write(self.file("model.safetensors.index.json"), index.to_string()).unwrap();
    }

    /// A recipe beside the model, of one step on two rows.
    pub fn recipe(&self, kind: &str) -> PathBuf {
        let rows: &str = match kind {
            "rm" => {
                r#"{"prompt": "Is it so?", "chosen": "yes", "rejected": "no"}
{"prompt": "Is it far?", "chosen": "no, near", "rejected": "no idea"}
"#
            }
            _ => {
                r#"{"prompt": "Is it so?", "completion": "yes"}
{"prompt": "Is it far?", "completion": "no, near and near"}
"#
            }
        };
        fs::write(self.workspace().join("rows.jsonl"), rows).unwrap();
        let recipe = format!(
            "name = \"r\"\n[model]\nbase = \"model\"\n[data.d]\nsource = \"rows.jsonl\"\n[[stage]]\nname = \"s\"\nkind = \"{kind}\"\ndata = \"d\"\nmax_steps = 1\nlogging_steps = 1\n"
        );
        let path = self.workspace().join("recipe.toml");
        fs::write(&path, recipe).unwrap();
        path
    }

    /// What opening the folder for a check says: its warnings, or its faults.
    pub fn opened(&self) -> Result<Vec<String>, String> {
        ModelFolder::open(&self.path()).map(|folder| folder.warnings).map_err(|error| format!("{error:#}"))
    }

    /// Mean loss of tokens 30 to 99, as a run loads the model.
    pub fn loss(&self) -> Result<f64, String> {
        loss(&self.path()).map_err(|error| format!("{error:#}"))
    }
}

fn loss(base: &Path) -> anyhow::Result<f64> {
    let input = Artifact { base: base.to_owned(), ..Artifact::default() };
    let decoder = Models::default().frozen(&input)?;
    let ids: Vec<u32> = (30..100).collect();
    let packing = Packing::sequence(ids.len());
    let rows: Vec<u32> = (0..ids.len() as u32).collect();
    let tokens = Tokens { ids: &ids, packing: &packing, needed: &rows, dropout: None };
    let next: Vec<u32> = ids[1..].iter().copied().chain([0]).collect();
    let targets = Targets { hidden: &rows, tokens: &next, temperature: 1.0 };
    let found = decoder.log_probs(&tokens, targets)?.log_prob;
    let told = &found[..found.len() - 1];
    Ok(-told.iter().sum::<f64>() / told.len() as f64)
}
