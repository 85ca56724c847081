//! What lies on the disk is held against its record before it is used: nothing that was damaged or changed
//! reaches a result.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use runner::plan::folder::StageFolder;
use runner::run::checkpoint::list;

use crate::settings::training;
use crate::toy::{FINGERPRINT, Moment, Toy};
use crate::workspace::{Workspace, root};

const RECIPE: &str = "tests/run/recipe.toml";

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// What may happen to a checkpoint while no run looks after it.
#[derive(Debug, Clone)]
enum Damage {
    Flip {
        file: prop::sample::Index,
        at: usize,
    },
    Truncate {
        file: prop::sample::Index,
    },
    Remove {
        file: prop::sample::Index,
    },
    Add,
    /// Another checkpoint's file takes a file's place.
    Swap {
        file: prop::sample::Index,
    },
    /// The whole checkpoint is given another step.
    Rename,
}

fn damages() -> impl Strategy<Value = Damage> {
    let file = any::<prop::sample::Index>;
    prop_oneof![
        (file(), any::<usize>()).prop_map(|(file, at)| Damage::Flip { file, at }),
        file().prop_map(|file| Damage::Truncate { file }),
        file().prop_map(|file| Damage::Remove { file }),
        Just(Damage::Add),
        file().prop_map(|file| Damage::Swap { file }),
        Just(Damage::Rename),
    ]
}

impl Damage {
    fn inflict(&self, newest: &Path, other: &Path) {
        let files = |folder: &Path| {
            let mut files: Vec<PathBuf> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            files
        };
        let (own, theirs) = (files(newest), files(other));
        let chosen = |files: &[PathBuf], file: &prop::sample::Index| files[file.index(files.len())].clone();
        match self {
            Damage::Flip { file, at } => flip(&chosen(&own, file), *at),
            Damage::Truncate { file } => fs::write(chosen(&own, file), "").unwrap(),
            Damage::Remove { file } => fs::remove_file(chosen(&own, file)).unwrap(),
            Damage::Add => fs::write(newest.join("more.json"), "{}").unwrap(),
            Damage::Swap { file } => {
                fs::copy(chosen(&theirs, file), chosen(&own, file)).unwrap();
            }
            Damage::Rename => fs::rename(newest, newest.with_file_name("step-000011")).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_checkpoint_is_set_aside_and_an_older_one_used(damage in damages(), twice in any::<bool>()) {
        let settings = training(2, Some(3), Some(2), None);
        let folder = || {
            let root = tempfile::tempdir().unwrap();
            let folder = StageFolder { root: root.path().to_owned() };
            (root, folder)
        };
        let ((_a, undisturbed), (_b, disturbed)) = (folder(), folder());
        Toy::new().run(&undisturbed, &settings).unwrap();
        Toy { dies: Moment::InStep(9), ..Toy::new() }.run(&disturbed, &settings).unwrap_err();
        let checkpoints = list(&disturbed.checkpoints()).unwrap();
        let newest = |back: usize| checkpoints[checkpoints.len() - 1 - back].1.clone();
        damage.inflict(&newest(0), &newest(1));
        if twice {
            flip(&newest(1).join("state.json"), 3);
        }
        Toy::new().run(&disturbed, &settings).unwrap();
        for path in ["metrics.jsonl", "samples.jsonl", "model/weights.json"] {
            prop_assert_eq!(fs::read(disturbed.root.join(path)).unwrap(), fs::read(undisturbed.root.join(path)).unwrap());
        }
        let names: Vec<String> = fs::read_dir(disturbed.checkpoints()).unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("damaged-step-"))
            .collect();
        prop_assert_eq!(names.len(), 1 + usize::from(twice));
    }
}

#[test]
fn a_checkpoint_of_after_the_divergence_is_not_kept() {
    for (keep, expected) in [(None, vec![1, 2, 3, 4, 5, 6]), (Some(1), vec![6])] {
        let root = tempfile::tempdir().unwrap();
        let folder = StageFolder { root: root.path().to_owned() };
        let toy = Toy { diverges: Some(7), ..Toy::new() };
        let error = toy.run(&folder, &training(1, None, Some(1), keep)).unwrap_err();
        assert!(
            error.to_string().ends_with("the checkpoint of step 7, whose weights gave it, is removed"),
            "{error}"
        );
        let steps: Vec<u64> =
            list(&folder.checkpoints()).unwrap().into_iter().map(|(step, _)| step).collect();
        assert_eq!(steps, expected);
    }
}

#[test]
fn a_checkpoint_of_another_stage_is_not_taken() {
    let root = tempfile::tempdir().unwrap();
    let folder = StageFolder { root: root.path().to_owned() };
    let settings = training(1, None, Some(4), None);
    Toy { dies: Moment::InStep(9), ..Toy::new() }.run(&folder, &settings).unwrap_err();
    let record = folder.checkpoints().join("step-000008/files.json");
    let text = fs::read_to_string(&record).unwrap();
    assert!(text.contains(FINGERPRINT));
    fs::write(&record, text.replace(FINGERPRINT, "others")).unwrap();
    Toy::new().run(&folder, &settings).unwrap();
    assert!(folder.checkpoints().join("damaged-step-000008").is_dir());
}

fn done(workspace: &Workspace) -> String {
    let said = workspace.run(&["run"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out + &said.err
}

#[test]
fn a_changed_result_is_made_anew_before_another_stage_reads_it() {
    let workspace = Workspace::new(RECIPE, "pairs");
    done(&workspace);
    let weights = |stage: &str| format!("{stage}/model/adapter_model.safetensors");
    let before = [workspace.read(&weights("sft")), workspace.read(&weights("dpo"))];
    flip(&workspace.path(&weights("sft")), 5_000);
    fs::remove_dir_all(workspace.path("dpo")).unwrap();
    let said = done(&workspace);
    let told = "sft: will run again: its result is damaged or was changed: the content of `adapter_model.safetensors`";
    assert!(said.contains(told), "{said}");
    assert!([workspace.read(&weights("sft")), workspace.read(&weights("dpo"))] == before);

    // A report that is missing is made again, without training.
    fs::remove_file(workspace.path("report.html")).unwrap();
    assert!(done(&workspace).contains("nothing to do"));
    assert!(workspace.path("report.html").is_file());

    // Log-probs that were changed are computed again.
    let reference = workspace.path("reference").join(&workspace.list("reference")[0]);
    let (log_probs, length) = (fs::read(&reference).unwrap(), fs::metadata(&reference).unwrap().len());
    flip(&reference, length as usize - 1);
    fs::remove_dir_all(workspace.path("dpo")).unwrap();
    let said = done(&workspace);
    assert!(said.contains("its log-probs are computed again"), "{said}");
    assert!(fs::read(&reference).unwrap() == log_probs);
    assert!(workspace.read(&weights("dpo")) == before[1]);
}

#[test]
fn a_finished_result_stays_until_the_next_is_finished() {
    let workspace = Workspace::new(RECIPE, "pairs");
    done(&workspace);
    let weights = "dpo/model/adapter_model.safetensors";
    let before = workspace.read(weights);
    let failed = workspace.run(&["run", "--set", "stage.dpo.learning_rate=1e30"]);
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    assert!(workspace.read(weights) == before);
    assert!(workspace.list("").contains(&"dpo.next".to_owned()));
    // The earlier settings find their result; others put theirs in its place.
    assert!(done(&workspace).contains("nothing to do"));
    let changed = workspace.run(&["run", "--set", "stage.dpo.beta=0.2"]);
    assert_eq!(changed.code, Some(0), "{}", changed.err);
    assert!(workspace.read(weights) != before);
    assert!(!workspace.list("").contains(&"dpo.next".to_owned()));
}

#[test]
fn nothing_to_train_on_is_refused() {
    let workspace = Workspace::new(RECIPE, "pairs").with_sets(["data.pairs.limit=1".to_owned()]);
    let said = workspace.run(&["check"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("data `pairs`: no row is left to train on: 1 of 1 rows are held out"),
        "{}",
        said.err
    );
}

#[test]
#[cfg(unix)]
fn streams_without_a_reader_and_pipes_for_files_end_no_run() {
    let workspace = Workspace::new(RECIPE, "pairs");
    let runner = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command.current_dir(workspace.folder()).env("RUST_BACKTRACE", "0");
        command
    };
    // `/dev/full` refuses every write, as a closed pipe does.
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let mut wrong = runner();
    wrong.args(["check", "--set", "nonsense=1"]).arg(root().join(RECIPE));
    assert_eq!(wrong.stdout(Stdio::null()).stderr(full()).status().unwrap().code(), Some(2));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut run = runner();
    run.arg("run").arg(root().join(RECIPE)).stdout(Stdio::null()).stderr(writer);
    assert_eq!(run.status().unwrap().code(), Some(0));

    let pipe = workspace.folder().join("pipe.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let said = workspace.run_plain(&["check", "pipe.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("cannot read the recipe `pipe.toml`: it is no file"), "{}", said.err);
}

#[test]
fn leftovers_of_a_killed_run_are_removed() {
    let workspace = Workspace::new(RECIPE, "pairs");
    let left = ["reference/.tmpAbCdEf", ".tmpAbCdEf", ".unfinished-x", "reference/.unfinished-y"];
    fs::create_dir_all(workspace.path("reference")).unwrap();
    for name in left {
        fs::write(workspace.path(name), "x").unwrap();
    }
    done(&workspace);
    for name in left {
        assert!(!workspace.path(name).exists(), "{name}");
    }
}
