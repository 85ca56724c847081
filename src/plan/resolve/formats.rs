//! What a stage needs of its rows, against the `format` that its data declares. Data without a
//! `format` is looked at row by row, later.

use super::checker::Checker;
use crate::data::Need;
use crate::data::spec::{DataSpec, Format};
use crate::kinds::StageSettings;

/// What does not fit, and what to do about it.
struct FormatMismatch {
    needs: &'static str,
    has: &'static str,
    help: Option<&'static str>,
}

pub fn check(checker: &mut Checker, index: usize, stage: &StageSettings, data: &DataSpec) {
    let Some(format) = data.format else { return };
    let need = stage.kind.facts().rows;
    let Some(FormatMismatch { needs, has, help }) = misfit(need, format) else { return };
    let at = match (need, format) {
        (Need::Unpaired { unpair: true }, Format::Unpaired) => checker.stage_key(index, "unpair"),
        _ => checker.stage_key(index, "data"),
    };
    let place = checker.document.value_place(&format!("{}/format", Checker::data_table(&data.name)));
    let (kind, name) = (stage.kind.name(), if stage.name.is_empty() { "?" } else { &stage.name });
    let message = format!("{kind} stage `{name}` needs {needs}, and `{}` has {has}", data.name);
    let problem = checker.error(&at, message);
    problem.help = help.map(str::to_owned);
    problem.related.extend(place.map(|place| (place, "its rows".to_owned())));
}

/// What does not fit; `None` if the stage can use rows of this format.
fn misfit(need: Need, format: Format) -> Option<FormatMismatch> {
    let has = match format {
        Format::Sft => "single answers without a label",
        Format::Preference => "pairs",
        Format::Unpaired => "single answers",
        Format::Prompt => "prompts alone",
    };
    let misfit = |needs, help| Some(FormatMismatch { needs, has, help });
    match (need, format) {
        // A prompt is in every row.
        (Need::Prompt, _) | (Need::Sft, Format::Sft | Format::Preference) => None,
        (Need::Sft, _) => misfit("answers to imitate", None),
        (Need::Unpaired { unpair: true }, Format::Unpaired) => {
            misfit("pairs for `unpair`", Some("take `unpair` out: such rows need no taking apart"))
        }
        (Need::Unpaired { unpair: false }, Format::Unpaired) => None,
        (Need::Unpaired { unpair: true }, Format::Preference) => None,
        (Need::Unpaired { unpair: false }, Format::Preference) => misfit(
            "answers labelled one by one",
            Some("set `unpair = true`: the chosen answer is a good row, the rejected one a bad row"),
        ),
        (Need::Unpaired { .. }, _) => misfit("answers labelled one by one", None),
        (Need::Preference, Format::Preference) => None,
        (Need::Preference, _) => misfit("pairs of answers", None),
    }
}
