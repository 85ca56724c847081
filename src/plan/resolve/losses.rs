//! `loss_type`, and the keys that some losses need or cannot do with.

use super::checker::Checker;
use crate::recipe::dpo::FDivergenceName;
use crate::recipe::loss_type::{LossName, LossTypes};
use crate::recipe::stage::{self, Kind, StageTable};
use crate::recipe::suggest;

/// Losses that f-divergences have a meaning for: in the others the partition function does not
/// cancel. As TRL.
const WITH_F_DIVERGENCE: [LossName; 8] = [
    LossName::Sigmoid,
    LossName::SigmoidNorm,
    LossName::Hinge,
    LossName::Ipo,
    LossName::ExoPair,
    LossName::Robust,
    LossName::Discopop,
    LossName::Sft,
];

/// Losses that sort the answers of a micro-batch, after which there are no pairs to weigh.
const SORTED: [LossName; 2] = [LossName::Aot, LossName::AotUnpaired];

pub fn check(checker: &mut Checker, index: usize, stage: &StageTable) {
    let Some(kind) = stage.kind else { return };
    let at = checker.stage_key(index, "loss_type");
    if checker.document.is_refused(&at) {
        return;
    }
    let keys = &stage.of_kind;
    let name = stage.name.as_deref().unwrap_or("?");
    if let Some(losses) = &keys.shared.loss_type
        && !check_names(checker, &at, kind, name, losses)
    {
        return;
    }
    let losses = keys.shared.loss_type.as_ref().map_or(&[LossName::Sigmoid][..], LossTypes::names);
    match kind {
        Kind::Dpo => check_dpo(checker, index, stage, losses),
        Kind::Kto => check_kto(checker, index, stage, name),
        _ => {}
    }
}

/// Whether the losses are the kind's own. The schema has seen those of the stage's own table, but not
/// those of `[defaults]`.
fn check_names(checker: &mut Checker, at: &str, kind: Kind, stage: &str, losses: &LossTypes) -> bool {
    let own = LossName::of_kind(kind);
    let choices: Vec<String> = own.iter().map(|loss| loss.name()).collect();
    if let Some(foreign) = losses.names().iter().find(|loss| !own.contains(loss)) {
        let foreign = foreign.name();
        let message = format!("`loss_type` of {} stage `{stage}` cannot be `{foreign}`", kind.name());
        checker.error(at, message).help = Some(format!("choices: {}", suggest::quoted(&choices)));
        return false;
    }
    if matches!(losses, LossTypes::Many(_)) && kind != Kind::Dpo {
        let message = format!("`loss_type` of {} stage `{stage}` is one loss, not a list", kind.name());
        checker.error(at, message).help = Some(format!("choices: {}", suggest::quoted(&choices)));
        return false;
    }
    if losses.names() == [LossName::Sft] {
        checker.error(at, "`sft` alone compares no answers").help =
            Some("write `kind = \"sft\"`, or add another loss".to_owned());
        return false;
    }
    true
}

fn check_dpo(checker: &mut Checker, index: usize, stage: &StageTable, losses: &[LossName]) {
    let keys = &stage.of_kind.dpo;
    if let Some(weights) = &keys.loss_weights
        && weights.len() != losses.len()
    {
        let at = checker.stage_key(index, "loss_weights");
        let message =
            format!("`loss_weights` has length {}, and `loss_type` {}", weights.len(), losses.len());
        checker.error(&at, message).help = Some("give each loss its weight".to_owned());
    }
    let smoothing = checker.stage_key(index, "label_smoothing");
    let is_smoothed = stage.of_kind.shared.label_smoothing.is_some_and(|share| share > 0.0);
    if losses.contains(&LossName::ExoPair) && !is_smoothed && !checker.document.is_refused(&smoothing) {
        let place = checker.stage_key_place(index, "loss_type");
        let problem = checker.error(&smoothing, "`exo_pair` needs a `label_smoothing` above 0");
        problem.related.extend(place.map(|place| (place, "the loss".to_owned())));
        problem.help = Some("its paper takes `label_smoothing = 1e-3`".to_owned());
    }
    if keys.f_divergence.is_some_and(|name| name != FDivergenceName::ReverseKl)
        && let Some(loss) = losses.iter().find(|loss| !WITH_F_DIVERGENCE.contains(loss))
    {
        let at = checker.stage_key(index, "f_divergence");
        let with = WITH_F_DIVERGENCE.map(LossName::name);
        checker.error(&at, format!("`f_divergence` has no meaning for the loss `{}`", loss.name())).help =
            Some(format!("losses that it has one for: {}", suggest::quoted(&with)));
    }
    if keys.f_alpha_divergence_coef == Some(1.0) {
        let at = checker.stage_key(index, "f_alpha_divergence_coef");
        checker.error(&at, "an α of 1 is the reverse KL divergence, which this formula cannot be").help =
            Some("write `f_divergence = \"reverse_kl\"`".to_owned());
    }
    if keys.use_weighting == Some(true)
        && let Some(loss) = losses.iter().find(|loss| SORTED.contains(loss))
    {
        let at = checker.stage_key(index, "use_weighting");
        let message = format!("`{}` sorts answers, so there are no pairs to weigh", loss.name());
        checker.error(&at, message).help = Some("take `use_weighting` out".to_owned());
    }
}

fn check_kto(checker: &mut Checker, index: usize, stage: &StageTable, name: &str) {
    let without_kl =
        stage.of_kind.shared.loss_type.as_ref().is_some_and(|l| l.names() == [LossName::ApoZeroUnpaired]);
    let at = checker.stage_key(index, "batch_size");
    if without_kl || checker.document.is_refused(&at) {
        return;
    }
    if stage.training.batch_size.unwrap_or(stage::BATCH_SIZE) == 1 {
        let message = format!(
            "stage `{name}` needs two rows or more in a micro-batch: the KL term pairs each prompt with \
             another row's answer"
        );
        checker.error(&at, message).help =
            Some("set `batch_size = 2`, and halve `gradient_accumulation_steps`".to_owned());
    }
}
