//! Frequencies of the rotary embedding: default, linear scaling (2306.15595) and Llama 3's.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde_json::Value;

use crate::backend::embedding::gather;

/// Transformers' usual base of the frequencies.
const THETA: f64 = 10_000.0;

/// Keys of a table that has one of its own for each type of layer.
const BY_LAYER: [&str; 2] = ["full_attention", "sliding_attention"];

/// Inverse frequencies, `[head_dim / 2]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    inverse_frequencies: Vec<f32>,
}

impl Rope {
    /// From `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before), which count
    /// first where both are there, as in transformers. Errors, which name the key, on what is not
    /// supported or has the wrong type. `theta`: the base of the frequencies where the config does not say.
    pub fn from_config(config: &Value, head_dim: usize, theta: f64) -> Result<Self> {
        let RopeParameters { name, values } = RopeParameters::of(config)?;
        if let Some(kind) = BY_LAYER.iter().find(|kind| values.get(**kind).is_some()) {
            bail!("`{name}` by layer type (`{kind}`) is not supported")
        }
        let partial = values.get("partial_rotary_factor").or_else(|| config.get("partial_rotary_factor"));
        if let Some(partial) = partial.filter(|value| !value.is_null() && value.as_f64() != Some(1.0)) {
            bail!("`partial_rotary_factor` {partial} is not supported: heads are rotated whole")
        }
        let positive = |key: &str, value: &Value| {
            let number = value.as_f64().filter(|number| *number > 0.0);
            number.with_context(|| format!("`{key}` is {value}, where a number above 0 is expected"))
        };
        let theta = match (values.get("rope_theta"), config.get("rope_theta")) {
            (Some(theta), _) => positive(&format!("{name}.rope_theta"), theta)?,
            (None, Some(theta)) => positive("rope_theta", theta)?,
            (None, None) => theta,
        };
        let plain = frequencies(theta, head_dim);
        let need = |key: &str| {
            let value = values.get(key).with_context(|| format!("`{name}` lacks `{key}`"))?;
            Ok::<_, anyhow::Error>(positive(&format!("{name}.{key}"), value)? as f32)
        };
        let inverse_frequencies = match kind(values, name)? {
            "default" => plain.collect(),
            "linear" => {
                let factor = need("factor")?;
                plain.map(|f| f / factor).collect()
            }
            "llama3" => {
                let context = "original_max_position_embeddings";
                let scaling = Llama3 {
                    factor: need("factor")?,
                    low: need("low_freq_factor")?,
                    high: need("high_freq_factor")?,
                    context: match (config.get(context), values.get(context)) {
                        (Some(length), _) => positive(context, length)? as f32,
                        (None, Some(_)) => need(context)?,
                        (None, None) => {
                            let length = config.get("max_position_embeddings");
                            let length = length.with_context(|| format!("`{name}` lacks `{context}`"))?;
                            positive("max_position_embeddings", length)? as f32
                        }
                    },
                };
                if scaling.high <= scaling.low {
                    bail!("`{name}.high_freq_factor` must be above `low_freq_factor`")
                }
                plain.map(|f| scaling.apply(f)).collect()
            }
            other => bail!("RoPE scaling `{other}` is not supported; supported: default, linear, llama3"),
        };
        Ok(Rope { inverse_frequencies })
    }

    /// Without scaling, of transformers' usual base.
    pub fn plain(head_dim: usize) -> Self {
        Rope { inverse_frequencies: frequencies(THETA, head_dim).collect() }
    }

    /// Cosines and sines of positions `0..n`, float32, each `[n, head_dim / 2]`.
    fn tables(&self, n: usize, device: &Device) -> Result<Angles> {
        let shape = (n, self.inverse_frequencies.len());
        let angles: Vec<f32> = (0..n)
            .into_par_iter()
            .flat_map_iter(|p| self.inverse_frequencies.iter().map(move |f| p as f32 * f))
            .collect();
        let table = |f: fn(f64) -> f64| {
            let values = angles.par_iter().map(|&a| f(f64::from(a)) as f32).collect::<Vec<_>>();
            Tensor::from_vec(values, shape, device)
        };
        Ok(Angles { cos: table(f64::cos)?, sin: table(f64::sin)? })
    }
}

/// The table of `config.json` that counts.
struct RopeParameters<'a> {
    name: &'static str,
    values: &'a Value,
}

impl<'a> RopeParameters<'a> {
    fn of(config: &'a Value) -> Result<Self> {
        for name in ["rope_scaling", "rope_parameters"] {
            match &config[name] {
                Value::Null => {}
                Value::Object(map) if map.is_empty() => {}
                values @ Value::Object(_) => return Ok(RopeParameters { name, values }),
                other => bail!("`{name}` is {other}, where an object or null is expected"),
            }
        }
        Ok(RopeParameters { name: "rope_parameters", values: &Value::Null })
    }
}

/// What a table scales frequencies by.
fn kind<'a>(values: &'a Value, name: &str) -> Result<&'a str> {
    let Some(kind) = values.get("rope_type").or_else(|| values.get("type")) else { return Ok("default") };
    kind.as_str().with_context(|| format!("`{name}.rope_type` is {kind}, where a text is expected"))
}

/// `theta^(-2i/head_dim)`, `[head_dim / 2]`.
fn frequencies(theta: f64, head_dim: usize) -> impl Iterator<Item = f32> {
    (0..head_dim / 2).map(move |i| {
        let exponent = (2 * i) as f32 / head_dim as f32;
        1.0f32 / (theta as f32).powf(exponent)
    })
}

/// Keys of the RoPE tables of a readable `config.json` that have no effect: a warning, or none.
pub fn unread(config: &Value) -> Option<String> {
    let RopeParameters { name, values } = RopeParameters::of(config).ok()?;
    let kind = kind(values, name).ok()?;
    let of_kind: &[&str] = match kind {
        "linear" => &["factor"],
        "llama3" => &["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
        _ => &[],
    };
    let always = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];
    let names = values.as_object()?.iter().filter(|(key, value)| {
        !value.is_null() && ![&always, of_kind].iter().any(|keys| keys.contains(&key.as_str()))
    });
    let names: Vec<String> = names.map(|(key, _)| format!("`{name}.{key}`")).collect();
    let has = if names.len() == 1 { "has" } else { "have" };
    (!names.is_empty()).then(|| format!("{} {has} no effect on RoPE of type `{kind}`", names.join(", ")))
}

/// Cosines and sines of some positions, float32, each `[positions, head_dim / 2]`.
#[derive(Debug, Clone)]
pub struct Angles {
    pub cos: Tensor,
    pub sin: Tensor,
}

/// Angles of the positions asked for so far, where the model lies; clones share them.
#[derive(Debug, Clone, Default)]
pub struct AngleTables(Arc<Mutex<Option<Angles>>>);

impl AngleTables {
    /// Positions that the first table holds.
    const LEAST: usize = 1024;

    /// The angles of `positions` under `rope`, which is the same in every call, as `device` is.
    pub fn of(&self, rope: &Rope, positions: &[u32], device: &Device) -> Result<Angles> {
        let needed = positions.iter().max().map_or(0, |&last| last as usize + 1);
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match made.take() {
            Some(known) if known.cos.dim(0)? >= needed => known,
            _ => rope.tables(needed.next_power_of_two().max(Self::LEAST), device)?,
        };
        let known = made.insert(known);
        Ok(Angles { cos: gather(&known.cos, positions)?, sin: gather(&known.sin, positions)? })
    }
}

/// Llama 3.1's scaling: long wavelengths are stretched, short ones kept, those between blended.
struct Llama3 {
    factor: f32,
    low: f32,
    high: f32,
    context: f32,
}

impl Llama3 {
    fn apply(&self, frequency: f32) -> f32 {
        let wavelength = 2.0 * std::f32::consts::PI / frequency;
        if wavelength < self.context / self.high {
            frequency
        } else if wavelength > self.context / self.low {
            frequency / self.factor
        } else {
            let smooth = (self.context / wavelength - self.low) / (self.high - self.low);
            (1.0 - smooth) * frequency / self.factor + smooth * frequency
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn older_and_newer_fields_mean_the_same() {
        let new = json!({ "rope_parameters": { "rope_type": "linear", "rope_theta": 5e5, "factor": 4.0 } });
        let old = json!({ "rope_theta": 5e5, "rope_scaling": { "type": "linear", "factor": 4.0 } });
        let new = Rope::from_config(&new, 16, THETA).unwrap();
        assert_eq!(new, Rope::from_config(&old, 16, THETA).unwrap());
        assert_eq!(new.inverse_frequencies[0], 0.25);
    }

    #[test]
    fn positions_past_the_table_make_it_longer() {
        let rope = Rope::from_config(&json!({ "rope_theta": 1e4 }), 4, THETA).unwrap();
        let tables = AngleTables::default();
        for positions in [[3u32, 0], [5000, 3], [1, 2]] {
            let angles = tables.of(&rope, &positions, &Device::Cpu).unwrap();
            let (cos, sin) = (angles.cos.to_vec2::<f32>().unwrap(), angles.sin.to_vec2::<f32>().unwrap());
            for (i, &position) in positions.iter().enumerate() {
                let angle = f64::from(position as f32 * 0.01);
                assert_eq!((cos[i][1], sin[i][1]), (angle.cos() as f32, angle.sin() as f32));
            }
        }
    }

    #[test]
    fn llama3_keeps_short_wavelengths_and_stretches_long_ones() {
        let config = json!({ "rope_parameters": { "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192 } });
        let scaled = Rope::from_config(&config, 128, THETA).unwrap().inverse_frequencies;
        let plain = Rope::from_config(&json!({ "rope_theta": 5e5 }), 128, THETA).unwrap().inverse_frequencies;
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[63], plain[63] / 8.0);
        assert!(scaled[30] < plain[30] && scaled[30] > plain[30] / 8.0);
    }
}
