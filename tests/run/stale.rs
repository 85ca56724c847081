//! Whether an earlier result holds, and what is said if not.

use std::fs;

use runner::plan::content::Hashes;
use runner::plan::fingerprint::Inputs;
use runner::plan::folder::{RunFolder, StageFolder};
use runner::plan::record::FilesRecord;
use runner::plan::staleness::{Status, reasons, status};
use runner::report::plan_table as table;
use runner::run::stage::{claim, place, recover};
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
    let run = RunFolder { root: root.path().to_owned() };
    let folder = run.stage("dpo");
    let now = inputs(&dpo_stage());
    let of = |inputs: &Inputs, fresh| status(&run, "dpo", inputs, fresh, &mut Hashes::default()).unwrap();
    assert_eq!(of(&now, false), Status::New);
    assert_eq!(of(&now, true), Status::New);
    assert_eq!(claim(&run, "dpo", &now, &Status::New).unwrap().root, folder.root);
    assert_eq!(of(&now, false), Status::HalfFinished);
    fs::create_dir(folder.model()).unwrap();
    fs::write(folder.model().join("config.json"), "{}").unwrap();
    assert_eq!(of(&now, false), Status::Finished);

    let mut changed = now.clone();
    changed.settings.insert("beta".into(), json!(0.2));
    let stale = of(&changed, false);
    assert_eq!(table::status(&stale), "will run again: beta: 0.1 → 0.2");
    let work = claim(&run, "dpo", &changed, &stale).unwrap();
    assert_ne!(work.root, folder.root);
    assert!(folder.model().exists(), "a stale result stays until the new one takes its place");
    assert_eq!(of(&changed, false), Status::HalfFinished);
    assert_eq!(of(&now, false), Status::Finished, "the earlier result still holds");
    assert_eq!(table::status(&of(&changed, true)), "will run again: `--fresh` asks for it");
    assert_eq!(claim(&run, "dpo", &changed, &Status::HalfFinished).unwrap().root, work.root);

    fs::create_dir(work.model()).unwrap();
    fs::write(work.model().join("config.json"), "[]").unwrap();
    place(&run, "dpo", &work).unwrap();
    assert_eq!(of(&changed, false), Status::Finished);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left of the earlier result");

    fs::write(folder.inputs(), "{").unwrap();
    assert_eq!(table::status(&of(&changed, false)), "will run again: its `inputs.json` cannot be read");
}

#[test]
fn a_crash_while_a_result_is_put_in_place_loses_neither() {
    let finished = |folder: &StageFolder, content: &str| {
        fs::create_dir_all(folder.model()).unwrap();
        fs::write(folder.model().join("config.json"), content).unwrap();
    };
    let content = |run: &RunFolder| fs::read_to_string(run.stage("dpo").model().join("config.json")).unwrap();
    // Which of the three folders a crash may leave, and whose result must be there afterwards.
    for (own, next, previous, expected) in [
        (true, true, false, "next"),
        (false, true, true, "next"),
        (true, false, true, "own"),
        (false, false, true, "previous"),
        (true, false, false, "own"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder { root: root.path().to_owned() };
        let left = [
            (own, run.stage("dpo"), "own"),
            (next, run.next("dpo"), "next"),
            (previous, run.previous("dpo"), "previous"),
        ];
        for (_, folder, content) in left.iter().filter(|(is_there, ..)| *is_there) {
            finished(folder, content);
        }
        recover(&run, "dpo").unwrap();
        assert_eq!(content(&run), expected);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_result_is_known_by_its_files() {
    let root = tempfile::tempdir().unwrap();
    let run = RunFolder { root: root.path().to_owned() };
    let folder = run.stage("dpo");
    let now = inputs(&dpo_stage());
    claim(&run, "dpo", &now, &Status::New).unwrap();
    fs::create_dir(folder.model()).unwrap();
    let file = folder.model().join("model.safetensors");
    fs::write(&file, "weights").unwrap();
    let record = |fingerprint: &str| {
        let record = FilesRecord::of(&folder.model(), fingerprint, None).unwrap();
        fs::write(folder.result(), record.to_bytes().unwrap()).unwrap();
    };
    let told = || table::status(&status(&run, "dpo", &now, false, &mut Hashes::default()).unwrap());
    record(&now.fingerprint().unwrap());
    assert_eq!(told(), table::status(&Status::Finished));
    fs::write(&file, "weight$").unwrap();
    let damaged = "will run again: its result is damaged or was changed: ";
    assert_eq!(told(), format!("{damaged}the content of `model.safetensors` is not what was written"));
    fs::remove_file(&file).unwrap();
    assert_eq!(told(), format!("{damaged}`model.safetensors` is missing"));
    fs::write(&file, "weights").unwrap();
    record("another");
    assert_eq!(told(), format!("{damaged}`result.json` is that of another result"));
    fs::write(folder.result(), "{").unwrap();
    assert_eq!(told(), format!("{damaged}`result.json` cannot be read"));
}
