//! Each algorithm's derivatives against finite differences of its loss in every token's log-probability.

use super::cpo::Cpo;
use super::dpo::{Dpo, DpoLosses};
use super::kto::Kto;
use super::orpo::Orpo;
use super::simpo::Simpo;
use super::{CpoSettings, DpoSettings, OrpoSettings, SimpoSettings};
use crate::backend::log_prob::LogProbs;
use crate::batch::{TargetTokens, pack};
use crate::data::example::{Completion, Example};
use crate::objective::cpo::{CpoLoss, CpoParameters};
use crate::objective::dpo::{DpoLoss, DpoParameters};
use crate::objective::f_divergence::FDivergence;
use crate::objective::kto::{KtoLoss, KtoParameters};
use crate::objective::orpo::{NllTokens, OrpoParameters};
use crate::objective::simpo::SimpoParameters;
use crate::train::Algorithm;
use crate::train::algorithm::StepLoss;
use crate::train::reference::Reference;
use crate::train::row::Split;

const STEP: f64 = 1e-5;

/// Three rows in two micro-batches; the answers have different lengths.
fn examples() -> Vec<Example> {
    let completion =
        |tokens: u32| Completion { tokens: (0..tokens).collect(), trained: vec![true; tokens as usize] };
    let example = |row: usize, lengths: [u32; 2], desirable: bool| Example {
        row,
        prompt: vec![1, 2, 3],
        completions: lengths.map(completion).to_vec(),
        label: Some(desirable),
        margin: None,
    };
    vec![example(0, [4, 7], true), example(1, [5, 2], false), example(2, [3, 3], true)]
}

fn reference() -> Reference {
    Reference::of_train(vec![vec![-4.1, -7.9], vec![-5.6, -1.7], vec![-3.3, -2.9]])
}

/// Loss and derivatives of the algorithm at these log-probabilities.
fn at(algorithm: &impl Algorithm, log_prob: &[f64]) -> (f64, Vec<f64>) {
    let examples = examples();
    let examples: Vec<&Example> = examples.iter().collect();
    let batch = pack(&examples, algorithm.target_tokens(), true);
    let n = log_prob.len();
    let found = LogProbs {
        log_prob: log_prob.to_vec(),
        entropy: vec![1.0; n],
        mean_logit: vec![0.0; n],
        log_square_sum: vec![-2.0; n],
        is_arg_max: vec![false; n],
    };
    let rows = [(0, 0), (0, 1), (1, 2)];
    let mut sums = StepLoss::new(algorithm, Split::Train, &examples, &rows, 2);
    let seen: Vec<_> = batch.examples.iter().map(|targets| (&found, targets)).collect();
    let derivatives = sums.take(&examples, &rows, &seen).unwrap();
    (sums.finish()["loss"], derivatives)
}

fn log_probs(wanted: TargetTokens) -> Vec<f64> {
    let examples = examples();
    let n = pack(&examples.iter().collect::<Vec<_>>(), wanted, true).hidden.len();
    (0..n).map(|i| -1.0 - 0.37 * ((i * i) as f64 * 0.7).sin()).collect()
}

fn check(what: &str, algorithm: &impl Algorithm) {
    let log_prob = log_probs(algorithm.target_tokens());
    let (_, derivatives) = at(algorithm, &log_prob);
    assert_eq!(derivatives.len(), log_prob.len());
    for (i, derivative) in derivatives.iter().enumerate() {
        let moved = |by: f64| {
            let mut moved = log_prob.clone();
            moved[i] += by;
            at(algorithm, &moved).0
        };
        let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        assert!(
            (derivative - difference).abs() < 1e-7,
            "{what}, target {i}: {derivative}, differences {difference}"
        );
    }
}

fn dpo(losses: Vec<(DpoLoss, f64)>, change: impl FnOnce(&mut DpoSettings)) -> Dpo {
    let (names, weights) = losses.into_iter().unzip();
    let mut settings = DpoSettings {
        parameters: DpoParameters { beta: 0.3, label_smoothing: 0.1, ..DpoParameters::default() },
        loss_type: DpoLosses::Many(names),
        loss_weights: Some(weights),
        ..DpoSettings::default()
    };
    change(&mut settings);
    Dpo::new(settings, None).with_reference(reference())
}

#[test]
fn dpo_and_its_combinations() {
    use DpoLoss::*;
    let all = [
        Sigmoid,
        Hinge,
        Ipo,
        ExoPair,
        NcaPair,
        Robust,
        BcoPair,
        SppoHard,
        Aot,
        AotUnpaired,
        ApoZero,
        ApoDown,
        Discopop,
        SigmoidNorm,
    ];
    for loss in all {
        check(&format!("{loss:?}"), &dpo(vec![(loss, 0.7), (Sft, 0.2)], |_| {}));
        check(&format!("{loss:?} LD"), &dpo(vec![(loss, 1.0)], |s| s.ld_alpha = Some(0.4)));
    }
    check("RPO", &dpo(vec![(Sigmoid, 1.0)], |s| s.rpo_alpha = Some(0.5)));
    for divergence in [FDivergence::ForwardKl, FDivergence::JsDivergence, FDivergence::AlphaDivergence] {
        check("f-DPO", &dpo(vec![(Sigmoid, 1.0)], |s| s.parameters.f_divergence = divergence));
    }
}

/// WPO's weights have no gradient: each pair's derivatives are those without it, times the pair's weight.
#[test]
fn weights_of_pairs_scale_their_derivatives() {
    let log_prob = log_probs(TargetTokens::Completions);
    let (_, plain) = at(&dpo(vec![(DpoLoss::Sigmoid, 1.0)], |_| {}), &log_prob);
    let (_, weighted) = at(&dpo(vec![(DpoLoss::Sigmoid, 1.0)], |s| s.use_weighting = true), &log_prob);
    let mut first = 0;
    for example in examples() {
        let mut weight = 1.0;
        let mut targets = first..first;
        for completion in &example.completions {
            let own = targets.end..targets.end + completion.tokens.len();
            let mean =
                log_prob[own.clone()].iter().map(|log_prob| log_prob + 2.0).sum::<f64>() / own.len() as f64;
            weight *= mean.exp();
            targets.end = own.end;
        }
        for i in targets.clone() {
            assert!((weighted[i] - weight * plain[i]).abs() < 1e-12, "{i}");
        }
        first = targets.end;
    }
}

#[test]
fn kinds_without_a_reference() {
    for loss in [CpoLoss::Sigmoid, CpoLoss::Hinge, CpoLoss::Ipo] {
        let parameters = CpoParameters { loss_type: loss, beta: 0.3, label_smoothing: 0.1 };
        let settings = CpoSettings { parameters, cpo_alpha: 0.5 };
        check(&format!("CPO {loss:?}"), &Cpo(settings));
    }
    for alpha in [0.0, 0.5] {
        let parameters = SimpoParameters { beta: 2.0, simpo_gamma: 0.8, label_smoothing: 0.1, alpha };
        let settings = SimpoSettings { parameters, cpo_alpha: 0.5 };
        check("SimPO", &Simpo(settings));
    }
    for nll in [NllTokens::Completion, NllTokens::Full] {
        let parameters = OrpoParameters { beta: 0.3, nll };
        check(&format!("ORPO {nll:?}"), &Orpo(OrpoSettings { parameters }));
    }
}

/// The KL has no gradient: its completion has none, and it is held while the others move.
#[test]
fn kto() {
    let kto = |loss| {
        let parameters =
            KtoParameters { loss_type: loss, beta: 0.3, desirable_weight: 1.2, undesirable_weight: 0.7 };
        Kto::new(parameters, None).with_reference(reference())
    };
    for loss in [KtoLoss::Kto, KtoLoss::ApoZeroUnpaired] {
        let algorithm = kto(loss);
        let log_prob = log_probs(TargetTokens::Completions);
        let (_, derivatives) = at(&algorithm, &log_prob);
        // targets of the first completions; the second ones are the KL's
        let answers: Vec<usize> = (0..4).chain(11..16).chain(18..21).collect();
        for (i, derivative) in derivatives.iter().enumerate() {
            if !answers.contains(&i) {
                assert_eq!(*derivative, 0.0, "target {i}");
                continue;
            }
            let moved = |by: f64| {
                let mut moved = log_prob.clone();
                moved[i] += by;
                at(&algorithm, &moved).0
            };
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            assert!(
                (derivative - difference).abs() < 1e-7,
                "{loss:?}, target {i}: {derivative}, {difference}"
            );
        }
    }
}
