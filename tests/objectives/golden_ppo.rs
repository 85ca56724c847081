//! `ppo` of the golden file: one update from log-probs and values to both losses and their gradients.

use runner::objective::ppo;
use runner::objective::ppo::KlEstimator;
use serde_json::Value;

use crate::batch::{all_close, cases, close, numbers};

/// The responses of a padded table, without their padding.
fn responses(ppo: &Value, key: &str) -> Vec<Vec<f64>> {
    let rows = ppo[key].as_array().unwrap();
    let lengths = numbers(&ppo["lengths"]);
    let cut = |(row, length): (&Value, &f64)| numbers(row)[..*length as usize].to_vec();
    rows.iter().zip(&lengths).map(cut).collect()
}

#[test]
fn every_number_is_that_of_the_formulas() {
    let known = "params lengths old_logprobs reference_logprobs old_values scores rewards advantages \
                 returns whitened_advantages new_logprobs new_values policy_loss value_loss loss \
                 d_new_logprobs d_new_values approxkl clipfrac kl";
    for case in cases() {
        let ppo = &case["ppo"];
        let keys: Vec<&str> = ppo.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, known.split_whitespace().collect::<Vec<_>>());
        assert_eq!(ppo["params"]["whiten_rewards"], false);
        let parameter = |key: &str| ppo["params"][key].as_f64().unwrap();
        let table = |key: &str| responses(ppo, key);
        let [old, reference, values] = ["old_logprobs", "reference_logprobs", "old_values"].map(table);
        let (mut advantages, mut returns, mut kl) = (Vec::new(), Vec::new(), 0.0);
        for (i, score) in numbers(&ppo["scores"]).into_iter().enumerate() {
            let rewards =
                ppo::token_rewards(&old[i], &reference[i], score, parameter("kl_coef"), KlEstimator::K1);
            all_close(&rewards, &table("rewards")[i], "rewards");
            let (a, r) = ppo::advantages(&rewards, &values[i], parameter("gamma"), parameter("lam"));
            all_close(&a, &table("advantages")[i], "advantages");
            all_close(&r, &table("returns")[i], "returns");
            advantages.extend(a);
            returns.extend(r);
            let tokens = old[i].iter().zip(&reference[i]);
            kl += tokens.map(|(&o, &r)| ppo::kl(KlEstimator::K1, o, r)).sum::<f64>() / old.len() as f64;
        }
        close(kl, ppo["kl"].as_f64().unwrap(), "kl");
        ppo::whiten(&mut advantages, false);
        all_close(&advantages, &table("whitened_advantages").concat(), "whitened advantages");

        let flat = |key: &str| table(key).concat();
        let policy =
            ppo::policy_loss(&flat("new_logprobs"), &old.concat(), &advantages, parameter("cliprange"));
        let value =
            ppo::value_loss(&flat("new_values"), &values.concat(), &returns, parameter("cliprange_value"));
        let want = |key: &str| ppo[key].as_f64().unwrap();
        let vf_coef = parameter("vf_coef");
        close(policy.loss, want("policy_loss"), "policy loss");
        close(value.loss, want("value_loss"), "value loss");
        close(policy.loss + vf_coef * value.loss, want("loss"), "loss");
        close(policy.approxkl, want("approxkl"), "approxkl");
        close(policy.clipfrac, want("clipfrac"), "clipfrac");
        all_close(&policy.d_log_probs, &flat("d_new_logprobs"), "gradient of log-probs");
        let d_values: Vec<f64> = value.d_values.iter().map(|d| vf_coef * d).collect();
        all_close(&d_values, &flat("d_new_values"), "gradient of values");
    }
}
