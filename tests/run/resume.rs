//! However often a stage dies, it ends with the bytes of one that never did.

use std::fs::{self, OpenOptions};
use std::io::Write;

use proptest::prelude::*;
use runner::plan::folder::StageFolder;
use runner::run::interrupt::is_interrupt;

use crate::settings::training;
use crate::toy::{Moment, STEPS, Toy};

/// Metrics, samples and weights of a finished stage.
fn outcome(folder: &StageFolder) -> [String; 3] {
    [folder.metrics(), folder.samples(), folder.model().join("weights.json")]
        .map(|path| fs::read_to_string(path).unwrap())
}

fn folder() -> (tempfile::TempDir, StageFolder) {
    let root = tempfile::tempdir().unwrap();
    let folder = StageFolder { root: root.path().join("stage") };
    fs::create_dir(&folder.root).unwrap();
    (root, folder)
}

#[test]
fn an_undisturbed_stage_writes_these_rows() {
    let (_root, folder) = folder();
    Toy::new().run(&folder, &training(5, Some(8), None, None)).unwrap();
    let [metrics, samples, _] = outcome(&folder);
    insta::assert_snapshot!(metrics, @r#"
{"step":0,"epoch":0.0,"eval_loss":0.0}
{"step":5,"epoch":0.625,"loss":0.08003288942546713,"grad_norm":0.2151423672554401,"learning_rate":0.02,"num_tokens":60.0}
{"step":8,"epoch":1.0,"eval_loss":-0.43861071850334576}
{"step":10,"epoch":1.25,"loss":0.061478534689339726,"grad_norm":0.21235330491867438,"learning_rate":0.01,"num_tokens":145.0}
{"step":12,"epoch":1.5,"loss":0.11268012265281857,"grad_norm":0.1850580872017131,"learning_rate":0.008333333333333333,"num_tokens":186.0}
{"step":12,"epoch":1.5,"eval_loss":-0.652398663217627}
"#);
    insta::assert_snapshot!(samples, @r#"
{"step":0,"prompt":"first","answer":"[0]"}
{"step":0,"prompt":"second","answer":"[0]"}
{"step":12,"prompt":"first","answer":"[29914]"}
{"step":12,"prompt":"second","answer":"[343406]"}
"#);
}

fn moments() -> impl Strategy<Value = Moment> {
    prop_oneof![
        (0..STEPS).prop_map(Moment::InStep),
        (0..=STEPS).prop_map(Moment::InEvaluation),
        (1..=STEPS).prop_map(Moment::InCheckpoint),
        Just(Moment::InResult),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn deaths_and_interrupts_leave_no_trace(
        deaths in prop::collection::vec((moments(), any::<bool>()), 0..5),
        logging in 1..6u64,
        evaluating in prop::option::of(1..6u64),
        saving in prop::option::of(1..6u64),
        keep in prop::option::of(1..3u64),
    ) {
        let settings = training(logging, evaluating, saving, keep);
        let (_root, undisturbed) = folder();
        Toy::new().run(&undisturbed, &settings).unwrap();
        let (_root, disturbed) = folder();
        for (moment, by_interrupt) in deaths {
            let mut toy = Toy::new();
            if by_interrupt { toy.interrupted = moment } else { toy.dies = moment }
            if toy.run(&disturbed, &settings).is_ok() {
                break;
            }
            // What a killed process may leave: half a line, half a folder.
            if !by_interrupt {
                let mut metrics = OpenOptions::new().append(true).create(true).open(disturbed.metrics()).unwrap();
                metrics.write_all(b"{\"step\":9,\"epo").unwrap();
                fs::create_dir_all(disturbed.checkpoints().join(".unfinished-x/content")).unwrap();
            }
        }
        if !disturbed.model().exists() {
            Toy::new().run(&disturbed, &settings).unwrap();
        }
        prop_assert_eq!(outcome(&disturbed), outcome(&undisturbed));
    }
}

#[test]
fn an_interrupt_finishes_the_step_and_saves_it() {
    let (_root, folder) = folder();
    let settings = training(1, None, None, None);
    let toy = Toy { interrupted: Moment::InStep(4), ..Toy::new() };
    let error = toy.run(&folder, &settings).unwrap_err();
    assert!(is_interrupt(&error), "{error:#}");
    assert!(folder.checkpoints().join("step-000005").is_dir());
    assert!(!folder.model().exists());
    Toy::new().run(&folder, &settings).unwrap();
    assert!(!folder.checkpoints().exists(), "nobody asked to keep checkpoints");
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_stage() {
    let (_root, folder) = folder();
    let toy = Toy { diverges: Some(6), ..Toy::new() };
    let error = toy.run(&folder, &training(1, None, Some(2), None)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`loss` is NaN at step 7: training cannot go on; lower `learning_rate`, or set `max_grad_norm` if it is 0; \
         the checkpoint of step 6, whose weights gave it, is removed"
    );
    assert!(!folder.model().exists());
}

#[test]
fn metrics_cut_short_by_someone_are_not_continued() {
    let (_root, folder) = folder();
    let settings = training(1, None, Some(4), None);
    Toy { dies: Moment::InStep(9), ..Toy::new() }.run(&folder, &settings).unwrap_err();
    fs::write(folder.metrics(), "").unwrap();
    let error = Toy::new().run(&folder, &settings).unwrap_err();
    assert!(format!("{error:#}").contains("start again with `--fresh`"), "{error:#}");
}
