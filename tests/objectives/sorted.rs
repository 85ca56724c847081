//! AOT's couplings by hand, with ties.

use runner::objective::dpo::{DpoLoss, DpoParameters, losses};
use runner::objective::pair::{Pair, PairLoss};

use crate::batch::close;

fn parameters() -> DpoParameters {
    DpoParameters { beta: 1.0, ..DpoParameters::default() }
}

fn sigmoid_of(margin: f64) -> (f64, f64) {
    ((1.0 + (-margin).exp()).ln(), -1.0 / (1.0 + margin.exp()))
}

fn assert_sides(got: &[PairLoss], chosen: &[f64], rejected: &[f64]) {
    let sum: f64 = got.iter().map(|l| l.loss).sum();
    close(sum, chosen.iter().map(|margin| sigmoid_of(*margin).0).sum(), "sum of losses");
    for ((got, chosen), rejected) in got.iter().zip(chosen).zip(rejected) {
        close(got.d_chosen, sigmoid_of(*chosen).1, "chosen");
        close(got.d_rejected, -sigmoid_of(*rejected).1, "rejected");
    }
}

#[test]
fn policy_margins_meet_reference_margins_of_their_rank() {
    let pair = |policy: f64, reference: f64| Pair {
        policy_chosen: policy,
        reference_chosen: reference,
        ..Pair::default()
    };
    // Policy 3, 1, 1 has ranks 2, 0, 1; reference 0, 5, 2 sorts to 0, 2, 5.
    let got = losses(DpoLoss::Aot, &[pair(3.0, 0.0), pair(1.0, 5.0), pair(1.0, 2.0)], &parameters());
    assert_sides(&got, &[-2.0, 1.0, -1.0], &[-2.0, 1.0, -1.0]);
}

#[test]
fn chosen_ratios_meet_rejected_ratios_of_their_rank() {
    let pair = |chosen: f64, rejected: f64| Pair {
        policy_chosen: chosen,
        policy_rejected: rejected,
        ..Pair::default()
    };
    // Chosen 1, 1, 0 has ranks 1, 2, 0; rejected 4, −1, 2 has ranks 2, 0, 1.
    let got = losses(DpoLoss::AotUnpaired, &[pair(1.0, 4.0), pair(1.0, -1.0), pair(0.0, 2.0)], &parameters());
    assert_sides(&got, &[-1.0, -3.0, 1.0], &[-3.0, 1.0, -1.0]);
}

#[test]
fn only_the_sorted_losses_couple_pairs() {
    assert!(DpoLoss::Aot.is_sorted() && DpoLoss::AotUnpaired.is_sorted());
    assert!(!DpoLoss::Sigmoid.is_sorted() && !DpoLoss::Sft.is_sorted());
    assert!(losses(DpoLoss::Aot, &[], &parameters()).is_empty());
}
