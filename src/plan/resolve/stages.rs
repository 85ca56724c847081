//! A stage as written, `[defaults]` included → its settings.

use super::checker::Checker;
use super::{kinds, losses};
use crate::plan::settings::{
    LoraSettings, Schedule, Source, StageSettings, TargetModules, TrainingSettings, Warmup,
};
use crate::recipe::ppo;
use crate::recipe::stage::{
    self, Kind, LoraTable, SchedulerType, StageTable, TargetModulesValue, TargetPreset, TrainingKeys, Tuner,
};
use crate::recipe::written::{Recipe, SEED};

/// A key of a stage that names a model: the base, unless it names a stage or a folder.
pub struct Reference<'a> {
    pub key: &'static str,
    pub stage: Option<&'a str>,
    pub folder: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// The models that a stage names.
    pub fn of(stage: &'a StageTable) -> Vec<Self> {
        let keys = &stage.of_kind;
        let written = [
            ("policy", &stage.training.policy),
            ("reference", &keys.shared.reference),
            ("reward", &keys.ppo.reward),
        ];
        let named = written.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        named
            .map(|(key, value)| match value.strip_prefix("stage:") {
                Some(stage) => Reference { key, stage: Some(stage), folder: None },
                None => Reference { key, stage: None, folder: Some(value).filter(|text| *text != "base") },
            })
            .collect()
    }

    fn source(&self, checker: &Checker) -> Source {
        match (self.stage, self.folder) {
            (Some(name), _) => Source::Stage(name.to_owned()),
            (None, Some(folder)) => Source::Folder(checker.path(folder)),
            (None, None) => Source::Base,
        }
    }
}

/// Settings of every stage, in the order of the recipe. Where something is missing or wrong, which
/// is then a problem, they are of no use.
pub fn resolve(checker: &mut Checker, recipe: &Recipe) -> Vec<StageSettings> {
    let seed = recipe.seed.unwrap_or(SEED);
    let mut newest = Source::Base;
    let mut newest_reward = None;
    let mut settings = Vec::new();
    for (index, stage) in recipe.stage.iter().flatten().enumerate() {
        check(checker, index, stage);
        let name = stage.name.clone().unwrap_or_default();
        let named = |key: &str| {
            let found = Reference::of(stage).into_iter().find(|reference| reference.key == key);
            found.map(|reference| reference.source(checker))
        };
        let kind = stage.kind.unwrap_or(Kind::Sft);
        let policy = named("policy").unwrap_or_else(|| newest.clone());
        let reward = named("reward").or_else(|| newest_reward.clone());
        let kind = kinds::settings(kind, &stage.of_kind, named("reference"), reward);
        match stage.kind {
            Some(Kind::Rm) => newest_reward = Some(Source::Stage(name.clone())),
            _ => newest = Source::Stage(name.clone()),
        }
        settings.push(StageSettings {
            name,
            data: stage.training.data.clone().unwrap_or_default(),
            policy,
            kind,
            training: training(&stage.training, stage.kind, seed),
        });
    }
    settings
}

/// Keys of one stage that contradict each other.
fn check(checker: &mut Checker, index: usize, stage: &StageTable) {
    let keys = &stage.training;
    if keys.warmup_ratio.is_some() && keys.warmup_steps.is_some() {
        let other = checker.stage_key_place(index, "warmup_ratio");
        let at = checker.stage_key(index, "warmup_steps");
        let problem = checker.error(&at, "both `warmup_steps` and `warmup_ratio`");
        problem.related.extend(other.map(|place| (place, "the other".to_owned())));
        problem.help = Some("take one of them out".to_owned());
    }
    let max_length = keys.max_length.unwrap_or(stage::MAX_LENGTH);
    if let Some(prompt) = keys.max_prompt_length
        && prompt >= max_length
    {
        let at = checker.stage_key(index, "max_prompt_length");
        let message = format!(
            "a prompt of `max_prompt_length` {prompt} leaves no room for an answer in `max_length` {max_length}"
        );
        checker.error(&at, message).help =
            Some("make `max_prompt_length` smaller or `max_length` larger".to_owned());
    }
    if keys.lora.is_some() && keys.tuner.is_none() && checker.has(&format!("/stage/{index}/lora")) {
        let at = checker.stage_key(index, "lora");
        checker.error(&at, "`lora` without `tuner`, whose default is `full`").help =
            Some("add `tuner = \"lora\"`".to_owned());
    }
    if stage.kind == Some(Kind::Ppo) {
        check_ppo(checker, index, stage);
    }
    losses::check(checker, index, stage);
}

fn check_ppo(checker: &mut Checker, index: usize, stage: &StageTable) {
    let (keys, training) = (&stage.of_kind.ppo, &stage.training);
    let batch_size = training.batch_size.unwrap_or(stage::BATCH_SIZE);
    let accumulated = training.gradient_accumulation_steps.unwrap_or(stage::GRADIENT_ACCUMULATION_STEPS);
    let prompts = batch_size.saturating_mul(accumulated);
    let mini_batches = keys.num_mini_batches.unwrap_or(ppo::NUM_MINI_BATCHES);
    let refused = |checker: &Checker, keys: &[&str]| {
        keys.iter().any(|key| checker.document.is_refused(&checker.stage_key(index, key)))
    };
    let of_update = ["num_mini_batches", "batch_size", "gradient_accumulation_steps"];
    if !prompts.is_multiple_of(mini_batches) && !refused(checker, &of_update) {
        let at = checker.stage_key(index, "num_mini_batches");
        let message = format!("{mini_batches} mini-batches do not divide the {prompts} prompts of an update");
        checker.error(&at, message).help = Some(format!(
            "an update has `batch_size` × `gradient_accumulation_steps` = {batch_size} × {accumulated} prompts"
        ));
    }
    let max_length = training.max_length.unwrap_or(stage::MAX_LENGTH);
    let response = keys.response_length.unwrap_or(ppo::RESPONSE_LENGTH);
    if response >= max_length && !refused(checker, &["response_length", "max_length"]) {
        let at = checker.stage_key(index, "response_length");
        let message = format!(
            "a response of `response_length` {response} leaves no room for a prompt in `max_length` {max_length}"
        );
        checker.error(&at, message).help =
            Some("make `response_length` smaller or `max_length` larger".to_owned());
    }
}

fn training(keys: &TrainingKeys, kind: Option<Kind>, seed: u64) -> TrainingSettings {
    let lora = match keys.tuner.unwrap_or(stage::TUNER) {
        Tuner::Full => None,
        Tuner::Lora => Some(lora(&keys.lora.clone().unwrap_or_default())),
    };
    let (full_rate, lora_rate) = kind.unwrap_or(Kind::Sft).learning_rate();
    let rate = if lora.is_some() { lora_rate } else { full_rate };
    TrainingSettings {
        lora,
        batch_size: keys.batch_size.unwrap_or(stage::BATCH_SIZE),
        gradient_accumulation_steps: keys
            .gradient_accumulation_steps
            .unwrap_or(stage::GRADIENT_ACCUMULATION_STEPS),
        num_train_epochs: keys.num_train_epochs.unwrap_or(stage::NUM_TRAIN_EPOCHS),
        max_steps: keys.max_steps,
        learning_rate: keys.learning_rate.unwrap_or(rate),
        lr_scheduler_type: match keys.lr_scheduler_type {
            None | Some(SchedulerType::Linear) => Schedule::Linear,
            Some(SchedulerType::Cosine) => Schedule::Cosine,
            Some(SchedulerType::Constant) => Schedule::Constant,
            Some(SchedulerType::CosineWithMinLr) => Schedule::CosineWithMinLr,
        },
        min_lr_rate: keys.min_lr_rate.unwrap_or(stage::MIN_LR_RATE),
        warmup: match (keys.warmup_ratio, keys.warmup_steps) {
            (Some(ratio), _) => Warmup::Ratio(ratio),
            (None, steps) => Warmup::Steps(steps.unwrap_or(0)),
        },
        weight_decay: keys.weight_decay.unwrap_or(stage::WEIGHT_DECAY),
        adam_beta1: keys.adam_beta1.unwrap_or(stage::ADAM_BETA1),
        adam_beta2: keys.adam_beta2.unwrap_or(stage::ADAM_BETA2),
        adam_epsilon: keys.adam_epsilon.unwrap_or(stage::ADAM_EPSILON),
        max_grad_norm: keys.max_grad_norm.unwrap_or(stage::MAX_GRAD_NORM),
        max_length: keys.max_length.unwrap_or(stage::MAX_LENGTH),
        max_prompt_length: keys.max_prompt_length,
        gradient_checkpointing: keys.gradient_checkpointing.unwrap_or(false),
        logging_steps: keys.logging_steps.unwrap_or(stage::LOGGING_STEPS),
        eval_steps: keys.eval_steps,
        save_steps: keys.save_steps,
        save_total_limit: keys.save_total_limit,
        shuffle: keys.shuffle.unwrap_or(true),
        seed: keys.seed.unwrap_or(seed),
    }
}

fn lora(table: &LoraTable) -> LoraSettings {
    LoraSettings {
        rank: table.rank.unwrap_or(stage::LORA_RANK),
        alpha: table.alpha.unwrap_or(stage::LORA_ALPHA),
        dropout: table.dropout.unwrap_or(stage::LORA_DROPOUT),
        target_modules: match &table.target_modules {
            None | Some(TargetModulesValue::Preset(TargetPreset::All)) => TargetModules::All,
            Some(TargetModulesValue::Preset(TargetPreset::Default)) => TargetModules::Default,
            Some(TargetModulesValue::List(modules)) => {
                TargetModules::List(modules.iter().map(|module| module.name().to_owned()).collect())
            }
        },
        rslora: table.rslora.unwrap_or(false),
    }
}
