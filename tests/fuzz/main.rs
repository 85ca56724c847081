//! Mutated inputs of every kind that comes from outside: none ends the program, takes more than five seconds, or
//! needs more than a gibibyte.
//!
//! Each target mutates files of the tests, `FUZZ_SECONDS` long (1 if it is not said), and first tries the inputs in
//! `found/TARGET/`, which made it fail once. An input follows from `FUZZ_SEED` and its number alone. Before it is
//! tried it is written to `target/tmp/fuzz/TARGET`, so that it can be read after a crash.

mod memory;
mod mutate;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutate::Mutator;

const LONGEST: Duration = Duration::from_secs(5);
const MOST: usize = 1 << 30;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// Tries inputs made from `seeds` on `target` until the time is over.
fn fuzz(name: &str, seeds: Vec<Vec<u8>>, words: &[&str], mut target: impl FnMut(&[u8])) {
    assert!(!seeds.is_empty(), "{name} has nothing to start from");
    let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    fs::create_dir_all(&last).unwrap();
    let last = last.join(name);
    let mut attempt = |input: &[u8], which: &str| {
        fs::write(&last, input).unwrap();
        let before = memory::start();
        let started = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
            eprintln!("{name}: {which} panics; it is in {}", last.display());
            resume_unwind(panic);
        }
        let (took, most) = (started.elapsed(), memory::peak().saturating_sub(before));
        assert!(took < LONGEST, "{name}: {which} takes {took:?}; it is in {}", last.display());
        assert!(most < MOST, "{name}: {which} needs {most} bytes; it is in {}", last.display());
    };
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/found").join(name);
    for path in files(&found) {
        attempt(&fs::read(&path).unwrap(), &path.display().to_string());
    }
    let mutator = Mutator { seeds, words, seed: setting("FUZZ_SEED", 0) };
    let (end, inputs) = (Duration::from_secs(setting("FUZZ_SECONDS", 1)), setting("FUZZ_INPUTS", u64::MAX));
    let started = Instant::now();
    let mut number = 0;
    while started.elapsed() < end && number < inputs {
        attempt(&mutator.input(number), &format!("input {number}"));
        number += 1;
    }
    println!("{name}: {number} inputs in {:.0} s", started.elapsed().as_secs_f64());
}

/// The files in a folder, in order; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}
