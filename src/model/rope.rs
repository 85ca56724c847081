//! Frequencies of the rotary embedding: default, linear scaling (2306.15595) and Llama 3's.

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use serde_json::Value;

/// Inverse frequencies, `[head_dim / 2]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    inverse_frequencies: Vec<f32>,
}

impl Rope {
    /// From `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before).
    pub fn from_config(config: &Value, head_dim: usize) -> Result<Self> {
        let parameters =
            [&config["rope_parameters"], &config["rope_scaling"]].into_iter().find(|v| v.is_object());
        let parameters = parameters.unwrap_or(&Value::Null);
        let number = |key: &str| parameters[key].as_f64();
        let theta = number("rope_theta").or(config["rope_theta"].as_f64()).unwrap_or(10_000.0);
        let plain = (0..head_dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / head_dim as f32;
            1.0f32 / (theta as f32).powf(exponent)
        });
        let need = |key: &str| number(key).with_context(|| format!("RoPE scaling lacks `{key}`"));
        let kind = parameters["rope_type"].as_str().or(parameters["type"].as_str()).unwrap_or("default");
        let inverse_frequencies = match kind {
            "default" => plain.collect(),
            "linear" => {
                let factor = need("factor")? as f32;
                plain.map(|f| f / factor).collect()
            }
            "llama3" => {
                let scaling = Llama3 {
                    factor: need("factor")? as f32,
                    low: need("low_freq_factor")? as f32,
                    high: need("high_freq_factor")? as f32,
                    context: need("original_max_position_embeddings")? as f32,
                };
                plain.map(|f| scaling.apply(f)).collect()
            }
            other => bail!("RoPE scaling `{other}` is not supported; supported: default, linear, llama3"),
        };
        Ok(Rope { inverse_frequencies })
    }

    /// Cosines and sines of the positions, float32, each `[positions, head_dim / 2]`.
    pub fn tables(&self, positions: &[u32], device: &Device) -> Result<(Tensor, Tensor)> {
        let shape = (positions.len(), self.inverse_frequencies.len());
        let angles: Vec<f32> = positions
            .iter()
            .flat_map(|&p| self.inverse_frequencies.iter().map(move |f| p as f32 * f))
            .collect();
        let table = |f: fn(f64) -> f64| {
            let values = angles.iter().map(|&a| f(f64::from(a)) as f32).collect::<Vec<_>>();
            Tensor::from_vec(values, shape, device)
        };
        Ok((table(f64::cos)?, table(f64::sin)?))
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
        let new = Rope::from_config(&new, 16).unwrap();
        assert_eq!(new, Rope::from_config(&old, 16).unwrap());
        assert_eq!(new.inverse_frequencies[0], 0.25);
    }

    #[test]
    fn llama3_keeps_short_wavelengths_and_stretches_long_ones() {
        let config = json!({ "rope_parameters": { "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192 } });
        let scaled = Rope::from_config(&config, 128).unwrap().inverse_frequencies;
        let plain = Rope::from_config(&json!({ "rope_theta": 5e5 }), 128).unwrap().inverse_frequencies;
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[63], plain[63] / 8.0);
        assert!(scaled[30] < plain[30] && scaled[30] > plain[30] / 8.0);
    }
}
