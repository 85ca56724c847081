//! Each gradient against central differences, at the golden points and on a grid beyond them, with
//! smoothing, f-divergences and AlphaPO's transform.

use runner::objective::cpo::{CpoLoss, CpoParameters};
use runner::objective::dpo::{DpoLoss, DpoParameters};
use runner::objective::f_divergence::FDivergence;
use runner::objective::kto::{KtoLoss, KtoParameters, LabelledAnswer};
use runner::objective::pair::{Pair, PairLoss};
use runner::objective::simpo::SimpoParameters;
use runner::objective::{cpo, dpo, kto, orpo, ppo, reward, simpo};

use crate::batch::{cases, grid, pairs};

pub const DPO_LOSSES: [DpoLoss; 14] = [
    DpoLoss::Sigmoid,
    DpoLoss::Hinge,
    DpoLoss::Ipo,
    DpoLoss::ExoPair,
    DpoLoss::NcaPair,
    DpoLoss::Robust,
    DpoLoss::BcoPair,
    DpoLoss::SppoHard,
    DpoLoss::Aot,
    DpoLoss::AotUnpaired,
    DpoLoss::ApoZero,
    DpoLoss::ApoDown,
    DpoLoss::Discopop,
    DpoLoss::SigmoidNorm,
];

/// Divergences, the last one with several α.
pub const DIVERGENCES: [(FDivergence, f64); 6] = [
    (FDivergence::ReverseKl, 0.5),
    (FDivergence::ForwardKl, 0.5),
    (FDivergence::JsDivergence, 0.5),
    (FDivergence::AlphaDivergence, 0.5),
    (FDivergence::AlphaDivergence, 1.0),
    (FDivergence::AlphaDivergence, 1.7),
];

/// Fourth-order central difference of `f` at 0, which is exact to h⁴.
fn difference(f: impl Fn(f64) -> f64) -> f64 {
    let h = 2e-4;
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

#[track_caller]
fn agree(got: f64, want: f64, what: &str) {
    assert!((got - want).abs() <= 2e-7 * want.abs().max(1.0), "{what}: {got}, differences give {want}");
}

/// Compares the gradients of the sum over a micro-batch.
fn check(what: &str, batch: &[Pair], losses: impl Fn(&[Pair]) -> Vec<PairLoss>) {
    let sum_with = |i: usize, chosen: f64, rejected: f64| {
        let mut moved = batch.to_vec();
        moved[i].policy_chosen += chosen;
        moved[i].policy_rejected += rejected;
        losses(&moved).iter().map(|l| l.loss).sum::<f64>()
    };
    for (i, got) in losses(batch).iter().enumerate() {
        agree(got.d_chosen, difference(|h| sum_with(i, h, 0.0)), &format!("{what}, chosen {i}"));
        agree(got.d_rejected, difference(|h| sum_with(i, 0.0, h)), &format!("{what}, rejected {i}"));
    }
}

fn batches() -> Vec<Vec<Pair>> {
    cases().iter().map(pairs).chain([grid()]).collect()
}

#[test]
fn of_dpo_and_its_variants() {
    for batch in batches() {
        for loss in DPO_LOSSES {
            for (f_divergence, f_alpha_divergence_coef) in DIVERGENCES {
                for (beta, label_smoothing) in [(0.1, 0.2), (0.7, 0.01)] {
                    let p = DpoParameters {
                        beta,
                        label_smoothing,
                        f_divergence,
                        f_alpha_divergence_coef,
                        discopop_tau: 0.4,
                    };
                    check(&format!("{loss:?} {p:?}"), &batch, |b| dpo::losses(loss, b, &p));
                }
            }
        }
    }
}

#[test]
fn of_losses_without_a_reference() {
    for batch in batches() {
        for (beta, label_smoothing) in [(0.1, 0.0), (2.0, 0.2)] {
            for loss in [CpoLoss::Sigmoid, CpoLoss::Hinge, CpoLoss::Ipo] {
                check(&format!("CPO {loss:?}"), &batch, |b| {
                    b.iter()
                        .map(|pair| {
                            cpo::loss(pair, &CpoParameters { loss_type: loss, beta, label_smoothing })
                        })
                        .collect()
                });
            }
            for alpha in [0.0, 0.3, -0.5] {
                let p = SimpoParameters { beta, simpo_gamma: 1.2, label_smoothing, alpha };
                check(&format!("{p:?}"), &batch, |b| b.iter().map(|x| simpo::loss(x, &p)).collect());
            }
            check("ORPO", &batch, |b| b.iter().map(|x| orpo::odds_ratio(x, beta).term).collect());
        }
    }
}

#[test]
fn of_orpo_on_both_sides_of_ln_2() {
    for mean in [-0.03, -0.6, -0.69, -0.7, -9.0] {
        let pair = Pair { policy_chosen: mean, policy_rejected: 3.0 * mean, ..Pair::default() };
        let pair = Pair { chosen_tokens: 1.0, rejected_tokens: 2.0, ..pair };
        let got = orpo::odds_ratio(&pair, 0.5);
        assert_eq!(got.term.loss, -0.5 * got.log_sigmoid);
        // Straight from the definition: odds p/(1−p).
        let log_odds = |mean: f64| (mean.exp() / (1.0 - mean.exp())).ln();
        agree(got.log_odds, log_odds(mean) - log_odds(1.5 * mean), "log-odds");
        if mean < -0.5 {
            check("ORPO", &[pair], |b| b.iter().map(|x| orpo::odds_ratio(x, 0.5).term).collect());
        }
    }
}

#[test]
fn of_kto() {
    for loss in [KtoLoss::Kto, KtoLoss::ApoZeroUnpaired] {
        let parameters =
            KtoParameters { loss_type: loss, beta: 0.4, desirable_weight: 1.0, undesirable_weight: 1.33 };
        for desirable in [true, false] {
            for (log_ratio, kl) in [(-7.0, 0.0), (-0.3, 1.5), (0.2, 0.1), (11.0, 4.0)] {
                let at = |h: f64| {
                    let row = LabelledAnswer { log_ratio: log_ratio + h, desirable };
                    kto::loss(&row, kl, &parameters)
                };
                agree(at(0.0).1, difference(|h| at(h).0), &format!("{loss:?} {desirable} {log_ratio}"));
            }
        }
    }
}

#[test]
fn of_the_reward_model() {
    for (chosen, rejected) in [(1.5, -0.3), (-4.0, 2.0), (0.1, 0.1)] {
        for (margin, coefficient) in [(0.0, 0.0), (0.7, 0.05)] {
            let loss = |dc: f64, dr: f64| reward::loss(chosen + dc, rejected + dr, margin, coefficient);
            let got = loss(0.0, 0.0);
            agree(got.d_chosen, difference(|h| loss(h, 0.0).loss), "chosen score");
            agree(got.d_rejected, difference(|h| loss(0.0, h).loss), "rejected score");
        }
    }
}

#[test]
fn of_ppo() {
    let log_ratios = [-1.0, -0.3, -0.1, 0.05, 0.4, 0.9];
    let old = [-2.0, -0.4, -1.0, -3.0, -0.7, -1.1];
    let values = [0.3, -0.9, 0.05, 2.0, 0.6, -0.1];
    for sign in [1.0, -1.0] {
        let advantages = [0.7, -1.3, 0.2, 2.0, -0.4, 1.1].map(|a| sign * a);
        let new: Vec<f64> = old.iter().zip(log_ratios).map(|(o, r)| o + r).collect();
        let moved_values: Vec<f64> = values.iter().zip(log_ratios).map(|(v, r)| v + r).collect();
        for i in 0..new.len() {
            let moved = |from: &[f64], h: f64| {
                let mut to = from.to_vec();
                to[i] += h;
                to
            };
            let policy = |h: f64| ppo::policy_loss(&moved(&new, h), &old, &advantages, 0.2);
            agree(policy(0.0).d_log_probs[i], difference(|h| policy(h).loss), "log-prob");
            let value = |h: f64| ppo::value_loss(&moved(&moved_values, h), &values, &advantages, 0.2);
            agree(value(0.0).d_values[i], difference(|h| value(h).loss), "value");
        }
    }
}
