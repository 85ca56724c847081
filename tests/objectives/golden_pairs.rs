//! Every entry of `pairs` in the golden file. An entry or a parameter that has no code here fails.

use runner::objective::cpo::{CpoLoss, CpoParameters};
use runner::objective::dpo::{DpoLoss, DpoParameters};
use runner::objective::f_divergence::FDivergence;
use runner::objective::kto::{KtoLoss, KtoParameters, LabelledAnswer};
use runner::objective::nll::nll;
use runner::objective::pair::{Pair, PairLoss};
use runner::objective::simpo::SimpoParameters;
use runner::objective::{cpo, dpo, kto, orpo, reward, simpo};
use serde_json::Value;

use crate::batch::{all_close, cases, close, numbers, pairs};

/// Loss of a micro-batch and its gradient with respect to each side's sums (or scores).
struct Got {
    loss: f64,
    d_chosen: Vec<f64>,
    d_rejected: Vec<f64>,
}

impl Got {
    fn mean(losses: &[PairLoss]) -> Got {
        let n = losses.len() as f64;
        Got {
            loss: losses.iter().map(|l| l.loss).sum::<f64>() / n,
            d_chosen: losses.iter().map(|l| l.d_chosen / n).collect(),
            d_rejected: losses.iter().map(|l| l.d_rejected / n).collect(),
        }
    }

    /// Adds `weight` times the token mean of the chosen answers' NLL.
    fn and_nll(mut self, pairs: &[Pair], weight: f64) -> Got {
        let tokens = pairs.iter().map(|p| p.chosen_tokens).sum::<f64>() as usize;
        for (pair, d_chosen) in pairs.iter().zip(&mut self.d_chosen) {
            let (loss, slope) = nll(pair.policy_chosen, tokens);
            self.loss += weight * loss;
            *d_chosen += weight * slope;
        }
        self
    }
}

#[test]
fn every_entry_equals_trl() {
    for case in cases() {
        let keys: Vec<&str> = case.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["seed", "inputs", "pairs", "ppo"]);
        let entries = case["pairs"].as_object().unwrap();
        assert_eq!(entries.len(), 29);
        for (name, want) in entries {
            let got = evaluate(name, &case, want);
            let gradient = |sums: &str, scores: &str| numbers(want.get(sums).unwrap_or(&want[scores]));
            close(got.loss, want["loss"].as_f64().unwrap(), name);
            all_close(&got.d_chosen, &gradient("d_policy_chosen", "d_chosen"), name);
            all_close(&got.d_rejected, &gradient("d_policy_rejected", "d_rejected"), name);
        }
    }
}

fn evaluate(name: &str, case: &Value, want: &Value) -> Got {
    let batch = pairs(case);
    let parameter = |key: &str| want["params"][key].as_f64().unwrap_or(0.0);
    let beta = parameter("beta");
    let allow = |keys: &[&str]| {
        for key in want["params"].as_object().unwrap().keys() {
            assert!(keys.contains(&key.as_str()), "{name}: no code here for `{key}`");
        }
    };
    let group = name.split('.').next().unwrap();
    match group {
        "dpo" => {
            let divergence = ["f_divergence", "f_alpha"];
            allow(
                &[["beta", "label_smoothing", "discopop_tau", "rpo_alpha"].as_slice(), &divergence].concat(),
            );
            let parameters = DpoParameters {
                beta,
                label_smoothing: parameter("label_smoothing"),
                f_divergence: f_divergence(want["params"].get("f_divergence")),
                f_alpha_divergence_coef: parameter("f_alpha"),
                discopop_tau: parameter("discopop_tau"),
            };
            let losses = dpo::losses(dpo_loss(name), &batch, &parameters);
            Got::mean(&losses).and_nll(&batch, parameter("rpo_alpha"))
        }
        "cpo" => {
            allow(&["beta", "cpo_alpha"]);
            let loss_type: CpoLoss = serde_json::from_value(name["cpo.".len()..].into()).unwrap();
            let parameters = CpoParameters { loss_type, beta, label_smoothing: 0.0 };
            Got::mean(&batch.iter().map(|pair| cpo::loss(pair, &parameters)).collect::<Vec<_>>())
                .and_nll(&batch, parameter("cpo_alpha"))
        }
        "simpo" => {
            allow(&["beta", "simpo_gamma", "cpo_alpha"]);
            let simpo_gamma = parameter("simpo_gamma");
            let parameters = SimpoParameters { beta, simpo_gamma, label_smoothing: 0.0, alpha: 0.0 };
            let losses: Vec<_> = batch.iter().map(|p| simpo::loss(p, &parameters)).collect();
            Got::mean(&losses).and_nll(&batch, parameter("cpo_alpha"))
        }
        "orpo" => {
            allow(&["beta", "nll"]);
            assert_eq!(want["params"]["nll"], "completion");
            let losses: Vec<_> = batch.iter().map(|p| orpo::odds_ratio(p, beta).term).collect();
            Got::mean(&losses).and_nll(&batch, 1.0)
        }
        "kto" => {
            allow(&["beta", "desirable_weight", "undesirable_weight", "rows", "kl"]);
            kto_rows(case, want, &batch)
        }
        "rm" => {
            allow(&["margin", "center_rewards_coefficient"]);
            let [chosen, rejected] = ["chosen_scores", "rejected_scores"].map(|key| numbers(&want[key]));
            let margin = numbers(&want["params"]["margin"]);
            let coefficient = parameter("center_rewards_coefficient");
            let pair = |i: usize| reward::loss(chosen[i], rejected[i], margin[i], coefficient);
            Got::mean(&(0..chosen.len()).map(pair).collect::<Vec<_>>())
        }
        _ => panic!("no code here for `{name}`"),
    }
}

fn f_divergence(written: Option<&Value>) -> FDivergence {
    written.map_or(FDivergence::ReverseKl, |name| serde_json::from_value(name.clone()).unwrap())
}

/// `dpo.LOSS` or `dpo.sigmoid.VARIANT`; `dpo.rpo` is the sigmoid loss with an NLL.
fn dpo_loss(name: &str) -> DpoLoss {
    let loss = name.split('.').nth(1).unwrap();
    match loss {
        "rpo" => DpoLoss::Sigmoid,
        _ => serde_json::from_value(loss.into()).unwrap(),
    }
}

/// Chosen answers as desirable rows, rejected ones as undesirable.
fn kto_rows(case: &Value, want: &Value, batch: &[Pair]) -> Got {
    let parameter = |key: &str| want["params"][key].as_f64().unwrap();
    let [policy, reference] = ["kl_policy", "kl_reference"].map(|key| numbers(&case["inputs"][key]));
    let kl = kto::kl(policy.into_iter().zip(reference));
    close(kl, parameter("kl"), "kto's kl");
    let parameters = KtoParameters {
        loss_type: KtoLoss::Kto,
        beta: parameter("beta"),
        desirable_weight: parameter("desirable_weight"),
        undesirable_weight: parameter("undesirable_weight"),
    };
    let row = |log_ratio: f64, desirable: bool| {
        kto::loss(&LabelledAnswer { log_ratio, desirable }, kl, &parameters)
    };
    let rows: Vec<_> = batch
        .iter()
        .map(|pair| {
            let (chosen, rejected) = pair.log_ratios();
            let (desirable, undesirable) = (row(chosen, true), row(rejected, false));
            // Two rows each: half of a mean over pairs.
            PairLoss {
                loss: 0.5 * (desirable.0 + undesirable.0),
                d_chosen: 0.5 * desirable.1,
                d_rejected: 0.5 * undesirable.1,
            }
        })
        .collect();
    Got::mean(&rows)
}

/// Rewards are metrics: TRL's traces hold them, here their definition is checked by hand.
#[test]
fn rewards_are_what_the_metrics_name() {
    let pair = Pair {
        policy_chosen: -8.0,
        policy_rejected: -9.0,
        reference_chosen: -10.0,
        reference_rejected: -6.0,
        chosen_tokens: 4.0,
        rejected_tokens: 3.0,
    };
    assert_eq!(pair.rewards(0.5), (1.0, -1.5));
    let cpo_rewards =
        |loss_type| cpo::rewards(&pair, &CpoParameters { loss_type, beta: 0.5, label_smoothing: 0.0 });
    assert_eq!(cpo_rewards(CpoLoss::Sigmoid), (-4.0, -4.5));
    assert_eq!(cpo_rewards(CpoLoss::Hinge), (-4.0, -4.5));
    assert_eq!(cpo_rewards(CpoLoss::Ipo), (-1.0, -1.5));
    let simpo = |alpha| SimpoParameters { beta: 2.0, simpo_gamma: 1.0, label_smoothing: 0.0, alpha };
    assert_eq!(simpo::rewards(&pair, &simpo(0.0)), (-4.0, -6.0));
    let (chosen, rejected) = simpo::rewards(&pair, &simpo(0.25));
    close(chosen, 2.0 * (1.0 - 0.5_f64.exp()) / 0.25, "AlphaPO, L̄ = −2");
    close(rejected, 2.0 * (1.0 - 0.75_f64.exp()) / 0.25, "AlphaPO, L̄ = −3");
}
