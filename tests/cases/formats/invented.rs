//! Roles that a recipe maps, end to end: what `check` says of them, and what is trained of text.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use runner::data::{Ledger, Lengths, Longer, Need, Tokenizer, tokenize};
use runner::template::ChatTemplate;

use super::helper::{input, plain};

fn model(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(name)
}

/// `runner check` of a stage on rows; `data` is written into the table of the data.
fn check(kind: &str, rows: &str, data: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rows.jsonl"), rows).unwrap();
    let recipe = format!(
        "name = \"r\"\n[model]\nbase = \"{}\"\n[data.d]\nsource = \"rows.jsonl\"\n{data}\n[[stage]]\nname = \"s\"\n\
         kind = \"{kind}\"\ndata = \"d\"\nmax_steps = 1\n",
        model("qwen2").display()
    );
    fs::write(folder.path().join("r.toml"), recipe).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    let output = command.current_dir(folder.path()).args(["check", "r.toml"]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout) + &text(output.stderr))
}

#[test]
fn a_recipe_maps_roles() {
    let rows = "{\"messages\": [{\"role\": \"customer\", \"content\": \"q\"}, {\"role\": \"Agent\", \"content\": \"y\"}]}\n";
    let (sound, said) = check("sft", rows, "roles = { user = [\"customer\"], assistant = \"agent\" }");
    assert!(sound && said.contains("1 rows to train on"), "{said}");
    let (sound, said) = check("sft", rows, "");
    assert!(!sound && said.contains("unknown role `customer` at /messages/0/role"), "{said}");
    let (sound, said) = check("sft", rows, "roles = { user = [\"customer\"], assistant = [\"Customer\"] }");
    assert!(!sound && said.contains("the role `Customer` is given to `user` already"), "{said}");
    let (sound, said) = check("sft", rows, "roles = { usr = \"customer\" }");
    assert!(!sound && said.contains("unknown key `usr` in `roles`"), "{said}");
}

#[test]
fn check_tells_what_nothing_reads() {
    let rows = "{\"prompt\": \"q\", \"completion\": \"y\", \"topic\": \"x\"}\n";
    let (sound, said) = check("sft", rows, "");
    assert!(sound && said.contains("warning: `rows.jsonl`: nothing reads `/topic`"), "{said}");
}

/// TRL 1.16's SFTTrainer makes these of `{"text": …}` (`input_ids`, all of them labels).
#[test]
fn text_has_trl_s_tokens() {
    for (name, count, end) in [("llama3", 39, 508), ("qwen2", 37, 510)] {
        let folder = model(name);
        let template = ChatTemplate::for_model(None, &folder, Some(&folder)).unwrap();
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        let rows = plain().file(&input("b21/text.jsonl"), Need::Sft).rows;
        let lengths = Lengths { max_length: 512, max_prompt_length: None, longer: Longer::Cut };
        let tokens = tokenize(&rows, &template, &tokenizer, lengths, &mut Ledger::new()).unwrap();
        let example = &tokens[0].example;
        let completion = &example.completions[0];
        assert!(completion.trained.iter().all(|trained| *trained));
        let ids = [example.prompt.clone(), completion.tokens.clone()].concat();
        assert_eq!((example.prompt.len(), ids.len()), (1, count), "{name}");
        assert_eq!((&ids[..4], ids.last()), (&[27, 82, 29, 58][..], Some(&end)), "{name}");
    }
}
