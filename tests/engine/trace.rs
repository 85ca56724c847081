//! A golden trace as a stage: its rows, its settings, its start.

use std::path::{Path, PathBuf};

use runner::backend::Compute;
use runner::data::example::{Branch, Family};
use runner::model::policy::ModelInput;
use runner::plan::settings::{
    CpoLoss, CpoSettings, DpoLoss, DpoSettings, KindSettings, KtoLoss, KtoSettings, LoraSettings, OrpoNll,
    OrpoSettings, RmSettings, Schedule, SimpoSettings, Source, StageSettings, TargetModules,
    TrainingSettings, Warmup,
};
use runner::stages::packaging::Packaging;
use runner::stages::{Metrics, Rows, StageInputs, StageRun, open};
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

fn branch(tokens: &[u32]) -> Branch {
    Branch { tokens: tokens.to_vec(), trained: vec![true; tokens.len()] }
}

/// The row of a trace's tokens file. SFT's have no boundary there: it is `sft_prompt`, DPO's on the
/// same prompts.
fn family(row: usize, tokens: &Value, sft_prompt: &[u32], cut: usize) -> Family {
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
    let branches = answers.iter().map(|answer| branch(&answer[..answer.len().min(cut - prompt.len())]));
    let label = tokens.get("label").map(|label| label.as_bool().unwrap());
    Family { row, branches: branches.collect(), prompt, label, margin: None }
}

/// The trace's rows.
pub fn families(trace: &Value) -> Vec<Family> {
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
    rows.map(|(row, (tokens, prompt))| family(row, tokens, prompt, cut)).collect()
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
            let losses = names("loss_type");
            let weights = match args["loss_weights"].as_array() {
                Some(weights) => weights.iter().map(|weight| weight.as_f64().unwrap()).collect(),
                None => vec![1.0; losses.len()],
            };
            let loss = |name: Value| serde_json::from_value::<DpoLoss>(name).unwrap();
            KindSettings::Dpo(DpoSettings {
                reference: None,
                beta: or("beta", 0.1),
                losses: losses.into_iter().map(loss).zip(weights).collect(),
                rpo_alpha: None,
                label_smoothing: or("label_smoothing", 0.0),
                f_divergence: None,
                ld_alpha: None,
                use_weighting: None,
                discopop_tau: None,
            })
        }
        "KTOTrainer" => KindSettings::Kto(KtoSettings {
            reference: None,
            beta: or("beta", 0.1),
            loss: KtoLoss::Kto,
            desirable_weight: or("desirable_weight", 1.0),
            undesirable_weight: or("undesirable_weight", 1.0),
            unpair: false,
        }),
        "CPOTrainer" if args["loss_type"] == "simpo" => KindSettings::Simpo(SimpoSettings {
            beta: or("beta", 2.0),
            simpo_gamma: or("simpo_gamma", 1.0),
            cpo_alpha: or("cpo_alpha", 1.0),
            label_smoothing: 0.0,
            alpha: None,
        }),
        "CPOTrainer" => KindSettings::Cpo(CpoSettings {
            beta: or("beta", 0.1),
            loss: CpoLoss::Sigmoid,
            cpo_alpha: or("cpo_alpha", 1.0),
            label_smoothing: 0.0,
        }),
        "ORPOTrainer" => KindSettings::Orpo(OrpoSettings { beta: or("beta", 0.1), nll: OrpoNll::Full }),
        "RewardTrainer" => KindSettings::Rm(RmSettings { center_rewards_coefficient: 0.0, head_bias: true }),
        other => panic!("{other}"),
    }
}

pub fn settings(trace: &Value) -> StageSettings {
    let args = &trace["args"];
    let number = |key: &str| args[key].as_f64().unwrap();
    let integer = |key: &str| args[key].as_u64().unwrap();
    let lora = LoraSettings {
        rank: 8,
        alpha: 16.0,
        dropout: 0.0,
        target_modules: TargetModules::All,
        rslora: false,
    };
    StageSettings {
        name: trace["name"].as_str().unwrap().to_string(),
        data: "rows".into(),
        policy: Source::Base,
        kind: kind(trace),
        training: TrainingSettings {
            lora: trace["lora"].as_bool().unwrap().then_some(lora),
            batch_size: integer("per_device_train_batch_size") as usize,
            gradient_accumulation_steps: integer("gradient_accumulation_steps") as usize,
            num_train_epochs: 1.0,
            max_steps: Some(integer("max_steps")),
            learning_rate: number("learning_rate"),
            lr_scheduler_type: Schedule::Linear,
            min_lr_rate: 0.0,
            warmup: Warmup::Steps(integer("warmup_steps")),
            weight_decay: number("weight_decay"),
            adam_beta1: number("adam_beta1"),
            adam_beta2: number("adam_beta2"),
            adam_epsilon: number("adam_epsilon"),
            max_grad_norm: number("max_grad_norm"),
            max_length: integer("max_length") as usize,
            max_prompt_length: None,
            gradient_checkpointing: false,
            logging_steps: 1,
            eval_steps: None,
            save_steps: None,
            save_total_limit: None,
            shuffle: false,
            seed: integer("seed"),
        },
    }
}

/// The trace's stage, ready for its first step.
pub fn open_trace(
    trace: &Value,
    settings: &StageSettings,
    packaging: Option<Packaging>,
    place: &Compute,
) -> Box<dyn StageRun> {
    let name = trace["name"].as_str().unwrap();
    let adapter = trace["lora"].as_bool().unwrap().then(|| golden(&format!("traces/{name}/init_adapter")));
    let base = golden(&format!("models/{}", trace["model"].as_str().unwrap()));
    let rows = Rows { train: families(trace), ..Rows::default() };
    let head = golden(&format!("traces/{name}/init_head.safetensors"));
    let policy = ModelInput { base, adapter, head: Some(head).filter(|head| head.exists()) };
    let inputs = StageInputs { settings, place, policy, reference: None, reward: None, rows, packaging };
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

/// Asserts that our steps are the trace's up to `tolerance`, relative; grad_norm's is ten times that.
pub fn assert_steps(trace: &Value, steps: &[Metrics], tolerance: f64) {
    let name = trace["name"].as_str().unwrap();
    let beta = trace["args"]["beta"].as_f64().unwrap_or(0.0);
    let want = trace["steps"].as_array().unwrap();
    for (ours, want) in steps.iter().zip(want) {
        for (key, value) in want.as_object().unwrap().iter().filter(|(key, _)| is_compared(trace, key)) {
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
