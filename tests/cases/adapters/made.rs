//! Adapters made for tests: names and shapes as PEFT writes them, values from the names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};

use super::workspace::models;

pub const PREFIX: &str = "base_model.model.";

/// The `index`-th value of a tensor: uniform in ±`scale`, from its name.
pub fn value(name: &str, index: u64, scale: f64) -> f32 {
    let mut x = 0xcbf2_9ce4_8422_2325u64;
    for byte in name.bytes() {
        x = (x ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    // splitmix64
    x = x.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    (((x >> 40) as f64 / (1u64 << 24) as f64 * 2.0 - 1.0) * scale) as f32
}

/// Writes tensors of these shapes.
pub fn write(path: &Path, shapes: &BTreeMap<String, Vec<usize>>, scale: f64) {
    let bytes: BTreeMap<&String, Vec<u8>> = shapes
        .iter()
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            (name, (0..count as u64).flat_map(|i| value(name, i, scale).to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shapes[*name].clone(), bytes).unwrap())
    });
    serialize_to_file(views, Some([("format".to_owned(), "pt".to_owned())].into()), path).unwrap();
}

/// An adapter, yet to be written.
#[derive(Debug, Clone)]
pub struct Made {
    pub shapes: BTreeMap<String, Vec<usize>>,
    pub config: Value,
    model: Value,
}

impl Made {
    /// No modules yet, of rank 4 and α 8, for a golden model.
    pub fn new(model: &str) -> Self {
        let path = models().join(model).join("config.json");
        Made {
            shapes: BTreeMap::new(),
            config: json!({
                "auto_mapping": null, "base_model_name_or_path": models().join(model), "bias": "none",
                "alpha_pattern": {}, "rank_pattern": {}, "exclude_modules": null, "fan_in_fan_out": false,
                "inference_mode": true, "init_lora_weights": true, "layers_pattern": null,
                "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 8, "lora_bias": false,
                "lora_dropout": 0.0, "megatron_config": null, "megatron_core": "megatron.core",
                "modules_to_save": null, "peft_type": "LORA", "peft_version": "0.21.2",
                "qalora_group_size": 16, "r": 4, "revision": null, "target_modules": [],
                "task_type": "CAUSAL_LM", "use_dora": false, "use_qalora": false, "use_rslora": false,
            }),
            model: serde_json::from_slice(&fs::read(path).unwrap()).unwrap(),
        }
    }

    fn size(&self, key: &str) -> usize {
        self.model[key].as_u64().unwrap() as usize
    }

    pub fn layers(&self) -> usize {
        self.size("num_hidden_layers")
    }

    /// `[vocabulary, hidden]`.
    pub fn table(&self) -> [usize; 2] {
        [self.size("vocab_size"), self.size("hidden_size")]
    }

    /// `[out, in]` of a module.
    fn shape(&self, module: &str) -> [usize; 2] {
        let (hidden, inner) = (self.size("hidden_size"), self.size("intermediate_size"));
        let heads = self.size("num_attention_heads");
        let head_dim = self.model["head_dim"].as_u64().map_or(hidden / heads, |width| width as usize);
        let (queries, keys) = (heads * head_dim, self.size("num_key_value_heads") * head_dim);
        match module {
            "q_proj" => [queries, hidden],
            "k_proj" | "v_proj" => [keys, hidden],
            "o_proj" => [hidden, queries],
            "down_proj" => [hidden, inner],
            _ => [inner, hidden],
        }
    }

    /// Adds LoRA on `module` of these layers.
    pub fn on(mut self, module: &str, layers: impl IntoIterator<Item = usize>, rank: usize) -> Self {
        let [out, width] = self.shape(module);
        let group = if module.contains("gate") || module.contains("up") || module.contains("down") {
            "mlp"
        } else {
            "self_attn"
        };
        for layer in layers {
            let name = format!("{PREFIX}model.layers.{layer}.{group}.{module}");
            self.shapes.insert(format!("{name}.lora_A.weight"), vec![rank, width]);
            self.shapes.insert(format!("{name}.lora_B.weight"), vec![out, rank]);
        }
        let targets = self.config["target_modules"].as_array_mut().unwrap();
        if !targets.contains(&json!(module)) {
            targets.push(json!(module));
        }
        self
    }

    /// Adds LoRA on `module` of every layer, of rank 4.
    pub fn all(self, module: &str) -> Self {
        let layers = self.layers();
        self.on(module, 0..layers, 4)
    }

    /// LoRA on q and v, as most adapters have it.
    pub fn plain(model: &str) -> Self {
        Made::new(model).all("q_proj").all("v_proj")
    }

    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Adds a tensor; `name` is what stands after PEFT's prefix.
    pub fn tensor(mut self, name: &str, shape: &[usize]) -> Self {
        self.shapes.insert(format!("{PREFIX}{name}"), shape.to_vec());
        self
    }

    /// Takes out tensors whose names have `part`.
    pub fn without(mut self, part: &str) -> Self {
        self.shapes.retain(|name, _| !name.contains(part));
        self
    }

    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("adapter_config.json"), self.config.to_string()).unwrap();
        write(&folder.join("adapter_model.safetensors"), &self.shapes, 0.2);
    }
}
