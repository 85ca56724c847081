//! The order of modules that `src/lib.rs` draws is the real one: no `use` goes to a module above, and no two
//! files use each other, directly or round a corner. No two types have one name.

mod imports;
mod names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use imports::Sources;

/// Modules in the order of the table in `src/lib.rs`, the topmost first.
fn drawn(lib: &str) -> Vec<String> {
    let rows = lib.lines().skip_while(|line| !line.contains("| module | what lives there |"));
    let rows = rows.skip(2).take_while(|line| line.starts_with("//! |"));
    rows.filter_map(|row| Some(row.split_once("[`")?.1.split_once("`]")?.0.to_owned())).collect()
}

/// Arrows that run up: `file: module above`.
fn upward(sources: &Sources, order: &[String]) -> Vec<String> {
    let rank = |path: &Path| {
        let first = path.components().next()?.as_os_str().to_str()?;
        order.iter().position(|module| module == first.trim_end_matches(".rs"))
    };
    let mut found = Vec::new();
    for (file, targets) in sources.arrows() {
        for target in targets {
            if let (Some(from), Some(to)) = (rank(&file), rank(&target))
                && to < from
            {
                found.push(format!("{} uses {}", file.display(), target.display()));
            }
        }
    }
    found
}

/// Files on a circle of imports, each with what it uses on the way back to itself.
fn circles(sources: &Sources) -> Vec<String> {
    let arrows: BTreeMap<PathBuf, Vec<PathBuf>> = sources.arrows().into_iter().collect();
    let reached = |start: &Path| {
        let mut reached: Vec<&PathBuf> = Vec::new();
        let mut waiting: Vec<&PathBuf> = arrows[start].iter().collect();
        while let Some(file) = waiting.pop() {
            if !reached.contains(&file) {
                reached.push(file);
                waiting.extend(&arrows[file]);
            }
        }
        reached
    };
    let uses = |(file, targets): (&PathBuf, &Vec<PathBuf>)| {
        let back = targets.iter().filter(|target| reached(target).contains(&file));
        let back: Vec<String> = back.map(|target| target.display().to_string()).collect();
        (!back.is_empty()).then(|| format!("{} uses {}", file.display(), back.join(", ")))
    };
    arrows.iter().filter_map(uses).collect()
}

#[test]
fn every_module_is_drawn() {
    let lib = std::fs::read_to_string("src/lib.rs").unwrap();
    let mut drawn = drawn(&lib);
    let mut declared: Vec<String> = lib
        .lines()
        .filter_map(|line| Some(line.strip_prefix("pub mod ")?.trim_end_matches(';').to_owned()))
        .collect();
    drawn.sort();
    declared.sort();
    assert_eq!(drawn, declared);
}

#[test]
fn no_arrow_runs_up() {
    let lib = std::fs::read_to_string("src/lib.rs").unwrap();
    assert_eq!(upward(&Sources::read("src"), &drawn(&lib)), Vec::<String>::new());
}

#[test]
fn no_files_use_each_other() {
    assert_eq!(circles(&Sources::read("src")), Vec::<String>::new());
}

#[test]
fn every_type_has_a_name_of_its_own() {
    assert_eq!(names::defined_twice(&Sources::read("src")), Vec::<String>::new());
}

#[test]
fn arrows_up_and_circles_are_found() {
    let sources = |files: &[(&str, &str)]| {
        Sources::of(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
    };
    let order = ["upper".to_owned(), "lower".to_owned()];
    let up = sources(&[
        ("lib.rs", "pub mod upper;\npub mod lower;\n"),
        ("upper/mod.rs", "pub mod one;\n\npub use one::One;\n"),
        ("upper/one.rs", "use crate::lower::Two;\n\npub struct One;\n"),
        ("lower.rs", "use std::fmt;\n\npub fn two() {\n    let _ = 1;\n}\n"),
    ]);
    assert_eq!(upward(&up, &order), Vec::<String>::new());
    assert_eq!(circles(&up), Vec::<String>::new());
    let circle = sources(&[
        ("upper/mod.rs", "pub mod one;\n\npub use one::One;\n"),
        ("upper/one.rs", "use crate::lower::{Three, Two};\n"),
        ("lower.rs", "use crate::{\n    upper::One,\n    other,\n};\n"),
    ]);
    assert_eq!(upward(&circle, &order), ["lower.rs uses upper/one.rs"]);
    assert_eq!(circles(&circle), ["lower.rs uses upper/one.rs", "upper/one.rs uses lower.rs"]);
    let in_tests = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::upper::One;\n}\n";
    assert_eq!(upward(&sources(&[("upper.rs", ""), ("lower.rs", in_tests)]), &order), Vec::<String>::new());
}
