//! Inputs that training should never see leave losses and gradients finite; NaN is not hidden.

use runner::objective::cpo::{CpoLoss, CpoParameters};
use runner::objective::dpo::{DpoLoss, DpoParameters};
use runner::objective::f_divergence::FDivergence;
use runner::objective::kto::{KtoLoss, KtoParameters, LabelledAnswer};
use runner::objective::margin::hinge;
use runner::objective::pair::{Pair, PairLoss};
use runner::objective::ppo::KlEstimator;
use runner::objective::simpo::SimpoParameters;
use runner::objective::{cpo, dpo, kto, orpo, ppo, reward, simpo};

use crate::batch::assert_finite;
use crate::differences::{DIVERGENCES, DPO_LOSSES};

const FAR: [f64; 3] = [-1e4, 0.0, 1e4];

/// Each of `sums` with each, as the policy's.
fn pairs(sums: &[f64]) -> Vec<Pair> {
    let pair = |chosen: f64, rejected: f64| Pair {
        policy_chosen: chosen,
        policy_rejected: rejected,
        chosen_tokens: 1.0,
        rejected_tokens: 1.0,
        ..Pair::default()
    };
    sums.iter().flat_map(|&c| sums.iter().map(move |&r| pair(c, r))).collect()
}

#[test]
fn log_ratios_of_ten_thousand() {
    let batch = pairs(&FAR);
    for loss in DPO_LOSSES {
        for (f_divergence, f_alpha_divergence_coef) in DIVERGENCES {
            for beta in [0.1, 1.0] {
                let p = DpoParameters {
                    beta,
                    label_smoothing: 0.1,
                    f_divergence,
                    f_alpha_divergence_coef,
                    discopop_tau: 0.05,
                };
                assert_finite(&dpo::losses(loss, &batch, &p), &format!("{loss:?} {p:?}"));
            }
        }
    }
    for loss in [CpoLoss::Sigmoid, CpoLoss::Hinge, CpoLoss::Ipo] {
        assert_finite(
            &batch
                .iter()
                .map(|pair| {
                    cpo::loss(pair, &CpoParameters { loss_type: loss, beta: 1.0, label_smoothing: 0.1 })
                })
                .collect::<Vec<_>>(),
            &format!("{loss:?}"),
        );
    }
    for alpha in [0.0, 0.25, -0.25] {
        let p = SimpoParameters { beta: 2.0, simpo_gamma: 1.0, label_smoothing: 0.1, alpha };
        let losses: Vec<PairLoss> = batch.iter().map(|pair| simpo::loss(pair, &p)).collect();
        assert_finite(&losses, &format!("{p:?}"));
    }
    for pair in &batch {
        assert_finite(&[reward::loss(pair.policy_chosen, pair.policy_rejected, 1.0, 0.01)], "reward");
    }
}

#[test]
fn far_limits_are_the_formulas() {
    let p = DpoParameters { beta: 1.0, ..DpoParameters::default() };
    let far = |loss: DpoLoss, chosen: f64| {
        let pair = Pair { policy_chosen: chosen, ..Pair::default() };
        let PairLoss { loss, d_chosen, d_rejected } = dpo::losses(loss, &[pair], &p)[0];
        (loss, d_chosen, d_rejected)
    };
    assert_eq!(far(DpoLoss::Sigmoid, -1e4), (1e4, -1.0, 1.0));
    assert_eq!(far(DpoLoss::Sigmoid, 1e4), (0.0, 0.0, 0.0));
    assert_eq!(far(DpoLoss::Discopop, -1e4), (1e4, -1.0, 1.0));
    assert_eq!(far(DpoLoss::Discopop, 1e4), (0.0, 0.0, 0.0));
    assert_eq!(far(DpoLoss::Hinge, 1.0), (0.0, 0.0, 0.0));
    assert_eq!(far(DpoLoss::Sft, -3.0), (0.0, 0.0, 0.0));
    let rows = [true, false].map(|desirable| LabelledAnswer { log_ratio: -1e4, desirable });
    let parameters =
        KtoParameters { loss_type: KtoLoss::Kto, beta: 1.0, desirable_weight: 2.0, undesirable_weight: 3.0 };
    assert_eq!(rows.map(|row| kto::loss(&row, 0.5, &parameters)), [(2.0, 0.0), (0.0, 0.0)]);
}

/// Past e⁸⁰ a score no longer moves.
#[test]
fn exponents_end_at_80() {
    for (divergence, alpha, ratio) in [
        (FDivergence::ForwardKl, 0.5, -80.5),
        (FDivergence::AlphaDivergence, 0.5, -161.0),
        (FDivergence::AlphaDivergence, 3.0, 40.5),
    ] {
        let p = DpoParameters {
            beta: 1e-34,
            f_divergence: divergence,
            f_alpha_divergence_coef: alpha,
            ..DpoParameters::default()
        };
        let at = |ratio: f64| {
            let pair = Pair { policy_chosen: ratio, ..Pair::default() };
            dpo::losses(DpoLoss::Sigmoid, &[pair], &p)[0]
        };
        assert_eq!(at(ratio).d_chosen, 0.0, "{divergence:?}");
        assert_eq!(at(ratio).loss, at(100.0 * ratio).loss, "{divergence:?}");
        assert!(at(0.98 * ratio).d_chosen < 0.0, "{divergence:?}");
    }
}

#[test]
fn odds_of_certain_and_of_impossible_answers() {
    let batch = pairs(&[0.0, -1e-300, -1e-12, -1e-3, -1.0, -1e4]);
    for pair in &batch {
        let got = orpo::odds_ratio(pair, 0.1);
        assert_finite(&[got.term], &format!("{pair:?}"));
        assert!(got.log_odds.is_finite() && got.log_sigmoid <= 0.0 && got.log_sigmoid.is_finite());
        let (d_chosen, d_rejected) = (got.term.d_chosen, got.term.d_rejected);
        assert!(d_chosen <= 0.0 && d_rejected >= 0.0, "{pair:?}: {d_chosen}, {d_rejected}");
    }
}

#[test]
fn mismatched_completions_that_the_policy_likes_less_count_as_zero() {
    assert_eq!(kto::kl(std::iter::empty()), 0.0);
    assert_eq!(kto::kl([(-5.0, -3.0), (-1.0, -2.0)].into_iter()), 0.0);
    assert_eq!(kto::kl([(-3.0, -5.0), (-2.0, -1.0)].into_iter()), 0.5);
}

#[test]
fn ratios_of_ten_thousand_nats() {
    for log_ratio in FAR {
        for advantage in [-1.0, 0.0, 1.0] {
            let got = ppo::policy_loss(&[log_ratio, 0.0], &[0.0, 0.0], &[advantage, 1.0], 0.2);
            assert!(got.loss.is_finite() && got.d_log_probs.iter().all(|d| d.is_finite()), "{got:?}");
            assert!(got.ratio_mean.is_finite() && got.ratio_variance.is_finite(), "{got:?}");
        }
        assert!(ppo::kl(KlEstimator::K3, log_ratio, 0.0).is_finite());
    }
    let empty = ppo::policy_loss(&[], &[], &[], 0.2);
    assert_eq!((empty.loss, empty.ratio_mean, empty.ratio_variance), (0.0, 0.0, 0.0));
}

#[test]
fn nan_stays_nan() {
    let nan = f64::NAN;
    let pair = Pair { policy_chosen: nan, ..Pair::default() };
    for loss in DPO_LOSSES {
        for (f_divergence, f_alpha_divergence_coef) in DIVERGENCES {
            let p = DpoParameters {
                beta: 1.0,
                label_smoothing: 0.1,
                f_divergence,
                f_alpha_divergence_coef,
                discopop_tau: 1.0,
            };
            assert!(dpo::losses(loss, &[pair], &p)[0].loss.is_nan(), "{loss:?} {f_divergence:?}");
        }
    }
    assert!(orpo::odds_ratio(&pair, 0.1).term.loss.is_nan());
    assert!(hinge(nan).0.is_nan());
    assert!(kto::kl([(nan, 0.0)].into_iter()).is_nan());
    assert!(ppo::kl(KlEstimator::K3, nan, 0.0).is_nan());
    assert!(ppo::policy_loss(&[nan], &[0.0], &[1.0], 0.2).loss.is_nan());
    assert!(ppo::value_loss(&[nan], &[0.0], &[1.0], 0.2).loss.is_nan());
}
