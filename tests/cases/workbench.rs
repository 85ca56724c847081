//! A folder with a recipe and its files, and what `runner` makes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A folder of the project's tests.
pub fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// A model of the golden files.
pub fn golden_model(name: &str) -> PathBuf {
    tests("golden/models").join(name)
}

pub struct Workbench {
    folder: PathBuf,
    /// Deletes the folder in the end, if nothing of it is to be left.
    _temporary: Option<tempfile::TempDir>,
}

/// What a command said.
#[derive(Debug)]
pub struct Printed {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Workbench {
    /// In a folder that goes when the test ends.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder: folder.path().to_owned(), _temporary: Some(folder) }
    }

    /// In a folder under the target folder's `tmp`, which is left for scripts in Python.
    pub fn left(path: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(path);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        Self { folder, _temporary: None }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    /// Changes keys of a JSON file.
    pub fn set(&self, path: &str, keys: &[(&str, Value)]) {
        let mut json = self.json(path);
        for (key, value) in keys {
            json[*key] = value.clone();
        }
        self.write(path, &json.to_string());
    }

    pub fn json(&self, path: &str) -> Value {
        let text = fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_str(&text).unwrap()
    }

    /// A copy of a golden model in the folder `m`.
    pub fn model(&self, name: &str) {
        fs::create_dir(self.path("m")).unwrap();
        for entry in fs::read_dir(golden_model(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), self.path("m").join(entry.file_name())).unwrap();
        }
    }

    /// `runner SUBCOMMAND recipe.toml`.
    pub fn runner(&self, subcommand: &str) -> Printed {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        let output = command.current_dir(&self.folder).args([subcommand, "recipe.toml"]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Printed { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}
