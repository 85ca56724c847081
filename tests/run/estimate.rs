//! Rows, steps and operations, counted by hand.

use runner::backend::compute::{DeviceSpec, Dtype};
use runner::batch::{BatchPolicy, BatchSettings, Episodes, Steps};
use runner::kinds::{
    CpoSettings, DpoSettings, KindSettings, KtoSettings, OrpoSettings, PpoSettings, RmSettings, StageSettings,
};
use runner::model::artifact::Artifact;
use runner::model::config::Config;
use runner::model::tuner::{LoraSettings, Tuner};
use runner::objective::kto::{KtoLoss, KtoParameters};
use runner::objective::orpo::{NllTokens, OrpoParameters};
use runner::plan::counts::{Counts, TokenCounts};
use runner::plan::estimate::Stage;
use runner::train::TrainingSettings;

use crate::settings::{ppo, stage_of, training};

#[test]
fn steps_are_counted_as_hugging_face_does() {
    let with = |batch_size, gradient_accumulation_steps, num_train_epochs, max_steps| BatchSettings {
        batch_size,
        gradient_accumulation_steps,
        num_train_epochs,
        max_steps,
        ..BatchSettings::default()
    };
    let steps = |settings: BatchSettings| {
        let Steps { per_epoch, total, epochs } = Steps::of(&settings, Episodes::default(), 10);
        (per_epoch, total, epochs)
    };
    assert_eq!(steps(with(1, 1, 1.0, None)), (10, 10, 1.0));
    // Four micro-batches make one window of three and a short one.
    assert_eq!(steps(with(3, 3, 2.0, None)), (2, 4, 2.0));
    assert_eq!(steps(with(2, 2, 0.5, None)), (3, 2, 2.0 / 3.0));
    assert_eq!(steps(with(2, 2, 9.0, Some(4))), (3, 4, 4.0 / 3.0));
}

/// Ten prompts, four an update: three updates an epoch, the last of two prompts, each of four passes
/// in two mini-batches.
#[test]
fn a_step_of_ppo_is_a_mini_batch() {
    let steps = |num_train_epochs, total_episodes, max_steps| {
        let settings = PpoSettings { num_ppo_epochs: 4, num_mini_batches: 2, total_episodes, ..ppo() };
        let batches = BatchSettings {
            batch_size: 2,
            gradient_accumulation_steps: 2,
            num_train_epochs,
            max_steps,
            ..BatchSettings::default()
        };
        let Steps { per_epoch, total, epochs } = Steps::of(&batches, settings.episodes(), 10);
        (per_epoch, total, epochs)
    };
    assert_eq!(steps(2.0, None, None), (24, 48, 2.0));
    // Half an epoch is an update and a half, and so two.
    assert_eq!(steps(0.5, None, None), (24, 16, 2.0 / 3.0));
    assert_eq!(steps(2.0, Some(9), None), (24, 24, 1.0));
    assert_eq!(steps(2.0, Some(9), Some(5)), (24, 5, 5.0 / 24.0));
}

/// Two layers: 288 weights of matrices, 40 of the embedding, 20 of norms; 256 of an adapter of rank 2.
fn tiny() -> Config {
    let config = Config::from_json(serde_json::json!({
        "model_type": "llama", "vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 8,
        "rms_norm_eps": 1e-6, "tie_word_embeddings": true,
    }))
    .unwrap();
    assert_eq!((config.trunk_weights(), config.parameters()), (288, 348));
    config
}

fn counts(train: TokenCounts, longest_example: u64) -> Counts {
    Counts {
        train,
        held_out: TokenCounts::default(),
        rows_cut: 0,
        rows_dropped: 0,
        reasons: Default::default(),
        firsts: Default::default(),
        longest_example,
        largest_window: train.shared,
        warnings: vec![],
    }
}

fn rank(rank: usize) -> LoraSettings {
    LoraSettings { rank, ..LoraSettings::default() }
}

fn artifact(base: &str, adapter: Option<&str>) -> Artifact {
    Artifact { base: base.into(), adapter: adapter.map(Into::into), head: None }
}

/// A prompt of 4 tokens and answers of 2 and 3. Forward: trunk 2·288·9, attention 32·39, output
/// layer 80 a token that is scored.
#[test]
fn kinds_differ_in_what_they_score_and_compare_with() {
    let model = tiny();
    let pair = TokenCounts { rows: 1, shared: 9, unshared: 13, trained: 5, attended: 39 };
    let unpaired = TokenCounts { trained: 2, ..pair };
    let policy = artifact("llama", None);
    let cost = |kind: KindSettings, train: TokenCounts, lora: Option<LoraSettings>| {
        let tuner = lora.map_or(Tuner::Full, Tuner::Lora);
        let training = TrainingSettings { tuner, ..training(1, None, None, None) };
        let stage = StageSettings { training, ..stage_of(kind) };
        let counts = counts(train, 9);
        let facts = stage.kind.facts();
        let steps = Steps::of(&stage.training.batches, facts.episodes(), 1);
        let cost = Stage {
            facts: &facts,
            training: &stage.training,
            model: &model,
            batches: BatchPolicy::for_model(&model, DeviceSpec::Cpu, Dtype::F32, false),
            device: DeviceSpec::Cpu,
            dtype: Dtype::F32,
            policy: &policy,
            reference: None,
            reward: None,
            counts: &counts,
            steps,
        };
        let work = cost.work(None);
        (cost.trainable(), cost.memory(), work.training, work.reference)
    };
    let (trunk, attention) = (5184.0, 1248.0);
    // Full: 3 × trunk, 3.5 × attention, 4 × output layer.
    let full = |scored: f64| 3.0 * trunk + 3.5 * attention + 4.0 * 80.0 * scored;

    let rm = KindSettings::Rm(RmSettings::default());
    let (trainable, memory, work, reference) = cost(rm.clone(), pair, Some(rank(2)));
    assert_eq!(trainable, 256 + 4 + 1);
    assert_eq!(memory.weights, 4 * (348 + 256 + 288 + 5));
    assert_eq!(memory.logits, 0);
    assert_eq!((work, reference), (2.0 * trunk + 6.0 * 256.0 * 9.0 + 3.5 * attention, 0.0));
    assert_eq!(cost(rm, pair, None).2, full(0.0));

    let kto = |loss_type| {
        let parameters = KtoParameters { loss_type, ..KtoParameters::default() };
        KindSettings::Kto(KtoSettings { parameters, ..KtoSettings::default() })
    };
    // Both answers of a row are scored, by policy and reference.
    let (_, _, work, reference) = cost(kto(KtoLoss::Kto), unpaired, None);
    assert_eq!((work, reference), (full(5.0), trunk + attention + 80.0 * 5.0));

    let orpo = |nll| {
        let parameters = OrpoParameters { nll, ..OrpoParameters::default() };
        KindSettings::Orpo(OrpoSettings { parameters })
    };
    let (trainable, memory, work, reference) = cost(orpo(NllTokens::Completion), pair, None);
    assert_eq!((trainable, memory.weights), (348, 4 * 348));
    assert_eq!((work, reference), (full(5.0), 0.0));
    assert_eq!(cost(orpo(NllTokens::Full), pair, None).2, full(9.0));
    assert_eq!(cost(KindSettings::Cpo(CpoSettings::default()), pair, None).3, 0.0);
}

/// Three prompts of 4 tokens with responses of 5: 27 tokens, 15 of them trained on, 135 attended pairs.
#[test]
fn ppo_answers_scores_and_trains_two_models() {
    let model = tiny();
    let prompts = TokenCounts { rows: 3, shared: 12, unshared: 12, trained: 0, attended: 30 };
    let counts = counts(prompts, 4);
    let settings = PpoSettings { num_ppo_epochs: 2, num_mini_batches: 3, ..ppo() };
    let mut stage = stage_of(KindSettings::Ppo(settings));
    stage.training.batches.gradient_accumulation_steps = 3;
    stage.training.batches.num_train_epochs = 2.0;
    let facts = stage.kind.facts();
    let steps = Steps::of(&stage.training.batches, facts.episodes(), 3);
    let lora = TrainingSettings { tuner: Tuner::Lora(rank(2)), ..stage.training.clone() };
    let cost = |training: &TrainingSettings, policy: &Artifact, reward: &Artifact| {
        let cost = Stage {
            facts: &facts,
            training,
            model: &model,
            batches: BatchPolicy::for_model(&model, DeviceSpec::Cpu, Dtype::F32, false),
            device: DeviceSpec::Cpu,
            dtype: Dtype::F32,
            policy,
            reference: None,
            reward: Some(reward),
            counts: &counts,
            steps,
        };
        (cost.trainable(), cost.memory(), cost.work(None).total())
    };

    // Four whole models and two heads.
    let (policy, reward) = (artifact("llama", None), artifact("runs/r/rm/model", None));
    let (trainable, memory, work) = cost(&stage.training, &policy, &reward);
    assert_eq!(trainable, 2 * 348 + 5);
    assert_eq!(memory.weights, 4 * (4 * 348 + 2 * 5));
    assert_eq!((memory.gradients, memory.optimiser), (4 * 701, 8 * 701));
    // Three responses of at most 4 + 5 tokens; 2 keys and 2 values in each of two layers.
    assert_eq!(memory.cache, 4 * 3 * 9 * 8);
    let (trunk, attention, head) = (576.0 * 27.0, 32.0 * 135.0, 80.0 * 15.0);
    let valued = trunk + attention;
    // Written, log-probs of policy and reference; score and values.
    let rollout = 3.0 * (valued + head) + 2.0 * valued;
    let passes = 2.0 * (3.0 * trunk + 3.5 * attention) + 4.0 * head;
    assert_eq!(work, 2.0 * (rollout + 2.0 * passes));

    // One base, and a merged copy of the layers for policy, value model, reference and reward model.
    let (policy, reward) = (artifact("llama", Some("a")), artifact("llama", Some("b")));
    let (trainable, memory, _) = cost(&lora, &policy, &reward);
    assert_eq!(trainable, 2 * 256 + 5);
    assert_eq!(memory.weights, 4 * (348 + 4 * (256 + 288) + 2 * 5));
    // A policy that starts from the base is compared with the base itself.
    let (_, memory, _) = cost(&lora, &artifact("llama", None), &reward);
    assert_eq!(memory.weights, 4 * (348 + 3 * (256 + 288) + 2 * 5));
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
    let train = TokenCounts { rows: 1, shared: 210, unshared: 330, trained: 90, attended };
    let counts = counts(train, 210);
    let settings = TrainingSettings { tuner: Tuner::Lora(rank(8)), ..training(1, None, None, None) };
    let kind = KindSettings::Dpo(DpoSettings::default());
    let facts = kind.facts();
    let policy = artifact("llama", None);
    let stage = Stage {
        facts: &facts,
        training: &settings,
        model: &model,
        batches: BatchPolicy::for_model(&model, DeviceSpec::Cpu, Dtype::F32, false),
        device: DeviceSpec::Cpu,
        dtype: Dtype::F32,
        policy: &policy,
        reference: None,
        reward: None,
        counts: &counts,
        steps: Steps::of(&settings.batches, facts.episodes(), 1),
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
