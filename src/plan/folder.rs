//! Where a run keeps what: `runs/<recipe name>/` and its stages' folders.

use std::path::{Path, PathBuf};

/// The name of a result's folder.
const MODEL: &str = "model";

/// `path` without the folder that the command was given in: shorter, and the same on every machine.
pub fn from_here(path: &Path) -> PathBuf {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).ok();
    let shorter = here.and_then(|here| whole.strip_prefix(here).map(Path::to_owned).ok());
    shorter.filter(|path| !path.as_os_str().is_empty()).unwrap_or(whole)
}

/// `runs/<recipe name>/`.
#[derive(Debug, Clone)]
pub struct RunFolder {
    pub root: PathBuf,
}

impl RunFolder {
    /// The folder of a recipe's runs, below the folder that the command was given in.
    pub fn of(recipe: &str) -> Self {
        Self { root: Path::new("runs").join(recipe) }
    }

    /// The recipe as it ran.
    pub fn recipe(&self) -> PathBuf {
        self.root.join("recipe.toml")
    }

    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    /// Lists what the run read, by its content.
    pub fn recipe_lock(&self) -> PathBuf {
        self.root.join("recipe.lock")
    }

    /// The lock of the one run that may write here.
    pub fn in_use(&self) -> PathBuf {
        self.root.join(".in-use")
    }

    /// Content hashes of files by path, size and modification time.
    pub fn hashes(&self) -> PathBuf {
        self.root.join(".hashes.json")
    }

    /// Stages that start from one model, compared.
    pub fn comparison(&self) -> PathBuf {
        self.root.join("comparison.json")
    }

    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// The model from random weights that the first stage starts from.
    pub fn base(&self) -> PathBuf {
        self.root.join("base")
    }

    /// Log-probs of reference models, one file per model.
    pub fn references(&self) -> PathBuf {
        self.root.join("reference")
    }

    pub fn stage(&self, name: &str) -> StageFolder {
        StageFolder { root: self.root.join(name) }
    }

    /// Where a stage is done anew while its finished result of other inputs stays in its place. Names of
    /// stages have no dots.
    pub fn next(&self, name: &str) -> StageFolder {
        StageFolder { root: self.root.join(format!("{name}.next")) }
    }

    /// Where a result is for the moment that it takes to put the next one in its place.
    pub fn previous(&self, name: &str) -> StageFolder {
        StageFolder { root: self.root.join(format!("{name}.previous")) }
    }
}

/// The record of the files of a result, which lies beside the result's folder.
fn result_record(root: &Path) -> PathBuf {
    root.join("result.json")
}

/// The record of a model's files, if its folder is the result of a stage.
pub fn record_of(model: &Path) -> Option<PathBuf> {
    let root = model.parent().filter(|_| model.file_name().is_some_and(|name| name == MODEL))?;
    Some(result_record(root)).filter(|record| record.is_file())
}

/// `runs/<recipe name>/<stage>/`.
#[derive(Debug, Clone)]
pub struct StageFolder {
    pub root: PathBuf,
}

impl StageFolder {
    /// What this folder's result follows from: the inputs of its fingerprint.
    pub fn inputs(&self) -> PathBuf {
        self.root.join("inputs.json")
    }

    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger.jsonl")
    }

    pub fn samples(&self) -> PathBuf {
        self.root.join("samples.jsonl")
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    pub fn summary(&self) -> PathBuf {
        self.root.join("summary.json")
    }

    /// The stage's result. It is there only when the stage is finished.
    pub fn model(&self) -> PathBuf {
        self.root.join(MODEL)
    }

    /// The record of the files of the result. Results of earlier versions have none.
    pub fn result(&self) -> PathBuf {
        result_record(&self.root)
    }
}
