//! Checkpoints are there whole or not at all, and only as many as were asked for.

use std::fs;

use runner::plan::folder::StageFolder;
use runner::run::checkpoint::list;

use crate::settings::training;
use crate::toy::{Moment, Toy};

fn steps(folder: &StageFolder) -> Vec<u64> {
    list(&folder.checkpoints()).unwrap().into_iter().map(|(step, _)| step).collect()
}

fn names(folder: &StageFolder) -> Vec<String> {
    let names = fs::read_dir(folder.checkpoints()).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_newest_are_kept() {
    for (keep, expected) in [(None, vec![2, 4, 6, 8, 10, 12]), (Some(2), vec![10, 12]), (Some(1), vec![12])] {
        let root = tempfile::tempdir().unwrap();
        let folder = StageFolder { root: root.path().to_owned() };
        Toy::new().run(&folder, &training(1, None, Some(2), keep)).unwrap();
        assert_eq!(steps(&folder), expected);
    }
}

#[test]
fn a_checkpoint_that_was_not_finished_does_not_count() {
    let root = tempfile::tempdir().unwrap();
    let folder = StageFolder { root: root.path().to_owned() };
    let settings = training(1, None, Some(3), None);
    Toy { dies: Moment::InCheckpoint(6), ..Toy::new() }.run(&folder, &settings).unwrap_err();
    assert_eq!(names(&folder), ["step-000003"]);
    // A kill leaves what an error tidies up.
    fs::create_dir_all(folder.checkpoints().join(".unfinished-a1/content")).unwrap();
    fs::create_dir_all(folder.root.join(".unfinished-b2/content")).unwrap();
    Toy::new().run(&folder, &settings).unwrap();
    assert_eq!(names(&folder), ["step-000003", "step-000006", "step-000009", "step-000012"]);
    assert!(!folder.root.join(".unfinished-b2").exists());
}

#[test]
fn a_result_that_cannot_be_written_is_not_there() {
    let root = tempfile::tempdir().unwrap();
    let folder = StageFolder { root: root.path().to_owned() };
    let toy = Toy { dies: Moment::InResult, ..Toy::new() };
    let error = toy.run(&folder, &training(1, None, None, None)).unwrap_err();
    let expected = format!("cannot write `{}`: the process is gone", folder.model().display());
    assert_eq!(format!("{error:#}"), expected);
    assert!(!folder.model().exists());
}
