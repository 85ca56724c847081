//! Settings of a stage for tests.

use runner::batch::BatchSettings;
use runner::kinds::{DpoSettings, KindSettings, PpoSettings, Source, StageSettings};
use runner::optim::schedule::ScheduleSettings;
use runner::train::TrainingSettings;

/// Twelve rows in batches of one; everything else as a recipe has it by default.
pub fn training(
    logging: u64,
    evaluating: Option<u64>,
    saving: Option<u64>,
    keep: Option<u64>,
) -> TrainingSettings {
    TrainingSettings {
        batches: BatchSettings { num_train_epochs: 1.0, ..BatchSettings::default() },
        schedule: ScheduleSettings { learning_rate: 0.1, ..ScheduleSettings::default() },
        max_length: 64,
        logging_steps: logging,
        eval_steps: evaluating,
        save_steps: saving,
        save_total_limit: keep.map(|count| count as usize),
        seed: 7,
        ..TrainingSettings::default()
    }
}

/// A stage of another kind on those.
pub fn stage_of(kind: KindSettings) -> StageSettings {
    StageSettings { kind, ..dpo_stage() }
}

/// The settings of a ppo stage.
pub fn ppo() -> PpoSettings {
    PpoSettings { reward: Some(Source::Stage("rm".into())), response_length: 5, ..PpoSettings::default() }
}

/// A DPO stage on those.
pub fn dpo_stage() -> StageSettings {
    StageSettings {
        name: "dpo".into(),
        data: "pairs".into(),
        policy: Source::Stage("sft".into()),
        kind: KindSettings::Dpo(DpoSettings::default()),
        training: training(1, None, None, None),
    }
}
