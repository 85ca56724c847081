//! A folder with a recipe in it, and commands about that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// The folder of the golden models.
pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models")
}

/// What a command said, and whether it went well.
#[derive(Debug)]
pub struct Printed {
    pub ok: bool,
    pub out: String,
    /// Standard error with every run of white space as one space, so that broken lines do not matter.
    pub err: String,
}

pub struct Workspace(TempDir);

impl Workspace {
    pub fn new() -> Self {
        Workspace(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes `recipe.toml`, with the golden models' folder for `$MODEL`.
    pub fn recipe(&self, text: &str) {
        self.write("recipe.toml", &text.replace("$MODEL", models().to_str().unwrap()));
    }

    pub fn run(&self, arguments: &[&str]) -> Printed {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        let output = command.current_dir(self.0.path()).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let err = text(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        Printed { ok: output.status.success(), out: text(&output.stdout), err }
    }

    pub fn check(&self) -> Printed {
        self.run(&["check", "recipe.toml"])
    }

    /// Runs the recipe from the start. Panics if that fails.
    pub fn train(&self) {
        let said = self.run(&["run", "recipe.toml", "--fresh"]);
        assert!(said.ok, "{}", said.err);
    }

    /// The first row of a stage's metrics.
    pub fn metrics(&self, run: &str, stage: &str) -> Value {
        let text = fs::read_to_string(self.path(&format!("runs/{run}/{stage}/metrics.jsonl"))).unwrap();
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    }
}

/// A copy of a golden model's folder.
pub fn copy_model(name: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(models().join(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Changes a JSON file.
pub fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

#[track_caller]
pub fn near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 2e-4, "{found}, not {wanted}");
}
