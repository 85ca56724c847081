//! What a stage needs of its rows, against the `format` that its data declares. Data without a
//! `format` is looked at row by row, later.

use super::checker::Checker;
use crate::data::spec::{DataSpec, Format};
use crate::recipe::stage::{Kind, StageTable};

/// What does not fit, and what to do about it.
struct Misfit {
    needs: &'static str,
    has: &'static str,
    help: Option<&'static str>,
}

pub fn check(checker: &mut Checker, index: usize, stage: &StageTable, data: &DataSpec) {
    let (Some(kind), Some(format)) = (stage.kind, data.format) else { return };
    let unpair = stage.of_kind.kto.unpair.unwrap_or(false);
    let Some(Misfit { needs, has, help }) = misfit(kind, unpair, format) else { return };
    let at = match unpair && format == Format::Unpaired {
        true => checker.stage_key(index, "unpair"),
        false => checker.stage_key(index, "data"),
    };
    let place = checker.document.value_place(&format!("{}/format", Checker::data_table(&data.name)));
    let stage = stage.name.as_deref().unwrap_or("?");
    let message = format!("{} stage `{stage}` needs {needs}, and `{}` has {has}", kind.name(), data.name);
    let problem = checker.error(&at, message);
    problem.help = help.map(str::to_owned);
    problem.related.extend(place.map(|place| (place, "its rows".to_owned())));
}

/// `None` if a kind can use rows of a format.
fn misfit(kind: Kind, unpair: bool, format: Format) -> Option<Misfit> {
    let has = match format {
        Format::Sft => "single answers without a label",
        Format::Preference => "pairs",
        Format::Unpaired => "single answers",
        Format::Prompt => "prompts alone",
    };
    let misfit = |needs, help| Some(Misfit { needs, has, help });
    match (kind, format) {
        // A prompt is in every row.
        (Kind::Ppo, _) | (Kind::Sft, Format::Sft | Format::Preference) => None,
        (Kind::Sft, _) => misfit("answers to imitate", None),
        (Kind::Kto, Format::Unpaired) if unpair => {
            misfit("pairs for `unpair`", Some("take `unpair` out: such rows need no taking apart"))
        }
        (Kind::Kto, Format::Unpaired) => None,
        (Kind::Kto, Format::Preference) if unpair => None,
        (Kind::Kto, Format::Preference) => misfit(
            "answers labelled one by one",
            Some("set `unpair = true`: the chosen answer is a good row, the rejected one a bad row"),
        ),
        (Kind::Kto, _) => misfit("answers labelled one by one", None),
        (Kind::Rm | Kind::Dpo | Kind::Cpo | Kind::Orpo | Kind::Simpo, Format::Preference) => None,
        (Kind::Rm | Kind::Dpo | Kind::Cpo | Kind::Orpo | Kind::Simpo, _) => misfit("pairs of answers", None),
    }
}
