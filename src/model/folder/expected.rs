//! Whether stored tensors are the weights that a config makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::stored::Stored;
use super::unread::{layer, listed};
use crate::model::fault::Fault;
use crate::model::weight_table::Weight;

/// Faults of one sort that are listed one by one.
const TOLD: usize = 3;

/// What is wrong with the weights that the decoder needs; `names` has their names in the files.
pub fn check(
    expected: &[Weight],
    names: &BTreeMap<String, String>,
    stored: &Stored,
    files: &[PathBuf],
    folder: &Path,
) -> Vec<Fault> {
    let mut missing = Vec::new();
    let mut faults = Vec::new();
    for weight in expected {
        let Some(name) = names.get(&weight.name) else {
            missing.push(weight.name.as_str());
            continue;
        };
        let (file, tensor) = &stored.tensors[name];
        let file = files[*file].display();
        if tensor.shape != weight.shape {
            let message = format!(
                "`{name}` in `{file}` is {:?}, where `config.json` makes it {:?}",
                tensor.shape, weight.shape
            );
            let help = format!("{} of `config.json` must be those of the weights", weight.keys);
            faults.push(Fault::new(message).with_help(help));
        } else if !tensor.is_float() {
            let message = format!("`{name}` in `{file}` is stored as {:?}", tensor.dtype);
            let help = "weights must be floats: F32, BF16, F16 or F64 (quantised ones cannot be trained)";
            faults.push(Fault::new(message).with_help(help));
        }
    }
    if let Some(more) = faults.len().checked_sub(TOLD).filter(|more| *more > 0) {
        faults.truncate(TOLD);
        faults.push(Fault::new(format!(
            "more weights in `{}` do not fit `config.json`: {more}",
            folder.display()
        )));
    }
    if !missing.is_empty() {
        faults.insert(0, lacking(&missing, expected, stored, folder));
    }
    faults
}

fn lacking(missing: &[&str], expected: &[Weight], stored: &Stored, folder: &Path) -> Fault {
    let fault = Fault::new(format!(
        "the weights in `{}` lack {} of the {} that `config.json` makes: {}",
        folder.display(),
        missing.len(),
        expected.len(),
        listed(missing.iter().copied())
    ));
    // Weights as other tools name them: `module.`, `base_model.model.` and the like before each.
    let ending = |name: &str| missing.iter().find_map(|wanted| name.strip_suffix(wanted).map(str::to_owned));
    if let Some(prefix) = stored.tensors.keys().find_map(|name| ending(name)) {
        return fault.with_help(format!("take the `{prefix}` off the names in the files"));
    }
    let layers = |names: &mut dyn Iterator<Item = &str>| names.filter_map(layer).max().map(|last| last + 1);
    let found = layers(&mut stored.tensors.keys().map(String::as_str));
    let wanted = layers(&mut expected.iter().map(|weight| weight.name.as_str()));
    match (found, wanted) {
        (Some(found), Some(wanted)) if found < wanted => fault.with_help(format!(
            "the weights have {found} layers: set `num_hidden_layers` to that if they are all, or get the rest"
        )),
        _ => fault.with_help("get the model's files again, whole"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use anyhow::Result;
    use candle_core::{DType, Device, Tensor};
    use serde_json::json;

    use crate::backend::Compute;
    use crate::model::arch::Architecture;
    use crate::model::config::Config;
    use crate::model::weight_table::weight_table;
    use crate::model::weights::{Weights, build};

    /// Remembers what it is asked for.
    #[derive(Default)]
    struct Asked(RefCell<BTreeSet<(String, Vec<usize>)>>);

    impl Weights for Asked {
        fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
            assert!(self.0.borrow_mut().insert((name.to_owned(), shape.to_vec())), "{name} twice");
            Ok(Tensor::zeros(shape, DType::F32, &Device::Cpu)?)
        }
    }

    #[test]
    fn a_decoder_is_built_of_the_weights_of_the_table() {
        for family in Architecture::ALL.map(Architecture::model_type) {
            let config = Config::from_json(json!({
                "model_type": family, "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2, "head_dim": 6,
                "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 5,
            }))
            .unwrap();
            let asked = Asked::default();
            build(config.clone(), &asked, false, &Compute::default()).unwrap();
            let listed = weight_table(&config).into_iter().map(|weight| (weight.name, weight.shape));
            assert_eq!(asked.0.into_inner(), listed.collect(), "{family}");
        }
    }
}
