//! What the golden update does not reach: clipping of the ratio, k3, whitening that keeps the mean, one
//! token.

use runner::objective::ppo;
use runner::objective::ppo::KlEstimator;

use crate::batch::{all_close, close};

#[test]
fn a_token_whose_ratio_left_the_range_is_clipped_only_where_that_costs_more() {
    let ratios: [f64; 5] = [2.0, 2.0, 0.5, 0.5, 1.1];
    let new = ratios.map(f64::ln);
    let got = ppo::policy_loss(&new, &[0.0; 5], &[1.0, -1.0, 1.0, -1.0, 1.0], 0.2);
    close(got.loss, (-1.2 + 2.0 - 0.5 + 0.8 - 1.1) / 5.0, "loss");
    all_close(&got.d_log_probs, &[0.0, 2.0 / 5.0, -0.5 / 5.0, 0.0, -1.1 / 5.0], "gradient");
    assert_eq!(got.clipfrac, 0.4);
    close(got.ratio_mean, 6.1 / 5.0, "mean ratio");
    // Deviations from 1.22: 0.78 and 0.72 twice each, 0.12 once.
    close(got.ratio_variance, (2.0 * 0.6084 + 2.0 * 0.5184 + 0.0144) / 4.0, "variance");
    let logs = 4.0 * 2.0_f64.ln().powi(2) + 1.1_f64.ln().powi(2);
    close(got.approxkl, 0.5 * logs / 5.0, "approxkl");
}

#[test]
fn a_value_that_moved_too_far_is_clipped_only_where_that_costs_more() {
    let got = ppo::value_loss(&[1.0, 1.0, 0.1], &[0.0, 0.0, 0.0], &[2.0, 0.0, 1.0], 0.2);
    close(got.loss, 0.5 * (1.8 * 1.8 + 1.0 + 0.81) / 3.0, "loss");
    all_close(&got.d_values, &[0.0, 1.0 / 3.0, -0.9 / 3.0], "gradient");
    close(got.clipfrac, 1.0 / 3.0, "clipfrac");
}

#[test]
fn k3_of_each_token_and_the_score_at_the_last_one() {
    assert_eq!(ppo::kl(KlEstimator::K1, -1.0, -1.5), 0.5);
    close(ppo::kl(KlEstimator::K3, -1.0, -1.5), (-0.5_f64).exp() - 0.5, "k3");
    let k3 = |k1: f64| (-k1).exp() - 1.0 + k1;
    let got = ppo::token_rewards(&[-1.0, -2.0], &[-1.5, -1.0], 3.0, 0.1, KlEstimator::K3);
    all_close(&got, &[-0.1 * k3(0.5), 3.0 - 0.1 * k3(-1.0)], "rewards");
    assert!(ppo::token_rewards(&[], &[], 3.0, 0.1, KlEstimator::K3).is_empty());
}

#[test]
fn discounts_enter_advantages_and_returns() {
    // δ = [1 + 0.5·3 − 2, 4 − 3], A_0 = δ_0 + 0.5·0.4·δ_1
    let (advantages, returns) = ppo::advantages(&[1.0, 4.0], &[2.0, 3.0], 0.5, 0.4);
    all_close(&advantages, &[0.7, 1.0], "advantages");
    all_close(&returns, &[2.7, 4.0], "returns");
}

#[test]
fn whitening_keeps_the_mean_on_request_and_takes_one_value() {
    let step = 1.0 / (1.0 + 1e-8_f64).sqrt();
    for (keep_mean, mean) in [(false, 0.0), (true, 2.0)] {
        let mut values = [1.0, 2.0, 3.0];
        ppo::whiten(&mut values, keep_mean);
        all_close(&values, &[mean - step, mean, mean + step], "three values");
    }
    for (keep_mean, want) in [(false, 0.0), (true, 5.0)] {
        let mut value = [5.0];
        ppo::whiten(&mut value, keep_mean);
        assert_eq!(value, [want]);
    }
    ppo::whiten(&mut [], false);
}
