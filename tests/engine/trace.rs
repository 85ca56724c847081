//! A golden trace as a stage: its rows, its settings, its start.

use std::path::{Path, PathBuf};

use runner::data::example::{Branch, Family};
use runner::model::policy::ModelInput;
use runner::plan::settings::{
    DpoLoss, DpoSettings, KindSettings, LoraSettings, Schedule, Source, StageSettings, TargetModules,
    TrainingSettings, Warmup,
};
use runner::stages::trainer::Packaging;
use runner::stages::{Rows, StageInputs, StageRun, open};
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

fn branch(tokens: Vec<u32>, prompt: usize) -> Branch {
    Branch { trained: (0..tokens.len()).map(|i| i >= prompt).collect(), tokens }
}

/// The trace's rows. SFT's have no boundary in the file: it is DPO's, on the same prompts.
pub fn families(trace: &Value) -> Vec<Family> {
    let rows = json(&format!("traces/{}", trace["tokens"].as_str().unwrap()));
    let model = trace["model"].as_str().unwrap();
    let is_sft = trace["algorithm"] == "SFTTrainer";
    let length = if model == "llama3" { 224 } else { 512 };
    let prompts = json(&format!("traces/tokens_DPOTrainer_{model}_{length}.json"));
    let cut = trace["args"]["max_length"].as_u64().unwrap() as usize;
    let make = |(row, (tokens, prompt)): (usize, (&Value, &Value))| {
        let prompt = ids(&prompt["prompt_ids"]);
        let mut branches = match is_sft {
            true => {
                let all = ids(&tokens["input_ids"]);
                assert!(all.starts_with(&prompt));
                vec![branch(all[prompt.len()..].to_vec(), 0)]
            }
            false => vec![branch(ids(&tokens["chosen_ids"]), 0), branch(ids(&tokens["rejected_ids"]), 0)],
        };
        for branch in &mut branches {
            branch.tokens.truncate(cut - prompt.len());
            branch.trained.truncate(cut - prompt.len());
        }
        Family { row, prompt, branches }
    };
    rows.as_array().unwrap().iter().zip(prompts.as_array().unwrap()).enumerate().map(make).collect()
}

pub fn settings(trace: &Value) -> StageSettings {
    let args = &trace["args"];
    let number = |key: &str| args[key].as_f64().unwrap();
    let integer = |key: &str| args[key].as_u64().unwrap();
    let losses = match &args["loss_type"] {
        Value::Array(names) => {
            let weights = args["loss_weights"].as_array().unwrap().iter().map(|w| w.as_f64().unwrap());
            let loss = |name: &Value| serde_json::from_value::<DpoLoss>(name.clone()).unwrap();
            names.iter().map(loss).zip(weights).collect()
        }
        _ => vec![(DpoLoss::Sigmoid, 1.0)],
    };
    let kind = match trace["algorithm"].as_str().unwrap() {
        "SFTTrainer" => KindSettings::Sft,
        "DPOTrainer" => KindSettings::Dpo(DpoSettings {
            reference: None,
            beta: number("beta"),
            losses,
            rpo_alpha: None,
            label_smoothing: 0.0,
        }),
        other => panic!("{other}"),
    };
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
        kind,
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
) -> Box<dyn StageRun> {
    let name = trace["name"].as_str().unwrap();
    let adapter = trace["lora"].as_bool().unwrap().then(|| golden(&format!("traces/{name}/init_adapter")));
    let base = golden(&format!("models/{}", trace["model"].as_str().unwrap()));
    let rows = Rows { train: families(trace), eval: Vec::new() };
    let policy = ModelInput { base, adapter };
    let mut stage = open(StageInputs { settings, policy, reference: None, rows, packaging }).unwrap();
    let work = tempfile::tempdir().unwrap();
    stage.prepare(work.path(), &mut |_, _| Ok(())).unwrap();
    stage
}
