//! Progress on standard error: bars where a person watches, plain lines elsewhere.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::kinds::ppo::metrics::SCORES;
use crate::report::metrics::MetricsRow;
use crate::report::{metric, number};
use crate::terminal::{escaped, tell};
use crate::train::StepReport;
use crate::train::metric::{GRAD_NORM, LEARNING_RATE, LOSS};

/// The least time between two plain lines about steps or phases.
const PLAIN_INTERVAL: Duration = Duration::from_secs(2);

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Where progress goes.
#[derive(Debug)]
pub struct Console {
    mode: Mode,
    /// What stands before every line: the stage that runs.
    prefix: RefCell<String>,
    bars: MultiProgress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Bars,
    Lines,
    Silent,
}

impl Console {
    /// Bars if standard error is a terminal, else plain lines.
    pub fn stderr() -> Self {
        Self::new(if stderr().is_terminal() { Mode::Bars } else { Mode::Lines })
    }

    /// Prints nothing.
    pub fn silent() -> Self {
        Self::new(Mode::Silent)
    }

    fn new(mode: Mode) -> Self {
        let target = match mode {
            Mode::Bars => ProgressDrawTarget::stderr(),
            Mode::Lines | Mode::Silent => ProgressDrawTarget::hidden(),
        };
        Self { mode, prefix: RefCell::default(), bars: MultiProgress::with_draw_target(target) }
    }

    /// Names the stage that runs from now on.
    pub fn set_stage(&self, name: &str) {
        *self.prefix.borrow_mut() = format!("{name}: ");
    }

    /// Prints a line that stays.
    pub fn line(&self, text: &str) {
        if self.mode != Mode::Silent {
            let write = || tell(&format!("{}{text}", self.prefix.borrow()));
            self.bars.suspend(write);
        }
    }

    /// The row of held-out metrics, as a line.
    pub fn evaluation(&self, row: &MetricsRow) {
        let shown = row.metrics.iter().filter_map(|(name, value)| {
            let metric = metric::find(name).filter(|metric| metric.console)?;
            Some(format!("{} {}", metric.name, number::metric(value.as_f64()?)))
        });
        let shown: Vec<String> = shown.collect();
        self.line(&format!("held out, step {}: {}", row.step, shown.join(", ")));
    }

    /// Work that is not steps: reading, hashing, reference log-probs.
    pub fn phase(&self, label: &str) -> Phase<'_> {
        let bar = self.bar("{spinner} {prefix}{msg}");
        bar.set_message(escaped(label).into_owned());
        if self.mode == Mode::Bars {
            bar.enable_steady_tick(TICK);
        }
        Phase { console: self, label: label.to_owned(), bar, said: Cell::new(Instant::now()) }
    }

    /// A callback that shows the label it is given until it is called again, and errors as soon as `check`
    /// does.
    pub fn watch<'c>(&'c self, check: impl Fn() -> Result<()> + 'c) -> impl Fn(&str) -> Result<()> + 'c {
        let current: RefCell<Option<Phase<'c>>> = RefCell::new(None);
        move |label| {
            current.replace(None);
            current.replace(Some(self.phase(label)));
            check()
        }
    }

    /// The bar over a stage's optimiser steps, of which `done` are done.
    pub fn steps(&self, done: u64, total: u64) -> StepBar<'_> {
        let bar = self.bar("{prefix}{wide_bar:.cyan/dim} {pos}/{len} {msg} {eta} left");
        bar.set_length(total);
        bar.set_position(done);
        bar.reset_eta();
        StepBar {
            console: self,
            bar,
            started: Instant::now(),
            first: done,
            total,
            done: Cell::new(done),
            tokens: Cell::new(0),
            said: Cell::new(None),
        }
    }

    fn bar(&self, template: &str) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::no_length());
        bar.set_style(style(template));
        bar.set_prefix(self.prefix.borrow().clone());
        bar
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template that does not parse is a mistake of this program; the default style shows enough.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Something long that is under way. Its bar disappears when it ends.
pub struct Phase<'a> {
    console: &'a Console,
    label: String,
    bar: ProgressBar,
    said: Cell<Instant>,
}

impl Phase<'_> {
    /// A callback for (done, total), which fails as soon as `check` does.
    pub fn progress<'p>(
        &'p self,
        check: impl Fn() -> Result<()> + 'p,
    ) -> impl FnMut(u64, u64) -> Result<()> + 'p {
        move |done, total| {
            check()?;
            self.show(done, total);
            Ok(())
        }
    }

    /// Shows that `done` of `total` are done.
    pub fn show(&self, done: u64, total: u64) {
        if self.bar.length().is_none() {
            self.bar.set_style(style("{prefix}{msg} {wide_bar:.dim} {percent:>3}%, {eta} left"));
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        if self.console.mode == Mode::Lines && self.said.get().elapsed() >= PLAIN_INTERVAL {
            self.said.set(Instant::now());
            self.console.line(&format!("{} {done}/{total}", self.label));
        }
    }

    pub fn finish(self) {}
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The bar over optimiser steps.
pub struct StepBar<'a> {
    console: &'a Console,
    bar: ProgressBar,
    started: Instant,
    first: u64,
    total: u64,
    done: Cell<u64>,
    tokens: Cell<u64>,
    said: Cell<Option<Instant>>,
}

impl StepBar<'_> {
    /// One more step is done.
    pub fn advance(&self, report: &StepReport) {
        self.done.set(self.done.get() + 1);
        self.tokens.set(self.tokens.get() + report.useful_tokens);
        let loss = report.metrics.get(LOSS.name).copied().unwrap_or(f64::NAN);
        self.bar.set_message(format!("loss {} · {}", number::metric(loss), self.rate()));
        self.bar.set_position(self.done.get());
    }

    /// Prints a logged row where there is no bar, at most every few seconds.
    pub fn log(&self, row: &MetricsRow) {
        let recently = self.said.get().is_some_and(|said| said.elapsed() < PLAIN_INTERVAL);
        if self.console.mode != Mode::Lines || (recently && row.step < self.total) {
            return;
        }
        self.said.set(Some(Instant::now()));
        let value = |name: &str| row.get(name).map_or("?".to_owned(), number::metric);
        let here = (self.done.get() - self.first).max(1) as f64;
        let left = self.started.elapsed().as_secs_f64() / here * (self.total - self.done.get()) as f64;
        let score = row.get(SCORES.name).map(|score| format!(" score {}", number::metric(score)));
        self.console.line(&format!(
            "step {}/{} loss {}{} grad_norm {} learning_rate {} {} {} left",
            row.step,
            self.total,
            value(LOSS.name),
            score.unwrap_or_default(),
            value(GRAD_NORM.name),
            value(LEARNING_RATE.name),
            self.rate(),
            number::duration(left),
        ));
    }

    fn rate(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        format!("{} tokens/s", number::short(self.tokens.get() as f64 / seconds))
    }

    pub fn finish(self) {}
}

impl Drop for StepBar<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
