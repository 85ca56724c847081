//! The program, on a recipe of one stage in a folder of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::model;

pub struct Workspace(TempDir);

pub struct Printed {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Workspace {
    /// A copy of the golden model `name` and rows of a stage of `kind`.
    pub fn new(name: &str, kind: &str, rows: &[Value]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("model");
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(model(name)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
        let rows: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(folder.path().join("rows.jsonl"), rows.concat()).unwrap();
        let recipe = format!(
            "name = \"case\"\n[model]\nbase = \"model\"\n[data.d]\nsource = \"rows.jsonl\"\n\
             [[stage]]\nname = \"s\"\nkind = \"{kind}\"\ndata = \"d\"\nmax_steps = 1\n"
        );
        fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        Workspace(folder)
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Sets keys of the model's `tokenizer_config.json`; null takes one out.
    pub fn set_config(&self, keys: Value) {
        let path = self.path("model/tokenizer_config.json");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        fs::write(path, config.to_string()).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub fn run(&self, subcommand: &str, rest: &[&str]) -> Printed {
        let output = Command::new(env!("CARGO_BIN_EXE_runner"))
            .current_dir(self.0.path())
            .arg(subcommand)
            .arg(Path::new("recipe.toml"))
            .args(rest)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Printed { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What `render --json` says of each row.
    pub fn rendered(&self, sets: &[&str]) -> Vec<Value> {
        let mut arguments = vec!["--stage", "s", "-n", "1000", "--json"];
        sets.iter().for_each(|set| arguments.extend(["--set", *set]));
        let said = self.run("render", &arguments);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A row of one question and its answer.
pub fn asked(question: &str, answer: &str) -> Value {
    json!({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})
}
