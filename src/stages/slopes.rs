//! Each objective's slopes against finite differences of its loss in every token's log-probability.

use super::answers::{Objective, Part, Sums};
use super::batch::{Ask, pack};
use super::dpo::Dpo;
use super::kto::Kto;
use super::reference::Reference;
use super::reference_free::{Cpo, Orpo, Simpo};
use crate::backend::log_prob::LogProbs;
use crate::data::example::{Branch, Family};
use crate::plan::settings::*;

const STEP: f64 = 1e-5;

/// Three rows in two micro-batches; the answers have different lengths.
fn families() -> Vec<Family> {
    let branch = |tokens: u32| Branch { tokens: (0..tokens).collect(), trained: vec![true; tokens as usize] };
    let family = |row: usize, lengths: [u32; 2], desirable: bool| Family {
        row,
        prompt: vec![1, 2, 3],
        branches: lengths.map(branch).to_vec(),
        label: Some(desirable),
        margin: None,
    };
    vec![family(0, [4, 7], true), family(1, [5, 2], false), family(2, [3, 3], true)]
}

fn reference() -> Reference {
    Reference::of_train(vec![vec![-4.1, -7.9], vec![-5.6, -1.7], vec![-3.3, -2.9]])
}

/// Loss and slopes of the objective at these log-probabilities.
fn at(objective: &impl Objective, log_prob: &[f64]) -> (f64, Vec<f64>) {
    let families = families();
    let families: Vec<&Family> = families.iter().collect();
    let batch = pack(&families, objective.ask(), true);
    let n = log_prob.len();
    let found = LogProbs {
        log_prob: log_prob.to_vec(),
        entropy: vec![1.0; n],
        mean_logit: vec![0.0; n],
        log_square_sum: vec![-2.0; n],
        is_arg_max: vec![false; n],
    };
    let rows = [(0, 0), (0, 1), (1, 2)];
    let mut sums = Sums::new(objective, Part::Train, &families, &rows, 2);
    let seen: Vec<_> = batch.families.iter().map(|targets| (&found, targets)).collect();
    let slopes = sums.take(&families, &rows, &seen).unwrap();
    (sums.finish()["loss"], slopes)
}

fn log_probs(ask: Ask) -> Vec<f64> {
    let families = families();
    let n = pack(&families.iter().collect::<Vec<_>>(), ask, true).hidden.len();
    (0..n).map(|i| -1.0 - 0.37 * ((i * i) as f64 * 0.7).sin()).collect()
}

fn check(what: &str, objective: &impl Objective) {
    let log_prob = log_probs(objective.ask());
    let (_, slopes) = at(objective, &log_prob);
    assert_eq!(slopes.len(), log_prob.len());
    for (i, slope) in slopes.iter().enumerate() {
        let moved = |by: f64| {
            let mut moved = log_prob.clone();
            moved[i] += by;
            at(objective, &moved).0
        };
        let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        assert!((slope - difference).abs() < 1e-7, "{what}, target {i}: {slope}, differences {difference}");
    }
}

fn dpo(losses: Vec<(DpoLoss, f64)>, change: impl FnOnce(&mut DpoSettings)) -> Dpo {
    let mut settings = DpoSettings {
        reference: None,
        beta: 0.3,
        losses,
        rpo_alpha: None,
        label_smoothing: 0.1,
        f_divergence: None,
        ld_alpha: None,
        use_weighting: None,
        discopop_tau: None,
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
    for divergence in [FDivergence::ForwardKl, FDivergence::JsDivergence, FDivergence::AlphaDivergence(0.5)] {
        check("f-DPO", &dpo(vec![(Sigmoid, 1.0)], |s| s.f_divergence = Some(divergence)));
    }
}

/// WPO's weights have no gradient: each pair's slopes are those without it, times the pair's weight.
#[test]
fn weights_of_pairs_scale_their_slopes() {
    let log_prob = log_probs(Ask::Answers);
    let (_, plain) = at(&dpo(vec![(DpoLoss::Sigmoid, 1.0)], |_| {}), &log_prob);
    let (_, weighted) = at(&dpo(vec![(DpoLoss::Sigmoid, 1.0)], |s| s.use_weighting = Some(true)), &log_prob);
    let mut first = 0;
    for family in families() {
        let mut weight = 1.0;
        let mut targets = first..first;
        for branch in &family.branches {
            let own = targets.end..targets.end + branch.tokens.len();
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
        let settings = CpoSettings { beta: 0.3, loss, cpo_alpha: 0.5, label_smoothing: 0.1 };
        check(&format!("CPO {loss:?}"), &Cpo(settings));
    }
    for alpha in [None, Some(0.5)] {
        let settings =
            SimpoSettings { beta: 2.0, simpo_gamma: 0.8, cpo_alpha: 0.5, label_smoothing: 0.1, alpha };
        check("SimPO", &Simpo(settings));
    }
    for nll in [OrpoNll::Completion, OrpoNll::Full] {
        check(&format!("ORPO {nll:?}"), &Orpo(OrpoSettings { beta: 0.3, nll }));
    }
}

/// The KL has no gradient: its branch has none, and it is held while the others move.
#[test]
fn kto() {
    let kto = |loss| {
        let settings = KtoSettings {
            reference: None,
            beta: 0.3,
            loss,
            desirable_weight: 1.2,
            undesirable_weight: 0.7,
            unpair: false,
        };
        Kto::new(&settings, None).with_reference(reference())
    };
    for loss in [KtoLoss::Kto, KtoLoss::ApoZeroUnpaired] {
        let objective = kto(loss);
        let log_prob = log_probs(Ask::Answers);
        let (_, slopes) = at(&objective, &log_prob);
        // targets of the first branches; the second ones are the KL's
        let answers: Vec<usize> = (0..4).chain(11..16).chain(18..21).collect();
        for (i, slope) in slopes.iter().enumerate() {
            if !answers.contains(&i) {
                assert_eq!(*slope, 0.0, "target {i}");
                continue;
            }
            let moved = |by: f64| {
                let mut moved = log_prob.clone();
                moved[i] += by;
                at(&objective, &moved).0
            };
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            assert!((slope - difference).abs() < 1e-7, "{loss:?}, target {i}: {slope}, {difference}");
        }
    }
}
