//! Every file of `tests/data/files/invalid/` is read and tokenised; what its ledger says, or the error, is
//! in the `.expected` file beside it. `UPDATE_GOLDEN=1 cargo test --test data` refreshes them.
//! Files named `.sft.`, `.kto.`, `.unpair.` (kto on pairs), `.ppo.` or `.rm.` are read for such a stage,
//! all others for a preference stage that cuts answers.

use std::fs;
use std::path::{Path, PathBuf};

use runner::data::spec::DataSpec;
use runner::data::{Ledger, Lengths, Longer, Need, read_rows, tokenize};

use super::helper::{model, spec, tests};

/// What a file comes to: the error without bad rows allowed if it has any, and the ledger with.
fn outcome(file: &Path) -> String {
    let name = file.file_name().unwrap().to_string_lossy();
    let need = match name.split('.').nth(1) {
        Some("sft") => Need::Sft,
        Some("kto") => Need::Unpaired { unpair: false },
        Some("unpair") => Need::Unpaired { unpair: true },
        Some("ppo") => Need::Prompt,
        _ => Need::Preference,
    };
    let longer = if name.contains(".rm.") { Longer::Drop } else { Longer::Cut };
    let (template, tokenizer) = model("qwen2");
    let lengths = Lengths { max_length: 64, max_prompt_length: None, longer };
    let read = |max_bad_rows| {
        let mut ledger = Ledger::new();
        let rows = read_rows(&DataSpec { max_bad_rows, ..spec(&[file]) }, need, &mut ledger)?;
        tokenize(&rows, &template, &tokenizer, lengths, &mut ledger)?;
        anyhow::Ok(ledger)
    };
    let mut out = String::new();
    let strict = read(0);
    if let Err(error) = &strict {
        out.push_str(&format!("error: {error:#}\n"));
    }
    match (strict, read(100)) {
        (_, Ok(ledger)) => {
            let mut lines = Vec::new();
            ledger.write_jsonl(&mut lines).unwrap();
            out.push_str(&String::from_utf8(lines).unwrap());
        }
        (Ok(_), Err(error)) => panic!("more bad rows allowed, yet: {error:#}"),
        (Err(_), Err(error)) => {
            let error = format!("error: {error:#}\n");
            if error != out {
                out.push_str(&error);
            }
        }
    }
    out.replace(&format!("{}/", file.parent().unwrap().display()), "")
}

#[test]
fn every_broken_file_is_answered_for() {
    let folder = tests("data/files/invalid");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "expected"))
        .collect();
    files.sort();
    assert!(files.len() >= 30, "only {} broken files", files.len());
    let mut differ = Vec::new();
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let golden = folder.join(format!("{name}.expected"));
        let outcome = outcome(file);
        assert!(!outcome.is_empty(), "{name}: read without a word");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &outcome).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if outcome != expected {
            differ.push(format!("== {name}\n-- expected\n{expected}-- now\n{outcome}"));
        }
    }
    assert!(
        differ.is_empty(),
        "{}\n(UPDATE_GOLDEN=1 cargo test --test data refreshes them)",
        differ.join("\n")
    );
}
