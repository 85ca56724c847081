//! A golden trace as a stage: its rows, its settings, its start.

use std::path::{Path, PathBuf};

use runner::backend::Compute;
use runner::backend::compute::{DeviceSpec, Dtype};
use runner::batch::{BatchPolicy, BatchSettings};
use runner::data::example::{Completion, Example};
use runner::kinds::dpo::DpoLosses;
use runner::kinds::{
    CpoSettings, DpoSettings, KindSettings, KtoSettings, OrpoSettings, RmSettings, SimpoSettings, Source,
    StageInputs, StageRows, StageSettings, open,
};
use runner::model::artifact::Artifact;
use runner::model::config::Config;
use runner::model::tuner::{LoraSettings, Tuner};
use runner::objective::cpo::CpoParameters;
use runner::objective::dpo::{DpoLoss, DpoParameters};
use runner::objective::kto::KtoParameters;
use runner::objective::orpo::{NllTokens, OrpoParameters};
use runner::objective::simpo::SimpoParameters;
use runner::optim::adamw::AdamWSettings;
use runner::optim::schedule::ScheduleSettings;
use runner::train::{Metrics, StageRun, TrainingSettings};
use serde_json::Value;

pub fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

pub fn json(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden(path)).unwrap()).unwrap()
}

pub fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

fn completion(tokens: &[u32]) -> Completion {
    Completion { tokens: tokens.to_vec(), trained: vec![true; tokens.len()] }
}

/// The row of a trace's tokens file. SFT's have no boundary there: it is `sft_prompt`, DPO's on the
/// same prompts.
fn example(row: usize, tokens: &Value, sft_prompt: &[u32], cut: usize) -> Example {
    let list = |key: &str| tokens.get(key).map(ids);
    let (prompt, answers) = if let Some(all) = list("input_ids") {
        assert!(all.starts_with(sft_prompt));
        (sft_prompt.to_vec(), vec![all[sft_prompt.len()..].to_vec()])
    } else if let Some(completion) = list("completion_ids") {
        (list("prompt_ids").unwrap(), vec![completion, list("KL_completion_ids").unwrap()])
    } else if let (Some(chosen), Some(rejected)) = (list("chosen_input_ids"), list("rejected_input_ids")) {
        // labels of -100 are not trained on
        let of =
            |key: &str| tokens[key].as_array().unwrap().iter().take_while(|label| **label == -100).count();
        let length = of("chosen_labels");
        assert_eq!(length, of("rejected_labels"));
        assert_eq!(chosen[..length], rejected[..length]);
        (chosen[..length].to_vec(), vec![chosen[length..].to_vec(), rejected[length..].to_vec()])
    } else {
        let (chosen, rejected) = (list("chosen_ids").unwrap(), list("rejected_ids").unwrap());
        match list("prompt_ids") {
            Some(prompt) => (prompt, vec![chosen, rejected]),
            // reward models score whole sequences: what both begin with is computed once
            None => {
                let common = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
                (chosen[..common].to_vec(), vec![chosen[common..].to_vec(), rejected[common..].to_vec()])
            }
        }
    };
    let completions =
        answers.iter().map(|answer| completion(&answer[..answer.len().min(cut - prompt.len())]));
    let label = tokens.get("label").map(|label| label.as_bool().unwrap());
    Example { row, completions: completions.collect(), prompt, label, margin: None }
}

/// The trace's rows.
pub fn examples(trace: &Value) -> Vec<Example> {
    let rows = json(&format!("traces/{}", trace["tokens"].as_str().unwrap()));
    let model = trace["model"].as_str().unwrap();
    let prompts = match trace["algorithm"].as_str().unwrap() {
        "SFTTrainer" => {
            let length = if model == "llama3" { 224 } else { 512 };
            let rows = json(&format!("traces/tokens_DPOTrainer_{model}_{length}.json"));
            rows.as_array().unwrap().iter().map(|row| ids(&row["prompt_ids"])).collect()
        }
        _ => vec![Vec::new(); rows.as_array().unwrap().len()],
    };
    let cut = trace["args"]["max_length"].as_u64().unwrap() as usize;
    let rows = rows.as_array().unwrap().iter().zip(&prompts).enumerate();
    rows.map(|(row, (tokens, prompt))| example(row, tokens, prompt, cut)).collect()
}

/// The kind that TRL's trainer is.
fn kind(trace: &Value) -> KindSettings {
    let args = &trace["args"];
    let or = |key: &str, default: f64| args[key].as_f64().unwrap_or(default);
    let names = |key: &str| match &args[key] {
        Value::Array(names) => names.clone(),
        Value::Null => vec![Value::from("sigmoid")],
        name => vec![name.clone()],
    };
    match trace["algorithm"].as_str().unwrap() {
        "SFTTrainer" => KindSettings::Sft,
        "DPOTrainer" => {
            let loss = |name: Value| serde_json::from_value::<DpoLoss>(name).unwrap();
            let weights = args["loss_weights"].as_array();
            KindSettings::Dpo(DpoSettings {
                parameters: DpoParameters {
                    beta: or("beta", 0.1),
                    label_smoothing: or("label_smoothing", 0.0),
                    ..DpoParameters::default()
                },
                loss_type: DpoLosses::Many(names("loss_type").into_iter().map(loss).collect()),
                loss_weights: weights
                    .map(|list| list.iter().map(|weight| weight.as_f64().unwrap()).collect()),
                ..DpoSettings::default()
            })
        }
        "KTOTrainer" => KindSettings::Kto(KtoSettings {
            parameters: KtoParameters {
                beta: or("beta", 0.1),
                desirable_weight: or("desirable_weight", 1.0),
                undesirable_weight: or("undesirable_weight", 1.0),
                ..KtoParameters::default()
            },
            ..KtoSettings::default()
        }),
        "CPOTrainer" if args["loss_type"] == "simpo" => KindSettings::Simpo(SimpoSettings {
            parameters: SimpoParameters {
                beta: or("beta", 2.0),
                simpo_gamma: or("simpo_gamma", 1.0),
                ..SimpoParameters::default()
            },
            cpo_alpha: or("cpo_alpha", 1.0),
        }),
        "CPOTrainer" => KindSettings::Cpo(CpoSettings {
            parameters: CpoParameters { beta: or("beta", 0.1), ..CpoParameters::default() },
            cpo_alpha: or("cpo_alpha", 1.0),
        }),
        "ORPOTrainer" => KindSettings::Orpo(OrpoSettings {
            parameters: OrpoParameters { beta: or("beta", 0.1), nll: NllTokens::Full },
        }),
        "RewardTrainer" => KindSettings::Rm(RmSettings::default()),
        other => panic!("{other}"),
    }
}

pub fn settings(trace: &Value) -> StageSettings {
    let args = &trace["args"];
    let number = |key: &str| args[key].as_f64().unwrap();
    let integer = |key: &str| args[key].as_u64().unwrap();
    let lora = LoraSettings { rank: 8, alpha: 16.0, ..LoraSettings::default() };
    StageSettings {
        name: trace["name"].as_str().unwrap().to_string(),
        data: "rows".into(),
        policy: Source::Base,
        kind: kind(trace),
        training: TrainingSettings {
            tuner: if trace["lora"].as_bool().unwrap() { Tuner::Lora(lora) } else { Tuner::Full },
            batches: BatchSettings {
                batch_size: integer("per_device_train_batch_size") as usize,
                gradient_accumulation_steps: integer("gradient_accumulation_steps") as usize,
                num_train_epochs: 1.0,
                max_steps: Some(integer("max_steps")),
                shuffle: false,
            },
            schedule: ScheduleSettings {
                learning_rate: number("learning_rate"),
                warmup_steps: integer("warmup_steps"),
                ..ScheduleSettings::default()
            },
            optimizer: AdamWSettings {
                weight_decay: number("weight_decay"),
                adam_beta1: number("adam_beta1"),
                adam_beta2: number("adam_beta2"),
                adam_epsilon: number("adam_epsilon"),
                max_grad_norm: number("max_grad_norm"),
            },
            max_length: integer("max_length") as usize,
            seed: integer("seed"),
            ..TrainingSettings::default()
        },
    }
}

/// How the planner packs rows of a stage on a model.
pub fn batches(base: &Path, settings: &StageSettings, compute: &Compute) -> BatchPolicy {
    let device = if compute.device.is_cuda() { DeviceSpec::Cuda(0) } else { DeviceSpec::Cpu };
    let dtype = if compute.dtype == Dtype::Bf16.into() { Dtype::Bf16 } else { Dtype::F32 };
    BatchPolicy::for_model(
        &Config::read(base).unwrap(),
        device,
        dtype,
        settings.training.gradient_checkpointing,
    )
}

/// The trace's stage, ready for its first step.
pub fn open_trace(
    trace: &Value,
    settings: &StageSettings,
    policy_of_batches: Option<BatchPolicy>,
    compute: &Compute,
) -> Box<dyn StageRun> {
    let name = trace["name"].as_str().unwrap();
    let adapter = trace["lora"].as_bool().unwrap().then(|| golden(&format!("traces/{name}/init_adapter")));
    let base = golden(&format!("models/{}", trace["model"].as_str().unwrap()));
    let rows = StageRows { train: examples(trace), ..StageRows::default() };
    let head = golden(&format!("traces/{name}/init_head.safetensors"));
    let batches = policy_of_batches.unwrap_or_else(|| batches(&base, settings, compute));
    let policy = Artifact { base, adapter, head: Some(head).filter(|head| head.exists()) };
    let inputs = StageInputs { settings, compute, policy, reference: None, reward: None, rows, batches };
    let mut stage = open(inputs).unwrap();
    let references = tempfile::tempdir().unwrap();
    stage.prepare(references.path(), &mut |_, _| Ok(())).unwrap();
    stage
}

/// Metrics of TRL's that ours are not: CPO's, SimPO's and ORPO's `logits/*` average padding too.
fn is_compared(trace: &Value, metric: &str) -> bool {
    let averages_padding = ["CPOTrainer", "ORPOTrainer"].iter().any(|name| trace["algorithm"] == *name);
    let is_left_out = averages_padding && metric.starts_with("logits/");
    !is_left_out && metric != "step" && metric != "epoch"
}

/// Whether a step counts pairs whose margin is nothing but rounding, as where the policy is still the reference:
/// where rounding differs from one model to the other, as on a GPU, each of them may count as won or lost.
fn counts_ties(step: &Value, key: &str, tolerance: f64) -> bool {
    let margin = step["rewards/margins"].as_f64().unwrap_or(f64::INFINITY);
    key == "rewards/accuracies" && tolerance >= 1e-3 && margin.abs() < 1e-6
}

/// Asserts that our steps are the trace's up to `tolerance`, relative; grad_norm's is ten times that.
pub fn assert_steps(trace: &Value, steps: &[Metrics], tolerance: f64) {
    let name = trace["name"].as_str().unwrap();
    let beta = trace["args"]["beta"].as_f64().unwrap_or(0.0);
    let want = trace["steps"].as_array().unwrap();
    for (ours, want) in steps.iter().zip(want) {
        let compared = |key: &str| is_compared(trace, key) && !counts_ties(want, key, tolerance);
        for (key, value) in want.as_object().unwrap().iter().filter(|(key, _)| compared(key)) {
            let value = value.as_f64().unwrap();
            let got = *ours.get(key).unwrap_or_else(|| panic!("{name}: no metric {key}"));
            let relative = if key == "grad_norm" { 10.0 * tolerance } else { tolerance };
            let rounding = if key.starts_with("rewards/") { beta * 3e-5 } else { 0.0 };
            let allowed = (relative * value.abs().max(1e-2)).max(rounding);
            assert!(
                (got - value).abs() <= allowed,
                "{name} step {}: {key} is {got}, TRL's {value}",
                want["step"]
            );
        }
    }
}

/// One optimiser step's metrics.
pub fn step(stage: &mut dyn StageRun, step: u64) -> Metrics {
    stage.step(step, &mut |_, _| Ok(())).unwrap().metrics
}
