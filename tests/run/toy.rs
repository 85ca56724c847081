//! A stand-in for a model: least squares on rows made up from the step, with momentum, so that a
//! step depends on all before it. It can be told to die, or to be interrupted, at any moment.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use runner::plan::folder::StageFolder;
use runner::report::console::Console;
use runner::run::interrupt::Interrupt;
use runner::run::stage::finish;
use runner::run::train::{Questions, Training};
use runner::train::{Metrics, Progress, Sample, StageRun, StepReport, TrainingSettings};
use serde::{Deserialize, Serialize};

pub const STEPS: u64 = 12;

/// When something happens to the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    Never,
    /// In the step with this number (0-based).
    InStep(u64),
    /// While the model is tested after this many steps.
    InEvaluation(u64),
    /// Half-way through writing the checkpoint of this many steps.
    InCheckpoint(u64),
    /// While the result is written.
    InResult,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    steps: u64,
    weights: [f64; 3],
    momentum: [f64; 3],
    tokens: f64,
}

pub struct Toy {
    pub state: State,
    /// The process is gone: nothing more is written.
    pub dies: Moment,
    /// Someone presses Ctrl-C.
    pub interrupted: Moment,
    pub interrupt: Interrupt,
    /// A step whose loss is not a number.
    pub diverges: Option<u64>,
}

impl Toy {
    pub fn new() -> Self {
        Self {
            state: State::default(),
            dies: Moment::Never,
            interrupted: Moment::Never,
            interrupt: Interrupt::default(),
            diverges: None,
        }
    }

    fn reach(&self, moment: Moment) -> Result<()> {
        if self.interrupted == moment {
            self.interrupt.request();
        }
        if self.dies == moment { bail!("the process is gone") } else { Ok(()) }
    }

    /// Trains in `folder` to the end, or to what stops it.
    pub fn run(mut self, folder: &StageFolder, settings: &TrainingSettings) -> Result<()> {
        let decode = |tokens: &[u32]| Ok(format!("{tokens:?}"));
        let questions = Questions {
            texts: vec!["first".into(), "second".into()],
            sample_tokens: 64,
            accepted_answers: Vec::new(),
            end_tokens: vec![0],
            decode: &decode,
        };
        let interrupt = self.interrupt.clone();
        let training = Training {
            settings,
            folder,
            fingerprint: FINGERPRINT,
            references: &folder.root.join("reference"),
            interrupt: &interrupt,
            console: &Console::silent(),
            questions: &questions,
        };
        let complete = |result: &Path| Ok(fs::write(result.join("chat_template.jinja"), "{{ messages }}")?);
        finish(&mut self, &training, 1e6, complete).map(|_| ())
    }
}

/// The stage's fingerprint.
pub const FINGERPRINT: &str = "toy";

/// Rows of step `step`: three inputs and a target.
fn row(step: u64, i: usize) -> f64 {
    ((step * 31 + i as u64 * 17 + 5) % 23) as f64 / 23.0 - 0.4
}

impl StageRun for Toy {
    fn total_steps(&self) -> u64 {
        STEPS
    }

    fn steps_per_epoch(&self) -> f64 {
        8.0
    }

    fn prepare(&mut self, _: &Path, progress: &mut Progress) -> Result<()> {
        progress(1, 1)
    }

    fn step(&mut self, step: u64, _: &mut Progress) -> Result<StepReport> {
        assert_eq!(step, self.state.steps, "steps come in order");
        self.reach(Moment::InStep(step))?;
        let state = &mut self.state;
        let error = (0..3).map(|i| state.weights[i] * row(step, i)).sum::<f64>() - row(step, 3);
        let mut norm = 0.0;
        for i in 0..3 {
            let gradient = 2.0 * error * row(step, i);
            norm += gradient * gradient;
            state.momentum[i] = 0.9 * state.momentum[i] + gradient;
            state.weights[i] -= 0.1 * state.momentum[i];
        }
        state.steps += 1;
        state.tokens += 10.0 + step as f64;
        let loss = if self.diverges == Some(step) { f64::NAN } else { error * error };
        let metrics = [
            ("loss", loss),
            ("grad_norm", norm.sqrt()),
            ("learning_rate", 0.1 / (step + 1) as f64),
            ("num_tokens", state.tokens),
        ];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Ok(StepReport { metrics, useful_tokens: 10, rows: 1 })
    }

    fn evaluate(&mut self, progress: &mut Progress) -> Result<Option<Metrics>> {
        self.reach(Moment::InEvaluation(self.state.steps))?;
        progress(1, 2)?;
        let sum = self.state.weights.iter().sum();
        Ok(Some(Metrics::from([("eval_loss".to_owned(), sum)])))
    }

    fn samples(&mut self, asked: &[usize], _: usize, end_tokens: &[u32]) -> Result<Vec<Sample>> {
        assert_eq!(end_tokens, [0]);
        let answer = |i: usize| vec![(self.state.weights[i] * 1e6).abs() as u32];
        Ok(asked.iter().map(|&i| Sample { prompt: vec![i as u32], answer: answer(i) }).collect())
    }

    fn save_state(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string(&self.state)?;
        if self.dies == Moment::InCheckpoint(self.state.steps) {
            fs::write(dir.join("state.json"), &text[..text.len() / 2])?;
        }
        self.reach(Moment::InCheckpoint(self.state.steps))?;
        Ok(fs::write(dir.join("state.json"), text)?)
    }

    fn restore(&mut self, dir: &Path) -> Result<()> {
        self.state = serde_json::from_str(&fs::read_to_string(dir.join("state.json"))?)?;
        Ok(())
    }

    fn check_finite(&self) -> Result<()> {
        ensure!(self.state.weights.iter().all(|weight| weight.is_finite()), "weights are not finite");
        Ok(())
    }

    fn save_result(&self, dir: &Path) -> Result<()> {
        fs::write(dir.join("half"), "")?;
        self.reach(Moment::InResult)?;
        fs::remove_file(dir.join("half"))?;
        Ok(fs::write(dir.join("weights.json"), serde_json::to_string(&self.state.weights)?)?)
    }
}
