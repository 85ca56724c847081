//! A folder to give commands in, and what a command says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// How long a process is looked at before its moment has come.
const LOOK: Duration = Duration::from_millis(2);

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Where the commands about one recipe are given.
pub struct Workspace {
    folder: TempDir,
    recipe: PathBuf,
    name: &'static str,
    /// Overrides of every command about the recipe.
    sets: Vec<String>,
}

impl Workspace {
    /// `recipe`: path below the crate; `name`: what the recipe calls itself.
    pub fn new(recipe: &str, name: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), recipe: root().join(recipe), name, sets: Vec::new() }
    }

    pub fn with_sets(self, sets: impl IntoIterator<Item = String>) -> Self {
        Self { sets: sets.into_iter().collect(), ..self }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `runner SUBCOMMAND RECIPE REST…`.
    fn command(&self, arguments: &[&str]) -> Command {
        let (subcommand, rest) = arguments.split_first().unwrap();
        let mut command = self.plain_command(&[subcommand]);
        command.arg(&self.recipe);
        self.sets.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        command.args(rest);
        command
    }

    fn plain_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command.current_dir(self.folder()).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Printed {
        Printed::of(self.command(arguments).output().unwrap())
    }

    /// A command that is not about the recipe.
    pub fn run_plain(&self, arguments: &[&str]) -> Printed {
        Printed::of(self.plain_command(arguments).output().unwrap())
    }

    /// Starts `runner run` and waits for `moment`. Panics if the run is over before.
    fn until(&self, arguments: &[&str], moment: impl Fn(&Self) -> bool) -> Child {
        let mut command = self.command(&["run"]);
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !moment(self) {
            assert!(child.try_wait().unwrap().is_none(), "the run ended before its moment");
            sleep(LOOK);
        }
        child
    }

    /// Runs the recipe and kills the process at `moment`.
    pub fn kill_once(&self, arguments: &[&str], moment: impl Fn(&Self) -> bool) {
        let mut child = self.until(arguments, moment);
        child.kill().unwrap();
        assert!(child.wait().unwrap().code().is_none(), "the run ended before it was killed");
    }

    /// Runs the recipe and presses Ctrl-C at `moment`.
    #[cfg(unix)]
    pub fn interrupt_once(&self, arguments: &[&str], moment: impl Fn(&Self) -> bool) -> Printed {
        let child = self.until(arguments, moment);
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        Printed::of(child.wait_with_output().unwrap())
    }

    /// A path in the run's folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder().join("runs").join(self.name).join(path)
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Names in a folder of the run's, sorted.
    pub fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    /// The whole lines of a stage's `metrics.jsonl`; none if it is not there yet.
    pub fn metrics(&self, stage: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(stage).join("metrics.jsonl")).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Printed {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Printed {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}
