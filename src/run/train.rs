//! The loop over optimiser steps: it logs, evaluates and writes checkpoints, and stops where it can go on
//! later.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::plan::folder::StageFolder;
use crate::report::collapse::CollapseWatch;
use crate::report::console::{Console, StepBar};
use crate::report::jsonl;
use crate::report::metrics::{MetricsFile, MetricsRow};
use crate::report::samples::SampleRow;
use crate::run::atomic;
use crate::run::checkpoint::{self, TrainingProgress};
use crate::run::exact_match::Accepted;
use crate::run::interrupt::{Interrupt, Interrupted, is_interrupt};
use crate::train::metric::{EXACT_MATCH, GRAD_NORM, LOSS, held_out};
use crate::train::{Metrics, StageRun, StepReport, TrainingSettings, reference};

/// Everything around a stage's training that is not the stage itself.
pub struct Training<'a> {
    pub settings: &'a TrainingSettings,
    pub folder: &'a StageFolder,
    /// The stage's, which its checkpoints and its result are bound to.
    pub fingerprint: &'a str,
    /// Where log-probs of reference models are kept.
    pub references: &'a Path,
    pub interrupt: &'a Interrupt,
    pub console: &'a Console,
    pub questions: &'a Questions<'a>,
}

/// The questions that a stage is asked before and after training.
pub struct Questions<'a> {
    /// The questions of the first held-out rows (training rows if none are held out), in their order.
    pub texts: Vec<String>,
    /// Tokens of an answer to one of them, at most.
    pub sample_tokens: usize,
    /// The right answers of each held-out row that names some; empty if no row does.
    pub accepted_answers: Vec<Vec<String>>,
    /// Tokens that end an answer.
    pub end_tokens: Vec<u32>,
    pub decode: &'a dyn Fn(&[u32]) -> Result<String>,
}

/// Trains `stage` to its end, from its newest checkpoint if there is one. Errors with
/// [`Interrupted`] after saving if asked to stop.
pub fn train(stage: &mut dyn StageRun, training: &Training) -> Result<TrainingProgress> {
    let Training { settings, folder, interrupt, console, .. } = training;
    atomic::remove_leftovers(&folder.root)?;
    atomic::remove_leftovers(&folder.checkpoints())?;
    atomic::remove_leftovers(training.references)?;
    for damaged in reference::remove_damaged(training.references)? {
        console.line(&format!(
            "warning: `{}` is not what was written; its log-probs are computed again",
            damaged.display()
        ));
    }
    let phase = console.phase("preparing the first step");
    stage.prepare(training.references, &mut phase.progress(|| interrupt.check()))?;
    phase.finish();

    let mut progress = TrainingProgress::default();
    let tell = |text: &str| console.line(&format!("warning: {text}"));
    if let Some((checkpoint, saved)) = checkpoint::newest(&folder.checkpoints(), training.fingerprint, &tell)?
    {
        stage
            .restore(&checkpoint)
            .with_context(|| format!("cannot continue from `{}`", checkpoint.display()))?;
        progress = saved;
        console.line(&format!("continuing after step {}", progress.step));
    }
    let metrics = MetricsFile::open(&folder.metrics(), progress.metrics_bytes)?;
    let watch = CollapseWatch::over(&jsonl::read::<MetricsRow>(&folder.metrics())?);
    let mut state = Loop { stage, training, metrics, watch, progress, has_saved: false };
    if state.progress.step == 0 {
        state.sample()?;
        state.progress.evaluation_due = true;
    }
    state.steps(settings)?;
    state.sample()?;
    Ok(state.progress)
}

struct Loop<'a> {
    stage: &'a mut dyn StageRun,
    training: &'a Training<'a>,
    metrics: MetricsFile,
    watch: CollapseWatch,
    progress: TrainingProgress,
    /// Whether a checkpoint was written whose weights no step has used yet.
    has_saved: bool,
}

impl Loop<'_> {
    fn steps(&mut self, settings: &TrainingSettings) -> Result<()> {
        let total = self.stage.total_steps();
        let bar = self.training.console.steps(self.progress.step, total);
        self.evaluate_if_due()?;
        self.sample_if_due()?;
        while self.progress.step < total {
            self.step(&bar, total)?;
            let step = self.progress.step;
            let due = |every: Option<u64>| every.is_some_and(|every| step.is_multiple_of(every.max(1)));
            self.progress.evaluation_due = step == total || due(settings.eval_steps);
            self.progress.samples_due = step < total && due(self.stage.sample_steps());
            if self.training.interrupt.requested() {
                return self.stop();
            }
            self.evaluate_if_due()?;
            self.sample_if_due()?;
            if due(settings.save_steps) {
                self.save()?;
            }
        }
        bar.finish();
        checkpoint::prune(&self.training.folder.checkpoints(), settings.save_total_limit)
    }

    /// One optimiser step, and its row of metrics if it is time for one.
    fn step(&mut self, bar: &StepBar, total: u64) -> Result<()> {
        let started = Instant::now();
        let interrupt = self.training.interrupt;
        let report = match self.stage.step(self.progress.step, &mut |_, _| interrupt.check()) {
            Err(error) if is_interrupt(&error) => return self.stop(),
            report => report?,
        };
        self.require_finite(&report)?;
        self.progress.step += 1;
        self.progress.seconds += started.elapsed().as_secs_f64();
        self.progress.useful_tokens += report.useful_tokens;
        self.progress.rows += report.rows;
        let step = self.progress.step;
        self.progress.window.add(&report.metrics);
        bar.advance(&report);
        if step == total || step.is_multiple_of(self.training.settings.logging_steps.max(1)) {
            let row = MetricsRow::new(step, self.epoch(), &self.progress.window.take());
            self.metrics.append(&row)?;
            bar.log(&row);
            self.warn(&row);
        }
        Ok(())
    }

    /// Prints the warnings that a row gives reason for.
    fn warn(&mut self, row: &MetricsRow) {
        for warning in self.watch.look(row) {
            self.training.console.line(&format!("warning: {warning}"));
        }
    }

    fn epoch(&self) -> f64 {
        self.progress.step as f64 / self.stage.steps_per_epoch()
    }

    /// Appends the row of held-out metrics, if one is due after this step. An interrupt half-way leaves a
    /// checkpoint that records that it is still due.
    fn evaluate_if_due(&mut self) -> Result<()> {
        if !self.progress.evaluation_due {
            return Ok(());
        }
        let phase = self.training.console.phase("held-out rows");
        let mut watch = phase.progress(|| self.training.interrupt.check());
        let evaluated = self.stage.evaluate(&mut watch).and_then(|metrics| {
            let Some(mut metrics) = metrics else { return Ok(None) };
            let Questions { accepted_answers, end_tokens, decode, .. } = self.training.questions;
            let accepted = Accepted { answers: accepted_answers, end_tokens, decode: *decode };
            let answer = |asked: &[usize], most| {
                let samples = self.stage.samples(asked, most, end_tokens)?;
                Ok(samples.into_iter().map(|sample| sample.answer).collect())
            };
            if let Some(share) = accepted.exact_match(answer, &mut watch)? {
                metrics.insert(held_out(EXACT_MATCH.name), share);
            }
            Ok(Some(metrics))
        });
        drop(watch);
        phase.finish();
        let evaluated = match evaluated {
            Err(error) if is_interrupt(&error) => return self.stop(),
            evaluated => evaluated?,
        };
        if let Some(metrics) = evaluated {
            self.require_finite_metrics(&metrics)?;
            let row = MetricsRow::new(self.progress.step, self.epoch(), &metrics);
            self.metrics.append(&row)?;
            self.training.console.evaluation(&row);
            self.warn(&row);
        }
        self.progress.evaluation_due = false;
        Ok(())
    }

    fn sample_if_due(&mut self) -> Result<()> {
        if self.progress.samples_due {
            self.sample()?;
            self.progress.samples_due = false;
        }
        Ok(())
    }

    /// Writes the model's answers at this step, beside the earlier ones.
    fn sample(&mut self) -> Result<()> {
        let &Questions { ref texts, sample_tokens, ref end_tokens, decode, .. } = self.training.questions;
        let path = self.training.folder.samples();
        let phase = self.training.console.phase("sample answers");
        let asked: Vec<usize> = (0..texts.len()).collect();
        let answers = self.stage.samples(&asked, sample_tokens, end_tokens)?;
        phase.finish();
        let step = self.progress.step;
        let mut rows: Vec<SampleRow> = if step == 0 { Vec::new() } else { jsonl::read(&path)? };
        // a resumed stage samples this step again
        rows.retain(|row| row.step < step);
        for (prompt, sample) in texts.iter().zip(answers) {
            let answer = decode(&sample.answer)?;
            rows.push(SampleRow { step, prompt: prompt.clone(), answer });
        }
        atomic::write_file(&path, &jsonl::to_bytes(&rows)?)
    }

    fn save(&mut self) -> Result<()> {
        self.progress.metrics_bytes = self.metrics.sync()?;
        let folder = self.training.folder.checkpoints();
        let stage = &self.stage;
        let save_state = |unfinished: &Path| stage.save_state(unfinished);
        self.has_saved = true;
        checkpoint::write(&folder, &self.progress, self.training.fingerprint, save_state)
    }

    /// Errors if loss or gradient of the step after those in `progress` is not a number: it would never become
    /// one again. The checkpoint with the weights that gave it goes, and the one before it is the newest.
    /// Older ones than `save_total_limit` allows go only once this shows that the newest is of use.
    fn require_finite(&mut self, report: &StepReport) -> Result<()> {
        let (checkpoints, done) = (self.training.folder.checkpoints(), self.progress.step);
        let mut values = [LOSS.name, GRAD_NORM.name].into_iter().filter_map(|name| {
            let value = report.metrics.get(name).copied().filter(|value| !value.is_finite())?;
            Some((name, value))
        });
        let Some((name, value)) = values.next() else {
            // The folder is looked at only where a checkpoint was written since.
            if std::mem::take(&mut self.has_saved) {
                checkpoint::prune(&checkpoints, self.training.settings.save_total_limit)?;
            }
            return Ok(());
        };
        let removed = match checkpoint::remove(&checkpoints, done)? {
            true => format!("; the checkpoint of step {done}, whose weights gave it, is removed"),
            false => String::new(),
        };
        bail!(
            "`{name}` is {value} at step {}: training cannot go on; lower `learning_rate`, or set \
             `max_grad_norm` if it is 0{removed}",
            done + 1
        )
    }

    /// Errors if a metric of the held-out rows is not a number.
    fn require_finite_metrics(&self, metrics: &Metrics) -> Result<()> {
        let step = self.progress.step;
        match metrics.iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((name, value)) if step == 0 => bail!(
                "`{name}` is {value} before the first step: the model gives held-out rows no finite number; \
                 look at its weights and at the longest of those rows"
            ),
            Some((name, value)) => bail!(
                "`{name}` is {value} after step {step}: the training diverged, and a result would be of no use; \
                 lower `learning_rate`, or set `max_grad_norm` if it is 0"
            ),
        }
    }

    fn stop(&mut self) -> Result<()> {
        if self.progress.step > 0 {
            self.save()?;
        }
        Err(Interrupted.into())
    }
}
