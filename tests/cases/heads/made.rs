//! Reward models as transformers and PEFT save them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::json;

use crate::adapters::made::{Made, value};
use crate::adapters::workspace::{copy_model, edit_json};

/// A golden model as `…ForSequenceClassification`: with `score.weight`, without `lm_head.weight`.
pub fn classifier(model: &str, labels: usize, folder: &Path) {
    copy_model(model, folder);
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let hidden = stored.tensor("model.norm.weight").unwrap().shape()[0];
    let score: Vec<u8> =
        (0..(labels * hidden) as u64).flat_map(|i| value("score.weight", i, 0.5).to_le_bytes()).collect();
    let score = TensorView::new(Dtype::F32, vec![labels, hidden], &score).unwrap();
    let mut views: BTreeMap<&str, TensorView<'_>> =
        stored.iter().filter(|(name, _)| *name != "lm_head.weight").collect();
    views.insert("score.weight", score);
    serialize_to_file(views, Some([("format".to_owned(), "pt".to_owned())].into()), &path).unwrap();
    edit_json(&folder.join("config.json"), |config| {
        let class = config["architectures"][0].as_str().unwrap().replace("ForCausalLM", "");
        config["architectures"] = json!([format!("{class}ForSequenceClassification")]);
        config["id2label"] = json!({ "0": "LABEL_0" });
    });
}

/// An adapter of a golden model as sequence classifier, on q and v.
pub fn adapter(model: &str) -> Made {
    let made = Made::plain(model);
    let [_, hidden] = made.table();
    made.tensor("score.weight", &[1, hidden])
        .with("task_type", json!("SEQ_CLS"))
        .with("modules_to_save", json!(["classifier", "score"]))
}

/// Takes the second half of a file away.
pub fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// A value head alone.
pub fn head_of(model: &str, path: &Path) {
    let [_, hidden] = Made::plain(model).table();
    let shapes = BTreeMap::from([("v_head.summary.weight".to_owned(), vec![1, hidden])]);
    crate::adapters::made::write(path, &shapes, 0.5);
}
