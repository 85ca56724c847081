//! Rows, steps and operations, counted by hand.

use runner::model::config::Config;
use runner::plan::counts::{Counts, Tokens};
use runner::plan::estimate::Stage;
use runner::plan::settings::{DpoSettings, KindSettings, LoraSettings, TargetModules, TrainingSettings};
use runner::plan::steps::Steps;

use crate::settings::training;

#[test]
fn steps_are_counted_as_hugging_face_does() {
    let with = |batch_size, gradient_accumulation_steps, num_train_epochs, max_steps| TrainingSettings {
        batch_size,
        gradient_accumulation_steps,
        num_train_epochs,
        max_steps,
        ..training(1, None, None, None)
    };
    let steps = |settings: TrainingSettings| {
        let Steps { per_epoch, total, epochs } = Steps::of(&settings, 10);
        (per_epoch, total, epochs)
    };
    assert_eq!(steps(with(1, 1, 1.0, None)), (10, 10, 1.0));
    // Four micro-batches make one window of three and a short one.
    assert_eq!(steps(with(3, 3, 2.0, None)), (2, 4, 2.0));
    assert_eq!(steps(with(2, 2, 0.5, None)), (3, 2, 2.0 / 3.0));
    assert_eq!(steps(with(2, 2, 9.0, Some(4))), (3, 4, 4.0 / 3.0));
}

/// Real pairs (prompt 120, chosen 38, rejected 52 tokens on average) on a Llama of 40 M weights:
/// 39 G operations a pair, by hand: 6·N·(P + 2R) + 6·H·V·2R, and a little for attention and LoRA.
#[test]
fn a_lora_pair_costs_what_it_does_by_hand() {
    let model = Config::from_json(serde_json::json!({
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 512, "num_hidden_layers": 8,
        "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 1408,
        "rms_norm_eps": 1e-6, "tie_word_embeddings": true,
    }))
    .unwrap();
    let attended = 120 * 121 / 2 + 38 * 120 + 38 * 39 / 2 + 52 * 120 + 52 * 53 / 2;
    let train = Tokens { rows: 1, shared: 210, unshared: 330, trained: 90, attended };
    let counts = Counts {
        train,
        held_out: Tokens::default(),
        rows_cut: 0,
        rows_dropped: 0,
        reasons: Default::default(),
        longest_family: 210,
    };
    let lora = LoraSettings {
        rank: 8,
        alpha: 16.0,
        dropout: 0.0,
        target_modules: TargetModules::All,
        rslora: false,
    };
    let settings = TrainingSettings { lora: Some(lora), ..training(1, None, None, None) };
    let losses = vec![];
    let kind = KindSettings::Dpo(DpoSettings {
        reference: None,
        beta: 0.1,
        losses,
        rpo_alpha: None,
        label_smoothing: 0.0,
        f_divergence: None,
        ld_alpha: None,
        use_weighting: None,
        discopop_tau: None,
    });
    let stage = Stage {
        kind: &kind,
        training: &settings,
        model: &model,
        counts: &counts,
        steps: Steps::of(&settings, 1),
    };
    assert_eq!(model.trunk_weights(), 23_592_960);
    assert_eq!(stage.trainable(), 8 * 8 * (1024 + 2 * 768 + 1024 + 3 * 1920));
    let work = stage.work(None);
    let by_hand = 6.0 * 23_592_960.0 * 210.0 + 6.0 * (512.0 * 32000.0) * 90.0;
    let attention = 4.5 * 4.0 * 8.0 * 512.0 * attended as f64;
    let adapter = 6.0 * stage.trainable() as f64 * 210.0;
    assert_eq!(work.total(), by_hand + attention + adapter);
    assert_eq!((work.total() / 1e9).round(), 41.0);
}
