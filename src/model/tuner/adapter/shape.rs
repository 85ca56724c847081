//! What two adapters must agree in, so that training can go on with one where the other ended.

use std::collections::BTreeSet;

use super::contents::Adapter;
use crate::model::tuner::Tuner;

/// The numbers and modules of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterShape {
    rank: usize,
    alpha: f64,
    /// The last parts of the names of the modules that it is on; `None` where no tensor tells.
    target_modules: Option<BTreeSet<String>>,
    rslora: bool,
}

/// A key of `lora` in which two adapters differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub key: &'static str,
    pub own: String,
    pub theirs: String,
}

impl AdapterShape {
    /// Of a new adapter, if the tuner trains one.
    pub fn of(tuner: &Tuner) -> Option<Self> {
        let lora = tuner.lora()?;
        let modules = lora.target_modules.of_layer().iter();
        Some(AdapterShape {
            rank: lora.rank,
            alpha: lora.alpha,
            target_modules: Some(modules.map(|module| module.name().to_owned()).collect()),
            rslora: lora.rslora,
        })
    }

    /// Of one that lies in a folder.
    pub fn of_stored(adapter: &Adapter) -> Self {
        let modules = adapter.modules();
        AdapterShape {
            rank: adapter.config.rank,
            alpha: adapter.config.alpha,
            target_modules: (!modules.is_empty()).then_some(modules),
            rslora: adapter.config.rslora,
        }
    }

    /// All in which `self` and `theirs` differ.
    pub fn differences(&self, theirs: &AdapterShape) -> Vec<Difference> {
        let texts = |shape: &AdapterShape| {
            let modules = shape.target_modules.as_ref();
            let modules = modules.map(|names| names.iter().cloned().collect::<Vec<_>>().join(", "));
            [
                ("rank", Some(shape.rank.to_string())),
                ("alpha", Some(shape.alpha.to_string())),
                ("target_modules", modules),
                ("rslora", Some(shape.rslora.to_string())),
            ]
        };
        let pairs = texts(self).into_iter().zip(texts(theirs));
        let known = pairs.filter_map(|((key, own), (_, theirs))| Some((key, own?, theirs?)));
        known
            .filter(|(_, own, theirs)| own != theirs)
            .map(|(key, own, theirs)| Difference { key, own, theirs })
            .collect()
    }
}
