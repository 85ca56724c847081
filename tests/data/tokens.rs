//! Token ids of the golden rows, exactly as TRL trained on them (see `tests/golden/README.md`).

use runner::data::example::Example;
use runner::data::mismatch::add_mismatched;
use runner::data::spec::DataSpec;
use runner::data::{Ledger, Lengths, Longer, Need, Tokenized, read_rows, tokenize};
use runner::template::Rendering;
use serde_json::Value;

use super::helper::{golden, model, spec};

fn json(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden(path)).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn data(file: &str) -> DataSpec {
    DataSpec { source: vec![file.into()], ..spec(&[golden("data").join(file)]) }
}

fn tokenized(file: &str, name: &str, need: Need, max_length: usize) -> (Vec<Tokenized>, Ledger) {
    let mut ledger = Ledger::new();
    let rows = read_rows(&data(file), need, &mut ledger).unwrap();
    let (template, tokenizer) = model(name);
    let lengths = Lengths { max_length, max_prompt_length: None, longer: Longer::Cut };
    let rows = tokenize(&rows, &template, &tokenizer, lengths, &mut ledger).unwrap();
    (rows, ledger)
}

fn examples(name: &str, need: Need, max_length: usize) -> (Vec<Example>, Ledger) {
    let (rows, ledger) = tokenized("preference.jsonl", name, need, max_length);
    (rows.into_iter().map(|row| row.example).collect(), ledger)
}

#[test]
fn preference_rows_give_trl_s_tokens() {
    for (name, max_length) in [("llama3", 224), ("qwen2", 512), ("qwen3", 512), ("mistral", 512)] {
        let expected = json(&format!("traces/tokens_DPOTrainer_{name}_{max_length}.json"));
        let (examples, _) = examples(name, Need::Preference, max_length);
        assert_eq!(examples.len(), 96);
        for (row, expected) in expected.as_array().unwrap().iter().enumerate() {
            let example = &examples[row];
            assert_eq!(example.row, row);
            assert_eq!(example.prompt, ids(&expected["prompt_ids"]), "{name} row {row}: prompt");
            for (completion, key) in example.completions.iter().zip(["chosen_ids", "rejected_ids"]) {
                assert_eq!(completion.tokens, ids(&expected[key]), "{name} row {row}: {key}");
                assert!(completion.trained.iter().all(|trained| *trained), "{name} row {row}: {key}");
            }
        }
    }
}

/// The reward trainer reads whole sides, CPO's (and ORPO's, whose tokens are the same) prompt and side.
#[test]
fn sides_are_whole_as_trl_s_reward_and_cpo_trainers_read_them() {
    let files = [("Reward", "llama3"), ("Reward", "qwen2"), ("CPO", "llama3")];
    for (trainer, name) in files {
        let expected = json(&format!("traces/tokens_{trainer}Trainer_{name}_512.json"));
        let expected = expected.as_array().unwrap();
        assert_eq!(expected.len(), 48);
        let (examples, _) = examples(name, Need::Preference, 512);
        for (example, expected) in examples.iter().zip(expected) {
            let row = example.row;
            for (completion, side) in example.completions.iter().zip(["chosen", "rejected"]) {
                let whole = [example.prompt.clone(), completion.tokens.clone()].concat();
                let key = if trainer == "CPO" { format!("{side}_input_ids") } else { format!("{side}_ids") };
                assert_eq!(whole, ids(&expected[key]), "{trainer} {name} row {row}: {side}");
            }
            if trainer == "CPO" {
                assert_eq!(example.prompt, ids(&expected["prompt_input_ids"]), "{name} row {row}: prompt");
            }
        }
    }
}

/// `per_device_train_batch_size` was 4.
#[test]
fn unpaired_rows_give_trl_s_tokens_and_mismatched_completions() {
    for name in ["llama3", "qwen2"] {
        let expected = json(&format!("traces/tokens_KTOTrainer_{name}_512.json"));
        let expected = expected.as_array().unwrap();
        assert_eq!(expected.len(), 48);
        let (rows, ledger) = tokenized("unpaired.jsonl", name, Need::Unpaired { unpair: false }, 512);
        assert_eq!(ledger.entries(), []);
        let rows = rows.into_iter().map(|row| (row.example, row.uncut)).collect();
        let examples = add_mismatched(rows, 4, 512);
        assert_eq!(examples.len(), 96);
        for (row, expected) in expected.iter().enumerate() {
            let example = &examples[row];
            assert_eq!(example.row, row);
            assert_eq!(example.label, expected["label"].as_bool(), "{name} row {row}");
            assert_eq!(example.prompt, ids(&expected["prompt_ids"]), "{name} row {row}: prompt");
            for (completion, key) in example.completions.iter().zip(["completion_ids", "KL_completion_ids"]) {
                assert_eq!(completion.tokens, ids(&expected[key]), "{name} row {row}: {key}");
                assert!(completion.trained.iter().all(|trained| *trained), "{name} row {row}: {key}");
            }
            assert_eq!(example.completions.len(), 2);
        }
    }
}

#[test]
fn preference_rows_serve_sft_by_their_chosen_side() {
    for name in ["llama3", "qwen2"] {
        let expected = json(&format!("traces/tokens_SFTTrainer_{name}_512.json"));
        let (examples, ledger) = examples(name, Need::Sft, 512);
        assert_eq!(ledger.entries(), []);
        for (row, expected) in expected.as_array().unwrap().iter().enumerate() {
            let example = &examples[row];
            assert_eq!(example.completions.len(), 1);
            let whole = [example.prompt.clone(), example.completions[0].tokens.clone()].concat();
            assert_eq!(whole, ids(&expected["input_ids"]), "{name} row {row}");
        }
    }
}

#[test]
fn texts_and_ids_of_the_first_row_equal_transformers() {
    let forward = json("traces/forward.json");
    for name in ["llama3", "qwen2", "qwen3", "mistral"] {
        let mut spec = data("preference.jsonl");
        spec.limit = Some(1);
        let rows = read_rows(&spec, Need::Sft, &mut Ledger::new()).unwrap();
        let (template, tokenizer) = model(name);
        let texts = runner::data::render_row::render_row(&rows[0], &template).unwrap().texts;
        let open = Rendering { add_generation_prompt: true, ..Rendering::default() };
        let prompt = template.render(rows[0].question(), open).unwrap();
        assert_eq!(texts[0].text, forward[name]["text"].as_str().unwrap());
        assert_eq!(prompt, forward[name]["prompt_text"].as_str().unwrap());
        let encoded = tokenizer.encode_with_offsets(&texts[0].text).unwrap();
        assert_eq!(encoded.ids, ids(&forward[name]["input_ids"]));
    }
}
