//! Rows as the kinds of stages get them: which answers, which prompts, what ends them; and how
//! `runner render` shows them.

use std::collections::BTreeSet;
use std::fs;

use runner::cli::marked::Mark;
use runner::cli::render::render_rows;
use runner::data::ending::Ending;
use runner::data::spec::DataSpec;
use runner::kinds::{KindSettings, KtoSettings, PpoSettings, RmSettings, Source, StageSettings};
use runner::objective::kto::{KtoLoss, KtoParameters};
use runner::plan::resolve::{RecipeUse, load};
use runner::plan::rows::StageData;
use runner::template::ChatTemplate;
use serde_json::Value;

use super::helper::{golden, model, spec};

fn data(file: &str, limit: Option<usize>) -> DataSpec {
    DataSpec { limit, max_dropped: 1.0, ..spec(&[golden("data").join(file)]) }
}

/// An sft stage's settings with another kind.
fn stage(kind: KindSettings) -> StageSettings {
    let place = tempfile::tempdir().unwrap();
    let recipe = place.path().join("r.toml");
    let text = format!(
        "name = 'r'\n[model]\nbase = '{}'\n[data.rows]\nsource = '{}'\n[[stage]]\nname = 's'\nkind = 'sft'\n\
         data = 'rows'\nbatch_size = 4\n",
        golden("models/llama3").display(),
        golden("data/sft.jsonl").display()
    );
    fs::write(&recipe, text).unwrap();
    let stage = load(&recipe, &[], RecipeUse::Run).unwrap().stages.remove(0);
    StageSettings { kind, ..stage }
}

fn kto(loss_type: KtoLoss, unpair: bool) -> KindSettings {
    let parameters = KtoParameters { loss_type, ..KtoParameters::default() };
    KindSettings::Kto(KtoSettings { parameters, unpair, ..KtoSettings::default() })
}

fn rm() -> KindSettings {
    KindSettings::Rm(RmSettings::default())
}

fn ppo() -> KindSettings {
    let reward = Some(Source::Base);
    KindSettings::Ppo(PpoSettings { reward, response_length: 16, ..PpoSettings::default() })
}

fn read(kind: KindSettings, data: &DataSpec, name: &str) -> StageData {
    let (template, tokenizer) = model(name);
    StageData::read(&stage(kind), data, &template, &tokenizer).unwrap()
}

#[test]
fn templates_end_answers_with_these_tokens() {
    for (name, end, closing) in [
        ("llama3", "<|eot_id|>", ""),
        ("mistral", "<|im_end|>", "\n"),
        ("qwen2", "<|im_end|>", "\n"),
        ("qwen3", "<|im_end|>", "\n"),
    ] {
        let (template, tokenizer) = model(name);
        let ending = Ending::of(&template, &tokenizer).unwrap();
        assert_eq!(ending.end, tokenizer.id(end), "{name}");
        assert!(ending.end.is_some(), "{name}");
        assert_eq!(tokenizer.decode(&ending.closing).unwrap(), closing, "{name}");
    }
    let (template, tokenizer) = model("llama3");
    let bare = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    let bare = ChatTemplate::new(bare.into(), template.special_tokens().clone()).unwrap();
    assert_eq!(Ending::of(&bare, &tokenizer).unwrap(), Ending::default());
}

/// The prompts are TRL's `prompt_ids`; there is nothing after them.
#[test]
fn ppo_reads_prompts_alone() {
    let text = fs::read_to_string(golden("traces/tokens_KTOTrainer_qwen2_512.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&text).unwrap();
    let rows = read(ppo(), &data("unpaired.jsonl", None), "qwen2");
    assert_eq!(rows.stage_rows().unwrap().train.len(), 96);
    for (example, expected) in rows.stage_rows().unwrap().train.iter().zip(&expected) {
        let ids: Vec<u32> = serde_json::from_value(expected["prompt_ids"].clone()).unwrap();
        assert_eq!((&example.prompt, example.completions.len()), (&ids, 0), "row {}", example.row);
    }
    let (_, tokenizer) = model("qwen2");
    let end = tokenizer.id("<|im_end|>").unwrap();
    assert!(rows.end_tokens.contains(&end), "{:?}", rows.end_tokens);
    assert_eq!(tokenizer.decode(&rows.stage_rows().unwrap().closing).unwrap(), "\n");
    assert_eq!(rows.questions.len(), 8);
    assert_eq!(rows.questions[0], "Please fold the lantern: count lantern glacier.");
    assert_eq!(rows.counts().train.trained, 0);
}

#[test]
fn only_kto_s_own_loss_reads_mismatched_answers() {
    let rows = |loss| read(kto(loss, false), &data("unpaired.jsonl", None), "llama3");
    let (with, without) = (rows(KtoLoss::Kto), rows(KtoLoss::ApoZeroUnpaired));
    let completions = |rows: &StageData| {
        rows.stage_rows().unwrap().train.iter().map(|example| example.completions.len()).collect::<Vec<_>>()
    };
    assert_eq!((completions(&with), completions(&without)), (vec![2; 96], vec![1; 96]));
    let (with, without) = (with.counts().train, without.counts().train);
    assert_eq!(with.trained, without.trained);
    // Every answer is read twice: after its own prompt and after another.
    assert_eq!(with.shared - without.shared, without.trained);
}

#[test]
fn unpaired_pairs_are_balanced_and_labels_that_are_not_are_told() {
    let pairs = read(kto(KtoLoss::Kto, true), &data("preference.jsonl", None), "llama3");
    assert_eq!(pairs.stage_rows().unwrap().train.len(), 192);
    // As TRL unpairs: all chosen answers, then all rejected ones.
    let labels: Vec<_> =
        pairs.stage_rows().unwrap().train.iter().map(|example| (example.row, example.label)).collect();
    let rows = |label| (0..96).map(move |row| (row, Some(label)));
    assert_eq!(labels, rows(true).chain(rows(false)).collect::<Vec<_>>());
    let questions: BTreeSet<&String> = pairs.questions.iter().collect();
    assert_eq!((pairs.questions.len(), questions.len()), (8, 8), "{questions:?}");
    assert_eq!(pairs.warnings, Vec::<String>::new());
    let rows = read(kto(KtoLoss::Kto, false), &data("unpaired.jsonl", Some(48)), "llama3");
    let warning = "28 desirable and 20 undesirable rows: set `undesirable_weight` between 1.05 and 1.4 or \
                   `desirable_weight` between 0.72 and 0.95";
    assert_eq!(rows.warnings, [warning]);
    let counts = serde_json::to_value(rows.counts()).unwrap();
    assert_eq!(counts["warnings"], serde_json::json!([warning]));
    let quiet = serde_json::to_value(pairs.counts()).unwrap();
    assert_eq!(quiet.get("warnings"), None);
}

#[test]
fn a_reward_model_s_rows_keep_their_margin_and_are_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let row = |answer: &str, margin: &str| {
        format!(
            "{{\"prompt\": \"Please count.\", \"chosen\": \"{answer}\", \"rejected\": \"No.\"{margin}}}\n"
        )
    };
    let text = [row("One.", ", \"margin\": 0.25"), row(&"One two. ".repeat(400), ""), row("Two.", "")];
    fs::write(&path, text.concat()).unwrap();
    let rows = read(rm(), &DataSpec { files: vec![path], ..data("", None) }, "llama3");
    let margins: Vec<_> =
        rows.stage_rows().unwrap().train.iter().map(|example| (example.row, example.margin)).collect();
    assert_eq!(margins, [(0, Some(0.25)), (2, None)]);
    let counts = rows.counts();
    assert_eq!((counts.rows_cut, counts.rows_dropped), (0, 1));
    assert_eq!(counts.reasons.get("longer than max_length"), Some(&1));
}

#[test]
fn rows_are_shown_with_what_is_trained() {
    let (template, tokenizer) = model("llama3");
    let mut differ = Vec::new();
    for (name, kind, file, count) in [
        ("sft", KindSettings::Sft, "preference.jsonl", 1),
        ("kto", kto(KtoLoss::Kto, false), "unpaired.jsonl", 2),
        ("rm", rm(), "preference.jsonl", 1),
        ("ppo", ppo(), "preference.jsonl", 1),
    ] {
        let mut out = Vec::new();
        let data = data(file, None);
        let stage = stage(kind);
        render_rows(&data, &stage, &template, &tokenizer, count, Mark::Brackets, &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap().replace(&data.files[0].display().to_string(), "FILE");
        let path = format!("tests/data/files/valid/rendered_{name}.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &shown).unwrap();
        }
        if shown != fs::read_to_string(&path).unwrap_or_default() {
            differ.push(format!("== {path}\n{shown}"));
        }
    }
    assert!(
        differ.is_empty(),
        "{}\n(UPDATE_GOLDEN=1 cargo test --test data refreshes them)",
        differ.join("\n")
    );
}
