use runner::data::example::*;
use runner::model::policy::ModelInput;
use runner::plan::settings::*;
use runner::stages::*;
use std::time::Instant;

fn main() {
    runner::backend::memory::keep_freed_memory();
    let a: Vec<String> = std::env::args().collect();
    let data = &a[1];
    let b: usize = a[2].parse().unwrap();
    let steps: u64 = a[3].parse().unwrap();
    let tok = tokenizers::Tokenizer::from_file("/work/scratch/bench_model/tokenizer.json").unwrap();
    let rows: Vec<Family> = std::fs::read_to_string(data)
        .unwrap()
        .lines()
        .take(b * 2 * steps as usize)
        .enumerate()
        .map(|(row, l)| {
            let v: serde_json::Value = serde_json::from_str(l).unwrap();
            let r = |m: &serde_json::Value| {
                m.as_array()
                    .unwrap()
                    .iter()
                    .map(|m| {
                        format!(
                            "<|im_start|>{}\n{}<|im_end|>\n",
                            m["role"].as_str().unwrap(),
                            m["content"].as_str().unwrap()
                        )
                    })
                    .collect::<String>()
            };
            let p = r(&v["prompt"]) + "<|im_start|>assistant\n";
            let enc = |t: String| tok.encode(t, false).unwrap().get_ids().to_vec();
            let pi = enc(p.clone());
            let br = |k: &str| {
                let f = enc(r(&v["prompt"]) + &r(&v[k]));
                let mut t = f[pi.len()..].to_vec();
                t.truncate(512usize.saturating_sub(pi.len()).max(1));
                Branch { trained: vec![true; t.len()], tokens: t }
            };
            let mut pi2 = pi.clone();
            pi2.truncate(500);
            Family { row, prompt: pi2, branches: vec![br("chosen"), br("rejected")] }
        })
        .collect();
    let n = rows.len();
    let tk: usize = rows.iter().map(|f| f.tokens_shared()).sum();
    let settings = StageSettings {
        name: "b".into(),
        data: "x".into(),
        policy: Source::Base,
        kind: KindSettings::Dpo(DpoSettings {
            reference: None,
            beta: 0.1,
            losses: vec![(DpoLoss::Sigmoid, 1.0)],
            rpo_alpha: None,
            label_smoothing: 0.0,
        }),
        training: TrainingSettings {
            lora: Some(LoraSettings {
                rank: 8,
                alpha: 16.0,
                dropout: 0.0,
                target_modules: TargetModules::All,
                rslora: false,
            }),
            batch_size: b,
            gradient_accumulation_steps: 2,
            num_train_epochs: 1.0,
            max_steps: Some(steps),
            learning_rate: 5e-5,
            lr_scheduler_type: Schedule::Linear,
            min_lr_rate: 0.0,
            warmup: Warmup::Steps(0),
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            max_length: 512,
            max_prompt_length: None,
            gradient_checkpointing: false,
            logging_steps: 1,
            eval_steps: None,
            save_steps: None,
            save_total_limit: None,
            shuffle: false,
            seed: 1,
        },
    };
    let t = Instant::now();
    let mut s = open(StageInputs {
        settings: &settings,
        policy: ModelInput { base: "/work/scratch/bench_model".into(), adapter: None },
        reference: None,
        rows: Rows { train: rows, eval: vec![] },
        packaging: None,
    })
    .unwrap();
    println!("open {:.2}", t.elapsed().as_secs_f64());
    let d = tempfile::tempdir().unwrap();
    let t = Instant::now();
    s.prepare(d.path(), &mut |_, _| Ok(())).unwrap();
    let r = t.elapsed().as_secs_f64();
    println!("reference {:.2}s = {:.3}s/pair tokens/pair {}", r, r / n as f64, tk / n);
    let t = Instant::now();
    for i in 0..steps {
        let t = Instant::now();
        let m = s.step(i).unwrap();
        println!(
            "step {i} {:.3}s loss {} gn {}",
            t.elapsed().as_secs_f64(),
            m.metrics["loss"],
            m.metrics["grad_norm"]
        );
    }
    let st = t.elapsed().as_secs_f64();
    println!(
        "pairs/s {:.2} (steps only {:.2}) peak {} MB",
        n as f64 / (r + st),
        n as f64 / st,
        runner::backend::memory::peak_resident_bytes() >> 20
    );
}
