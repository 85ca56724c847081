//! PPO on a golden model: rollouts, ratios, resuming, and that it does what it is for.

use runner::backend::Compute;
use runner::batch::BatchPolicy;
use runner::kinds::{KindSettings, StageSettings};
use runner::model::value_head::FILE as VALUE_HEAD;
use runner::optim::schedule::SchedulerType;
use runner::train::{Metrics, StageRun};

use super::ppo_stage::{self, stage_settings};
use super::trace::step;

const STEPS_PER_UPDATE: u64 = 4;

fn open_ppo(settings: &StageSettings, batches: Option<BatchPolicy>) -> Box<dyn StageRun> {
    ppo_stage::open_ppo(settings, batches, &Compute::default())
}

fn run(stage: &mut dyn StageRun, steps: std::ops::Range<u64>) -> Vec<Metrics> {
    steps.map(|n| step(stage, n)).collect()
}

#[test]
fn an_update_starts_from_ratios_of_one_and_the_reference() {
    for lora in [true, false] {
        let mut stage = open_ppo(&stage_settings(lora), None);
        let first = step(stage.as_mut(), 0);
        assert!((first["val/ratio"] - 1.0).abs() < 1e-5, "{first:?}");
        assert!(first["policy/approxkl_avg"] < 1e-9, "{first:?}");
        assert_eq!(first["objective/kl"], 0.0, "the policy is its own reference at the start");
        assert_eq!(first["episode"], 8.0);
        assert!((first["objective/rlhf_reward"] - first["objective/scores"]).abs() < 1e-9);
        // the rate of step 0 is 0: nothing moved yet
        let second = step(stage.as_mut(), 1);
        assert!((second["val/ratio"] - 1.0).abs() < 1e-5, "{second:?}");
        let rest = run(stage.as_mut(), 2..6);
        assert!(rest[1]["policy/approxkl_avg"] > 1e-8, "{:?}", rest[1]);
        assert!(rest[3]["objective/kl"].abs() > 1e-6, "{:?}", rest[3]);
        assert_eq!(rest[3]["episode"], 16.0);
    }
}

#[test]
fn rollouts_do_not_depend_on_batches_or_packing() {
    let mut one_by_one = stage_settings(true);
    if let KindSettings::Ppo(ppo) = &mut one_by_one.kind {
        ppo.local_rollout_forward_batch_size = 3;
    }
    let want = run(open_ppo(&stage_settings(true), None).as_mut(), 0..6);
    for batches in [None, Some(BatchPolicy { token_budget: 1, share_prefix: false })] {
        let got = run(open_ppo(&one_by_one, batches).as_mut(), 0..6);
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got["val/num_eos_tokens"], want["val/num_eos_tokens"]);
            assert_eq!(got["num_tokens"], want["num_tokens"], "the responses are as long");
            for metric in ["loss", "objective/scores", "objective/entropy", "loss/value_avg"] {
                let (got, want) = (got[metric], want[metric]);
                assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "{metric}: {got}, {want}");
            }
        }
    }
}

#[test]
fn a_stage_resumes_to_the_bit_in_the_middle_of_an_update() {
    for lora in [true, false] {
        let settings = stage_settings(lora);
        let mut whole = open_ppo(&settings, None);
        let want = run(whole.as_mut(), 0..10);
        for stopped in [3, STEPS_PER_UPDATE, 6] {
            let state = tempfile::tempdir().unwrap();
            let mut first = open_ppo(&settings, None);
            run(first.as_mut(), 0..stopped);
            first.save_state(state.path()).unwrap();
            let mut second = open_ppo(&settings, None);
            second.restore(state.path()).unwrap();
            assert_eq!(run(second.as_mut(), stopped..10), want[stopped as usize..]);
            let weights = |stage: &dyn StageRun| {
                let out = tempfile::tempdir().unwrap();
                stage.save_result(out.path()).unwrap();
                assert!(!out.path().join(VALUE_HEAD).exists(), "the result is the policy");
                let name = if lora { "adapter_model.safetensors" } else { "model.safetensors" };
                std::fs::read(out.path().join(name)).unwrap()
            };
            assert!(weights(second.as_ref()) == weights(whole.as_ref()), "stopped after {stopped} steps");
        }
    }
}

#[test]
fn an_interrupted_rollout_changes_nothing() {
    let settings = stage_settings(true);
    let want = run(open_ppo(&settings, None).as_mut(), 0..6);
    let mut stage = open_ppo(&settings, None);
    let mut got = run(stage.as_mut(), 0..STEPS_PER_UPDATE);
    let error = stage.step(STEPS_PER_UPDATE, &mut |_, _| anyhow::bail!("stopped")).unwrap_err();
    assert_eq!(error.to_string(), "stopped");
    got.extend(run(stage.as_mut(), STEPS_PER_UPDATE..6));
    assert_eq!(got, want);
}

#[test]
fn the_steps_of_an_update_lower_its_losses() {
    for lora in [true, false] {
        let mut settings = stage_settings(lora);
        settings.training.schedule.lr_scheduler_type = SchedulerType::Constant;
        settings.training.schedule.warmup_steps = 0;
        if let KindSettings::Ppo(ppo) = &mut settings.kind {
            (ppo.num_ppo_epochs, ppo.num_mini_batches) = (4, 1);
        }
        let mut stage = open_ppo(&settings, None);
        // the second update: the first one's old values are those of an untrained head
        let steps = run(stage.as_mut(), 0..8).split_off(4);
        for loss in ["loss/policy_avg", "loss/value_avg"] {
            let values: Vec<f64> = steps.iter().map(|metrics| metrics[loss]).collect();
            assert!(values[1] < values[0] && values[3] < values[0], "{loss}: {values:?}");
        }
    }
}

#[test]
fn held_out_responses_are_drawn_with_the_same_numbers_every_time() {
    let mut stage = open_ppo(&stage_settings(true), None);
    let evaluate = |stage: &mut dyn StageRun| stage.evaluate(&mut |_, _| Ok(())).unwrap().unwrap();
    let before = evaluate(stage.as_mut());
    assert_eq!(before, evaluate(stage.as_mut()));
    assert_eq!(before["eval_objective/kl"], 0.0);
    assert!(before["eval_objective/scores_std"] > 0.1, "{before:?}");
    run(stage.as_mut(), 0..6);
    assert_ne!(before["eval_objective/scores"], evaluate(stage.as_mut())["eval_objective/scores"]);
}
