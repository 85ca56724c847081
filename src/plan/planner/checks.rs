//! What a planner checks of each stage: the models that it names, the tokens of its rows, its name.

use super::{Planner, index_of, problems};
use crate::data::Tokenizer;
use crate::kinds::{Role, Source, StageSettings};
use crate::model::fault::Fault;
use crate::plan::counts::Counts;
use crate::plan::models;
use crate::plan::rows::StageData;
use crate::plan::vocabulary::{self, EmbeddingRows};

impl Planner<'_> {
    /// Opens the models that `stage` names; what is wrong with them goes to `problems`.
    pub(super) fn check_models(&mut self, stage: &StageSettings) {
        let index = index_of(self.recipe, stage);
        for (role, source) in stage.sources() {
            let predicts = models::predicts(stage, role);
            let (pointer, faults) = match source {
                Source::Folder(_) => {
                    let folder = self.artifacts.get(source).base;
                    (format!("/stage/{index}/{}", role.key()), self.models.check(&folder, predicts))
                }
                Source::Base => {
                    let headless = self.base.headless.iter().filter(|_| predicts).cloned();
                    ("/model/base".to_owned(), headless.collect())
                }
                Source::Stage(_) => continue,
            };
            self.problems.extend(problems(self.recipe, &pointer, faults));
        }
    }

    /// There is a row to train on, and a token in it.
    pub(super) fn check_rows(&mut self, stage: &StageSettings, counts: &Counts) {
        let index = index_of(self.recipe, stage);
        let generates = stage.kind.facts().rollouts.is_some();
        let (what, help) = match (counts.train, counts.held_out.rows) {
            (train, 0) if train.rows == 0 => ("no row is left to train on".to_owned(), "add rows"),
            (train, held_out) if train.rows == 0 => (
                format!("no row is left to train on: {held_out} of {held_out} rows are held out"),
                "add rows, or lower `eval_fraction`; 0 holds out none",
            ),
            (train, _) if train.trained == 0 && !generates => (
                "no token of the rows is trained on".to_owned(),
                "give rows with answers, or mark turns as trained",
            ),
            _ => return,
        };
        let message = format!("data `{}`: {what}", stage.data);
        let at = format!("/stage/{index}/data");
        self.problems.push(self.recipe.problem_at(&at, message, Some(help.to_owned())));
    }

    /// Every token of the rows has a row in the embedding, and so has one that ends responses.
    pub(super) fn check_tokens(&mut self, stage: &StageSettings, rows: &StageData) {
        let own = EmbeddingRows { rows: self.base.config.vocab_size, whose: "the model" };
        let faults = self.past_table(stage, rows, own);
        self.problems.extend(problems(self.recipe, "/model", faults));
        let sources = stage.kind.facts().sources;
        let reward = sources.into_iter().find(|(role, _)| *role == Role::Reward).map(|(_, source)| source);
        let Some(reward @ Source::Folder(written)) = reward else { return };
        // One that cannot be opened is a problem already.
        let folder = self.artifacts.get(reward).base;
        let Some(config) = self.models.config(&folder).cloned() else { return };
        let whose = format!("the reward model `{}`", written.display());
        let table = EmbeddingRows { rows: config.vocab_size, whose: &whose };
        let mut faults = Vec::new();
        if table.rows < own.rows {
            faults = self.past_table(stage, rows, table);
            let unwritten = vocabulary::unwritten(&self.base.tokenizer, own.rows, table);
            self.models.warnings.extend(unwritten.filter(|_| faults.is_empty()));
        }
        let tokenizer = [written, &folder].into_iter().find(|folder| folder.join("tokenizer.json").is_file());
        match Tokenizer::from_folder(tokenizer.unwrap_or(&folder)) {
            Ok(tokenizer) => faults.extend(vocabulary::check(&tokenizer, &config, &folder).0),
            Err(error) => faults.extend(models::faults(&error)),
        }
        let index = index_of(self.recipe, stage);
        self.problems.extend(problems(self.recipe, &format!("/stage/{index}/reward"), faults));
    }

    /// What is wrong with the rows of `stage` for a model with that embedding.
    fn past_table(&self, stage: &StageSettings, rows: &StageData, table: EmbeddingRows<'_>) -> Vec<Fault> {
        let fault = match rows.largest_token.is_some_and(|token| token as usize >= table.rows) {
            true => match rows.stage_rows() {
                Ok(all) => {
                    let examples = all.train.iter().chain(&all.held_out);
                    vocabulary::check_examples(examples, &self.base.tokenizer, table, &stage.data)
                }
                Err(error) => Some(Fault::new(format!("{error:#}"))),
            },
            false => None,
        };
        let generates = stage.kind.facts().rollouts.is_some();
        let ends = generates.then(|| vocabulary::check_ends(&rows.end_tokens, &self.base.tokenizer, table));
        fault.into_iter().chain(ends.flatten()).collect()
    }

    /// Notes that a stage has no weight to train.
    pub(super) fn nothing_to_train(&mut self, stage: &StageSettings) {
        let index = index_of(self.recipe, stage);
        let message =
            format!("stage `{}` has nothing to train: its adapter has no matrices for the model", stage.name);
        let help = Some("take another adapter, or `tuner = \"full\"`".to_owned());
        self.problems.push(self.recipe.problem_at(&format!("/stage/{index}"), message, help));
    }

    /// Names of stages must not be those of other folders in the run's folder.
    pub(super) fn check_names(&mut self) {
        let taken = [
            ("reference", "`reference` is the folder of reference log-probs"),
            ("base", "`base` is the folder of the model from random weights"),
        ];
        for (name, message) in taken {
            let index = self.recipe.stages.iter().position(|stage| stage.name == name);
            if let (Some(index), true) = (index, name != "base" || self.base.scratch.is_some()) {
                let help = Some("give the stage another name".to_owned());
                let at = format!("/stage/{index}/name");
                self.problems.push(self.recipe.problem_at(&at, message.to_owned(), help));
            }
        }
    }
}
