//! Makes a plan from a recipe: reads and tokenises all rows, opens the model's config, and decides which
//! earlier results still hold.

mod checks;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Result, anyhow};
use indexmap::IndexMap;
use jiff::Zoned;
use jiff::civil::DateTime;

use crate::batch::{BatchPolicy, Steps};
use crate::kinds::{Role, Source, StageSettings};
use crate::model::fault::Fault;
use crate::plan::artifacts::Artifacts;
use crate::plan::base::{Base, data_settings};
use crate::plan::capacity;
use crate::plan::comparisons::comparisons;
use crate::plan::content::Hashes;
use crate::plan::counts::Counts;
use crate::plan::document::{BasePlan, Plan, StagePlan};
use crate::plan::estimate::Stage;
use crate::plan::fingerprint::{self, DataContent, FileContent, Inputs, StageInput};
use crate::plan::finished::Summary;
use crate::plan::folder::RunFolder;
use crate::plan::models::{self, ModelFolders};
use crate::plan::resolve::Resolved;
use crate::plan::rows::{SAMPLE_TOKENS, StageData};
use crate::plan::rows_cache::RowsCache;
use crate::plan::staleness::{self, Status};
use crate::recipe::diagnostics::Problem;

/// What is asked of a recipe.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// This stage alone, with the stages that it needs; `None`: all.
    pub stage: Option<&'a str>,
    /// Earlier results do not count.
    pub fresh: bool,
}

/// A plan, and what was opened on the way to it.
#[derive(Debug)]
pub struct Planned {
    pub plan: Plan,
    pub base: Base,
    /// Rows of the stages that are not finished, by name.
    pub rows: IndexMap<String, StageData>,
}

/// What is called with what is being done, and stops it with an error.
pub type Watch<'a> = dyn Fn(&str) -> Result<()> + 'a;

/// Plans a recipe. Everything that is wrong with it is reported at once, as
/// [`Diagnostics`](crate::recipe::diagnostics::Diagnostics). `watch` is called with what is being
/// done, and stops it with an error.
pub fn plan(recipe: &Resolved, options: &Options, watch: &Watch) -> Result<Planned> {
    let folder = RunFolder::of(&recipe.name);
    let mut hashes = Hashes::open(&folder.hashes());
    watch("opening the model")?;
    let base = Base::open(recipe, &folder, &mut hashes)
        .map_err(|error| recipe.diagnostics(problems(recipe, "/model", models::faults(&error))))?;
    let stages = needed(recipe, options.stage);
    let artifacts = Artifacts::of(base.artifact.clone(), &stages, &folder);
    let earlier = earlier_plan(&folder);
    let mut planner = Planner {
        recipe,
        fresh: options.fresh,
        same_machinery: earlier.as_ref().is_some_and(|plan| {
            (plan.base.device, plan.base.dtype) == (recipe.model.device, recipe.model.dtype)
        }),
        earlier: counts(earlier),
        folder,
        base,
        artifacts,
        hashes,
        planned: Vec::new(),
        rows: IndexMap::new(),
        problems: Vec::new(),
        models: ModelFolders::default(),
        cache: RowsCache::of_user(),
    };
    planner.problems = problems(recipe, "/model", planner.base.faults.clone());
    for stage in &stages {
        watch(&format!("reading data `{}` for stage `{}`", stage.data, stage.name))?;
        if let Err(error) = planner.stage(stage, watch) {
            let index = index_of(recipe, stage);
            let at = format!("/stage/{index}");
            planner.problems.push(recipe.problem_at(&at, message(&error), None));
        }
    }
    // Whoever stops the reading of rows is heard here.
    watch("planning")?;
    planner.hashes.save();
    planner.finish()
}

struct Planner<'a> {
    recipe: &'a Resolved,
    fresh: bool,
    /// Fingerprint → counts, from the last plan.
    earlier: BTreeMap<String, Counts>,
    /// Whether the last plan was for this device and float type, so that its speeds count.
    same_machinery: bool,
    folder: RunFolder,
    base: Base,
    artifacts: Artifacts,
    hashes: Hashes,
    planned: Vec<StagePlan>,
    rows: IndexMap<String, StageData>,
    problems: Vec<Problem>,
    models: ModelFolders,
    cache: RowsCache,
}

impl Planner<'_> {
    /// Plans one stage; what is wrong with its rows goes to `problems`.
    fn stage(&mut self, stage: &StageSettings, watch: &Watch) -> Result<()> {
        self.check_models(stage);
        let stage_folder = self.folder.stage(&stage.name);
        let mut inputs = self.inputs(stage)?;
        let status = staleness::status(&self.folder, &stage.name, &inputs, self.fresh, &mut self.hashes)?;
        let fingerprint = inputs.fingerprint()?;
        if status == Status::HalfFinished {
            let halves = [self.folder.next(&stage.name), self.folder.stage(&stage.name)];
            let half = halves.iter().find(|folder| staleness::is_of(folder, &fingerprint));
            inputs.started = half.and_then(staleness::recorded).and_then(|recorded| recorded.started);
        }
        let known = self.earlier.get(&fingerprint).filter(|_| status == Status::Finished);
        let counts = match known {
            Some(counts) => counts.clone(),
            None => match self.read(stage, &inputs, watch) {
                Ok(rows) => {
                    let counts = rows.counts();
                    self.check_rows(stage, &counts);
                    self.check_tokens(stage, &rows);
                    self.rows.insert(stage.name.clone(), rows);
                    counts
                }
                Err(error) => {
                    let pointer = format!("/stage/{}/data", index_of(self.recipe, stage));
                    self.problems.push(self.recipe.problem_at(&pointer, message(&error), None));
                    return Ok(());
                }
            },
        };
        let facts = stage.kind.facts();
        let steps = Steps::of(&stage.training.batches, facts.episodes(), counts.train.rows as usize);
        let batches = BatchPolicy::for_model(
            &self.base.config,
            self.recipe.model.device,
            self.recipe.model.dtype,
            stage.training.gradient_checkpointing,
        );
        let artifact = |wanted: Role| {
            let named = facts.sources.iter().find(|(role, _)| *role == wanted);
            named.map(|(_, source)| self.artifacts.get(source))
        };
        let policy = self.artifacts.get(&stage.policy);
        let (reference, reward) = (artifact(Role::Reference), artifact(Role::Reward));
        let cost = Stage {
            facts: &facts,
            training: &stage.training,
            model: &self.base.config,
            batches,
            device: self.recipe.model.device,
            dtype: self.recipe.model.dtype,
            policy: &policy,
            reference: reference.as_ref(),
            reward: reward.as_ref(),
            counts: &counts,
            steps,
        };
        let measured = Summary::read(&stage_folder.summary()).ok().filter(|_| self.same_machinery);
        let measured = measured.map(|summary| summary.flops_per_second());
        let (trainable, memory, work) = (cost.trainable(), cost.memory(), cost.work(measured));
        if trainable == 0 {
            self.nothing_to_train(stage);
        }
        self.planned.push(StagePlan {
            settings: stage.clone(),
            policy,
            reference,
            reward,
            result: self.artifacts.get(&Source::Stage(stage.name.clone())),
            status,
            fingerprint,
            inputs,
            trainable,
            memory,
            work,
            steps,
            batches,
            sample_tokens: SAMPLE_TOKENS,
            counts,
        });
        Ok(())
    }

    fn inputs(&mut self, stage: &StageSettings) -> Result<Inputs> {
        let data = self.recipe.data.get(&stage.data);
        let data = data.ok_or_else(|| anyhow!("there is no data `{}`", stage.data))?;
        let mut files = Vec::with_capacity(data.files.len());
        for file in &data.files {
            let name = file.strip_prefix(&self.recipe.dir).unwrap_or(file).display().to_string();
            files.push(FileContent { name, hash: self.hashes.file(file)? });
        }
        let (numerics, mut settings) = fingerprint::settings(stage, self.recipe.model.dtype)?;
        settings.extend(data_settings("data", data)?);
        settings.extend(self.base.settings.clone());
        let mut stages = BTreeMap::new();
        for (role, source) in stage.sources() {
            let Source::Stage(name) = source else { continue };
            // A stage that is missing has problems of its own; they are reported in the end.
            let fingerprint = self.planned.iter().find(|planned| planned.name() == name);
            let fingerprint = fingerprint.map(|planned| planned.fingerprint.clone()).unwrap_or_default();
            stages.insert(role.key().to_owned(), StageInput { name: name.clone(), fingerprint });
        }
        let tells_time = self.base.template.tells_time();
        Ok(Inputs {
            numerics,
            settings,
            data: DataContent { name: stage.data.clone(), files },
            model: self.base.content_for(stage, &mut self.hashes)?,
            stages,
            started: tells_time.then(|| Zoned::now().datetime().to_string()),
        })
    }

    fn read(&mut self, stage: &StageSettings, inputs: &Inputs, watch: &Watch) -> Result<StageData> {
        let data = &self.recipe.data[&stage.data];
        let of_time = match &inputs.started {
            Some(started) => Some(self.base.template.with_now(started.parse::<DateTime>()?)?),
            None => None,
        };
        let template = of_time.as_ref().unwrap_or(&self.base.template);
        let files: Vec<&str> = inputs.data.files.iter().map(|file| file.hash.as_str()).collect();
        let made_from = (files, &self.base.content, &self.base.settings, &inputs.started);
        let cache = &mut self.cache;
        let progress = |rows: usize| {
            watch(&format!("reading data `{}` for stage `{}`: {rows} rows", stage.data, stage.name))
        };
        StageData::of(stage, data, template, &self.base.tokenizer, |reading| {
            cache.rows(reading, &made_from, of_time.is_some(), &progress)
        })
    }

    fn finish(mut self) -> Result<Planned> {
        self.check_names();
        if !self.problems.is_empty() {
            return Err(self.recipe.diagnostics(self.problems).into());
        }
        let device = self.recipe.model.device;
        let unfinished = self.planned.iter().filter(|stage| stage.status != Status::Finished);
        let too_large = unfinished.filter_map(|stage| capacity::too_large(stage, device));
        let too_large = too_large.map(|found| found.message);
        let opened = self.base.warnings.iter().chain(&self.models.warnings).cloned();
        let base = BasePlan {
            artifact: self.base.artifact.clone(),
            scratch: self.base.scratch.is_some(),
            parameters: self.base.config.parameters(),
            warnings: opened.chain(too_large).collect(),
            device,
            dtype: self.recipe.model.dtype,
        };
        let plan = Plan {
            recipe: self.recipe.name.clone(),
            folder: self.folder.root,
            base,
            comparisons: comparisons(&self.planned),
            stages: self.planned,
        };
        Ok(Planned { plan, base: self.base, rows: self.rows })
    }
}

/// The stages to plan: all, or the one that is asked for with all that it needs, inputs first.
fn needed(recipe: &Resolved, only: Option<&str>) -> Vec<StageSettings> {
    let Some(only) = only else { return recipe.stages.clone() };
    let mut names = vec![only.to_owned()];
    let mut kept = Vec::new();
    // Inputs stand before their users, so one walk from the end meets every user first.
    for stage in recipe.stages.iter().rev() {
        if names.contains(&stage.name) {
            for (_, source) in stage.sources() {
                if let Source::Stage(name) = source {
                    names.push(name.clone());
                }
            }
            kept.push(stage.clone());
        }
    }
    kept.reverse();
    kept
}

fn earlier_plan(folder: &RunFolder) -> Option<Plan> {
    serde_json::from_slice(&fs::read(folder.plan()).ok()?).ok()
}

fn counts(plan: Option<Plan>) -> BTreeMap<String, Counts> {
    let stages = plan.map(|plan| plan.stages).unwrap_or_default();
    stages.into_iter().map(|stage| (stage.fingerprint, stage.counts)).collect()
}

/// Where `stage` stands in the recipe.
fn index_of(recipe: &Resolved, stage: &StageSettings) -> usize {
    recipe.stages.iter().position(|other| other.name == stage.name).unwrap_or(0)
}

/// Faults of a model as problems of the recipe.
fn problems(recipe: &Resolved, pointer: &str, faults: Vec<Fault>) -> Vec<Problem> {
    faults.into_iter().map(|fault| recipe.problem_at(pointer, fault.message, fault.help)).collect()
}

/// An error and its causes on one line.
fn message(error: &anyhow::Error) -> String {
    format!("{error:#}")
}
