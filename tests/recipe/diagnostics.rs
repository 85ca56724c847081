//! What is said about recipes, broken and sound. Every `tests/recipes/invalid/NAME.toml` has the
//! whole printed diagnostic beside it in `NAME.stderr`; every `tests/recipes/valid/NAME.toml` what
//! it resolves to in `NAME.json`, and its warnings, if any, in `NAME.stderr`. Lines
//! `#! --set KEY=VALUE` of a recipe are its overrides.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use runner::backend::compute::{DeviceSpec, Dtype};
use runner::plan::resolve::{RecipeUse, Resolved, load};
use serde_json::json;

/// Set to write what is printed now.
const REFRESH: &str = "REFRESH_DIAGNOSTICS";

/// Sorted, and relative, so that no path of this machine is printed.
fn recipes(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    paths.sort();
    paths
}

fn overrides(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("#! --set ")).map(str::to_owned).collect()
}

/// Compares texts with files; an empty text stands for no file.
fn compare(printed: Vec<(PathBuf, String)>) {
    let mut changed = Vec::new();
    for (golden, text) in printed {
        if std::env::var_os(REFRESH).is_none() {
            if fs::read_to_string(&golden).unwrap_or_default() != text {
                changed.push(format!("--- {}\n{text}", golden.display()));
            }
        } else if text.is_empty() {
            let _ = fs::remove_file(&golden);
        } else {
            fs::write(&golden, &text).unwrap();
        }
    }
    assert!(
        changed.is_empty(),
        "output changed; if it should, refresh it with\n    \
         {REFRESH}=1 cargo test --test recipe\n\n{}",
        changed.join("\n")
    );
}

#[test]
fn every_broken_recipe_is_explained() {
    let paths = recipes("tests/recipes/invalid");
    assert!(paths.len() >= 30, "only {} recipes", paths.len());
    let printed = paths.into_iter().map(|path| match load(&path, &overrides(&path), RecipeUse::Run) {
        Ok(_) => panic!("`{}` is accepted", path.display()),
        Err(diagnostics) => (path.with_extension("stderr"), format!("{diagnostics}\n")),
    });
    compare(printed.collect());
}

/// `tests/recipes/without_cuda/`: what a build without CUDA says of GPUs, beside all else.
#[cfg(not(feature = "cuda"))]
#[test]
fn a_gpu_is_refused_by_a_build_without_cuda() {
    let printed = recipes("tests/recipes/without_cuda").into_iter().map(|path| {
        let diagnostics = load(&path, &overrides(&path), RecipeUse::Run).unwrap_err();
        (path.with_extension("stderr"), format!("{diagnostics}\n"))
    });
    compare(printed.collect());
}

#[test]
fn plans_and_rows_need_no_gpu() {
    let gpu = |purpose, device: &str| {
        let set = [format!("model.device={device}"), "model.dtype=bf16".to_owned()];
        load(Path::new("tests/recipes/valid/minimal.toml"), &set, purpose)
    };
    let planned = gpu(RecipeUse::Plan, "cuda:9").unwrap();
    assert_eq!((planned.model.device, planned.model.dtype), (DeviceSpec::Cuda(9), Dtype::Bf16));
    if cfg!(not(feature = "cuda")) {
        assert_eq!(
            planned.warnings.to_string(),
            "\
warning: this `runner` was built without CUDA, which `cuda:9` needs; build it with `cargo build --release --features cuda`
 --> --set:1:14
  |
1 | model.device=cuda:9
  |              ^^^^^^
  |
  = help: a plan needs no GPU; `check` and `run` do

1 warning"
        );
    }
    let rendered = gpu(RecipeUse::Render, "cuda").unwrap();
    assert_eq!((rendered.model.device, rendered.warnings.is_empty()), (DeviceSpec::Cuda(0), true));
    let is_refused = gpu(RecipeUse::Run, "cuda:999").unwrap_err().has_errors();
    assert!(is_refused);
}

#[test]
fn floats_are_what_the_device_does_best() {
    let dtype = |set: &[&str]| {
        let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
        load(Path::new("tests/recipes/valid/minimal.toml"), &set, RecipeUse::Plan).unwrap().model.dtype
    };
    assert_eq!(dtype(&[]), Dtype::F32);
    assert_eq!(dtype(&["model.device=cuda"]), Dtype::Bf16);
    assert_eq!(dtype(&["model.device=cuda:1", "model.dtype=f32"]), Dtype::F32);
}

#[test]
fn every_sound_recipe_is_resolved() {
    let paths = recipes("tests/recipes/valid");
    assert!(paths.len() >= 4, "only {} recipes", paths.len());
    let printed = paths.into_iter().flat_map(|path| {
        let resolved = load(&path, &overrides(&path), RecipeUse::Run).unwrap();
        let warnings = match resolved.warnings.is_empty() {
            true => String::new(),
            false => format!("{}\n", resolved.warnings),
        };
        [(path.with_extension("json"), settings(&resolved)), (path.with_extension("stderr"), warnings)]
    });
    compare(printed.collect());
}

fn settings(resolved: &Resolved) -> String {
    let json = json!({
        "name": resolved.name,
        "seed": resolved.seed,
        "model": resolved.model,
        "data": resolved.data,
        "stages": resolved.stages,
    });
    let here = std::env::current_dir().unwrap();
    format!("{json:#}\n").replace(here.to_str().unwrap(), "")
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let printed = load(Path::new("tests/recipes/none.toml"), &[], RecipeUse::Run).unwrap_err().to_string();
    assert_eq!(
        printed,
        "error: cannot read the recipe `tests/recipes/none.toml`: No such file or directory (os error 2)\n\n1 error"
    );
    let printed = load(Path::new("tests/recipes"), &[], RecipeUse::Run).unwrap_err().to_string();
    assert_eq!(printed, "error: cannot read the recipe `tests/recipes`: it is no file\n\n1 error");
}

#[test]
fn later_checks_point_into_the_recipe() {
    let resolved = load(Path::new("tests/recipes/valid/minimal.toml"), &[], RecipeUse::Run).unwrap();
    let at_value = resolved.problem_at("/stage/0/data", "no pairs".to_owned(), None);
    let at_table =
        resolved.problem_at("/data/rows/format", "no format".to_owned(), Some("add one".to_owned()));
    assert_eq!(
        resolved.diagnostics(vec![at_value, at_table]).to_string(),
        "\
error: no format
 --> tests/recipes/valid/minimal.toml:7:1
  |
7 | [data.rows]
  | ^^^^^^^^^^^
  |
  = help: add one

error: no pairs
  --> tests/recipes/valid/minimal.toml:13:8
   |
13 | data = \"rows\"
   |        ^^^^^^

2 errors"
    );
}

/// The time grows with the number of problems, not with its square; and few of very many are printed.
#[test]
fn very_many_problems_are_told_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    let sound = std::fs::read_to_string("tests/recipes/valid/minimal.toml").unwrap();
    let keys: String = (0..20_000).map(|key| format!("learning_rat{key} = 1\n")).collect();
    std::fs::write(&path, format!("{sound}\n{}\n{keys}", format_args!("{} = 1", "k".repeat(100_000))))
        .unwrap();
    let started = std::time::Instant::now();
    let diagnostics = load(&path, &[], RecipeUse::Run).unwrap_err();
    let printed = diagnostics.to_string();
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    assert!(diagnostics.problems().len() > 20_000);
    assert!(printed.contains("more problems\n\n20"), "{}", &printed[printed.len() - 200..]);
    assert!(diagnostics.problems().iter().all(|problem| problem.message.len() < 300));
}

const WORDS: [&str; 24] = [
    "[",
    "]",
    "[[stage]]\n",
    "{",
    "}",
    "=",
    "\n",
    "\"",
    "'''",
    "\u{feff}",
    "é",
    "\r\n",
    "nan",
    "-1",
    "1979-05-27",
    "99999999999999999999",
    "true",
    "[]",
    "{}",
    "\"stage:dpo\"",
    "stage",
    "a.b = 1\n",
    "[data]\n",
    "\0",
];

/// One change of a text: a stretch of characters taken out, doubled, or replaced by a word.
#[derive(Debug, Clone)]
struct Edit {
    at: prop::sample::Index,
    length: usize,
    insert: Option<&'static str>,
    doubled: bool,
}

impl Edit {
    fn apply(&self, text: &str) -> String {
        let letters: Vec<char> = text.chars().collect();
        let start = self.at.index(letters.len() + 1);
        let end = (start + self.length).min(letters.len());
        let mut edited: String = letters[..start].iter().collect();
        if self.doubled {
            edited.extend(letters[start..end].iter().chain(&letters[start..end]));
        }
        edited.push_str(self.insert.unwrap_or_default());
        edited.extend(&letters[end..]);
        edited
    }
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let word = prop::option::of(prop::sample::select(WORDS.to_vec()));
    let edit = (any::<prop::sample::Index>(), 0..30_usize, word, any::<bool>())
        .prop_map(|(at, length, insert, doubled)| Edit { at, length, insert, doubled });
    prop::collection::vec(edit, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// Nothing that is done to a recipe or an override makes the checks panic; what is refused is
    /// refused with words.
    #[test]
    fn no_edit_of_a_recipe_panics(
        recipe in edits(),
        set in edits(),
        base in prop::sample::select(vec!["every_key", "adapter", "idle_keys"]),
    ) {
        let valid = fs::read_to_string(format!("tests/recipes/valid/{base}.toml")).unwrap();
        let text = recipe.iter().fold(valid, |text, edit| edit.apply(&text));
        let sets = ["stage.dpo.lora.rank=4", "data.rows.source=[\"a\", \"b\"]"];
        let sets: Vec<String> = sets
            .iter()
            .map(|text| set.iter().fold((*text).to_owned(), |text, edit| edit.apply(&text)))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        fs::write(&path, text).unwrap();
        for sets in [&[], sets.as_slice()] {
            if let Err(diagnostics) = load(&path, sets, RecipeUse::Run) {
                prop_assert!(diagnostics.has_errors());
                prop_assert!(diagnostics.to_string().contains("error: "));
                let is_coloured = diagnostics.coloured().contains('\u{1b}');
                prop_assert!(is_coloured);
            }
        }
    }
}
