//! Folders that load as they should, and what is said of them: every combination of ways to write the
//! same model has its loss.

use std::fs;

use serde_json::{Value, json};

use super::folder::{Copy, EMBEDDING, HEAD, MODELS, Stored, Weights};
use super::losses::{PLAIN, assert_loss};

/// One way to write a model in another form: how, and words of the warning about it, if there is one.
type Form = (&'static str, fn(&Copy), Option<&'static str>);

const FORMS: [Form; 10] = [
    ("as it is", |_| {}, None),
    ("shards", |copy| copy.shards(3), None),
    ("without `model.`", |copy| copy.weights(without_prefix), None),
    ("float64", |copy| copy.weights(|weights| weights.values_mut().for_each(|w| *w = w.as_f64())), None),
    (
        "some in float64",
        |copy| copy.weights(|weights| weights.values_mut().step_by(2).for_each(|w| *w = w.as_f64())),
        None,
    ),
    ("buffers", |copy| copy.weights(buffers), None),
    (
        "other weights",
        |copy| copy.weights(|weights| drop(weights.insert("mtp.fc.weight".to_owned(), Stored::zeros(&[2])))),
        Some("mtp.fc.weight"),
    ),
    ("an unknown key", |copy| copy.config(json!({ "frobnicate": 2 })), Some("`frobnicate`")),
    ("a stale shard", |copy| fs::write(copy.file("model-00009-of-00009.safetensors"), "x").unwrap(), None),
    ("dropout", |copy| copy.config(json!({ "attention_dropout": 0.1 })), Some("attention_dropout")),
];

fn without_prefix(weights: &mut Weights) {
    let short = |name: &String| name.strip_prefix("model.").unwrap_or(name).to_owned();
    *weights = weights.iter().map(|(name, stored)| (short(name), stored.clone())).collect();
}

fn buffers(weights: &mut Weights) {
    for name in ["rotary_emb.inv_freq", "masked_bias", "bias"] {
        weights.insert(format!("model.layers.0.self_attn.{name}"), Stored::zeros(&[8]));
    }
}

#[test]
fn every_pair_of_forms_of_every_model_has_its_loss_and_says_what_has_no_effect() {
    let mut folders = 0;
    for (model, plain) in MODELS.iter().zip(PLAIN) {
        for (first, (name, change, warning)) in FORMS.iter().enumerate() {
            for (other, and_change, and_warning) in &FORMS[first + 1..] {
                // one file is dealt out last
                let [one, two] = if *name == "shards" { [and_change, change] } else { [change, and_change] };
                let copy = Copy::of(model);
                one(&copy);
                two(&copy);
                let what = format!("{model}, {name}, {other}");
                let said = copy.opened().unwrap_or_else(|error| panic!("{what}: {error}"));
                let expected: Vec<&str> = [*warning, *and_warning].into_iter().flatten().collect();
                assert_eq!(said.len(), expected.len(), "{what}: {said:?}");
                for words in expected {
                    assert!(said.iter().any(|warning| warning.contains(words)), "{what}: {said:?}");
                }
                assert_loss(&copy, plain, &what);
                folders += 1;
            }
        }
    }
    assert!(folders >= 80, "{folders} folders");
}

#[test]
fn an_index_beside_a_whole_file_is_told_of() {
    let copy = Copy::of("qwen2");
    let whole = fs::read(copy.file("model.safetensors")).unwrap();
    copy.shards(2);
    fs::write(copy.file("model.safetensors"), whole).unwrap();
    let said = copy.opened().unwrap();
    assert!(said.len() == 1 && said[0].contains("model.safetensors.index.json"), "{said:?}");
    assert_loss(&copy, PLAIN[2], "the file counts");
}

#[test]
fn a_weight_in_two_shards_is_told_of() {
    let copy = Copy::of("qwen2");
    copy.shards(2);
    let [one, two] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut weights = super::folder::read_weights(&copy.file(one));
    weights.extend(super::folder::read_weights(&copy.file(two)));
    super::folder::write_weights(&weights, &copy.file(two));
    assert!(copy.opened().unwrap().iter().any(|warning| warning.contains(EMBEDDING)));
    assert_loss(&copy, PLAIN[2], "twice");
}

#[test]
fn a_padded_table_loads_and_an_untied_model_without_a_head_scores_alone() {
    for model in MODELS {
        let copy = Copy::of(model);
        copy.config(json!({ "vocab_size": 576 }));
        copy.weights(|weights| {
            for name in [EMBEDDING, HEAD] {
                if let Some(table) = weights.get_mut(name) {
                    *table = table.rows(576);
                }
            }
        });
        assert_eq!(copy.opened().unwrap(), Vec::<String>::new(), "{model}");
        assert!(copy.loss().is_ok());

        let copy = Copy::of(model);
        copy.config(json!({ "tie_word_embeddings": false }));
        copy.weights(|weights| drop(weights.remove(HEAD)));
        assert!(copy.opened().is_ok(), "{model}: enough for a reward model");
        let error = copy.loss().unwrap_err();
        assert!(error.contains(HEAD), "{error}");
    }
}

#[test]
fn keys_of_rope_that_have_no_effect_are_told_of() {
    let copy = Copy::of("llama3");
    copy.json("config.json", |config| {
        config["rope_parameters"]["attention_factor"] = Value::from(2.0);
    });
    let said = copy.opened().unwrap();
    assert!(said.len() == 1 && said[0].contains("rope_parameters.attention_factor"), "{said:?}");
    assert_loss(&copy, PLAIN[0], "attention_factor");
}
