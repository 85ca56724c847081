//! Whether an earlier result holds, and what is said if not.

use std::fs;

use runner::plan::fingerprint::Inputs;
use runner::plan::folder::StageFolder;
use runner::plan::staleness::{Status, reasons, status};
use runner::report::plan_table as table;
use runner::run::stage::claim;
use serde_json::json;

use crate::fingerprint::inputs;
use crate::settings::dpo_stage;

fn said(change: impl FnOnce(&mut Inputs)) -> String {
    let before = inputs(&dpo_stage());
    let mut now = before.clone();
    change(&mut now);
    reasons(&before, &now).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_reason_names_the_change() {
    let beta = said(|now| drop(now.settings.insert("beta".into(), json!(0.2))));
    assert_eq!(beta, "beta: 0.1 → 0.2");
    let added = said(|now| drop(now.settings.insert("rpo_alpha".into(), json!(0.1))));
    assert_eq!(added, "rpo_alpha: none → 0.1");
    let data = said(|now| now.data.files[1].hash = "another".into());
    assert_eq!(data, "data `pairs` changed (b.jsonl)");
    let fewer = said(|now| drop(now.data.files.pop()));
    assert_eq!(fewer, "data `pairs` changed (b.jsonl)");
    let weights = said(|now| drop(now.model.insert("model.safetensors".into(), "another".into())));
    assert_eq!(weights, "the model's model.safetensors changed");
    let input = said(|now| now.stages.get_mut("policy").unwrap().fingerprint = "another".into());
    assert_eq!(input, "its input stage `sft` changed");
    let numerics = said(|now| now.numerics = 2);
    assert_eq!(numerics, "this version computes it differently (numerics 1 → 2)");
    let both = said(|now| {
        now.settings.insert("beta".into(), json!(0.2));
        now.settings.insert("seed".into(), json!(1));
    });
    assert_eq!(both, "beta: 0.1 → 0.2; seed: 7 → 1");
}

#[test]
fn a_folder_goes_from_new_to_half_finished_to_finished_to_stale() {
    let root = tempfile::tempdir().unwrap();
    let folder = StageFolder { root: root.path().join("dpo") };
    let now = inputs(&dpo_stage());
    let of = |inputs: &Inputs, fresh| status(&folder, inputs, fresh).unwrap();
    assert_eq!(of(&now, false), Status::New);
    assert_eq!(of(&now, true), Status::New);
    claim(&folder, &now, &Status::New).unwrap();
    assert_eq!(of(&now, false), Status::HalfFinished);
    fs::create_dir(folder.model()).unwrap();
    assert_eq!(of(&now, false), Status::Finished);

    let mut changed = now.clone();
    changed.settings.insert("beta".into(), json!(0.2));
    let stale = of(&changed, false);
    assert_eq!(table::status(&stale), "will run again: beta: 0.1 → 0.2");
    assert!(folder.model().exists(), "a stale result stays until the new run takes its place");
    claim(&folder, &changed, &stale).unwrap();
    assert!(!folder.model().exists());
    assert_eq!(of(&changed, false), Status::HalfFinished);
    assert_eq!(table::status(&of(&changed, true)), "will run again: `--fresh` asks for it");

    fs::write(folder.inputs(), "{").unwrap();
    assert_eq!(table::status(&of(&changed, false)), "will run again: its `inputs.json` cannot be read");
}
