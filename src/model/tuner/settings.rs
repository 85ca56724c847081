//! `tuner` and `lora` of a stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::config::Config;

/// What is trained.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "TunerKeys", into = "TunerKeys")]
pub enum Tuner {
    /// All weights.
    #[default]
    Full,
    /// A low-rank adapter; the model itself stays as it is.
    Lora(LoraSettings),
}

impl Tuner {
    /// The adapter's settings, if one is trained.
    pub fn lora(&self) -> Option<&LoraSettings> {
        match self {
            Tuner::Full => None,
            Tuner::Lora(lora) => Some(lora),
        }
    }

    /// Whether an adapter is trained, and the base stays as it is.
    pub fn is_adapter(&self) -> bool {
        self.lora().is_some()
    }

    /// How many weights are trained, in a model of `config` or beside it, where its others stay as they are;
    /// `None` where all are trained.
    pub fn trained_part(&self, config: &Config) -> Option<u64> {
        match self {
            Tuner::Full => None,
            Tuner::Lora(lora) => Some(lora.weights(config)),
        }
    }

    /// Share of an adapter's inputs set to 0 in training.
    pub fn dropout(&self) -> f64 {
        self.lora().map_or(0.0, |lora| lora.dropout)
    }

    /// For a person to read.
    pub fn summary(&self) -> String {
        match self {
            Tuner::Full => "full tuning".to_owned(),
            Tuner::Lora(lora) => format!("LoRA of rank {}", lora.rank),
        }
    }

    /// As a recipe writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Tuner::Full => "full",
            Tuner::Lora(_) => "lora",
        }
    }
}

/// A [`Tuner`] as a recipe writes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TunerKeys {
    /// What is trained: all weights, or a low-rank adapter.
    tuner: TunerName,
    /// The adapter of `tuner = "lora"`. A stage whose policy is the result of a lora stage continues
    /// that adapter, so the two must agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    lora: Option<LoraSettings>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TunerName {
    /// A low-rank adapter (2106.09685); the model itself stays as it is.
    Lora,
    /// All weights.
    #[default]
    Full,
}

impl From<TunerKeys> for Tuner {
    fn from(keys: TunerKeys) -> Self {
        match keys.tuner {
            TunerName::Full => Tuner::Full,
            TunerName::Lora => Tuner::Lora(keys.lora.unwrap_or_default()),
        }
    }
}

impl From<Tuner> for TunerKeys {
    fn from(tuner: Tuner) -> Self {
        match tuner {
            Tuner::Full => TunerKeys { tuner: TunerName::Full, lora: None },
            Tuner::Lora(lora) => TunerKeys { tuner: TunerName::Lora, lora: Some(lora) },
        }
    }
}

impl JsonSchema for Tuner {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        TunerKeys::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        TunerKeys::json_schema(generator)
    }
}

/// The `lora` table: `y = Wx + (alpha/rank)·B(A(dropout(x)))`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LoraSettings {
    /// Rows of A, columns of B.
    #[schemars(range(min = 1, max = 65536))]
    pub rank: usize,
    /// The adapter's output is scaled by `alpha / rank`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub alpha: f64,
    /// Share of the adapter's inputs set to 0 in training.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1))]
    pub dropout: f64,
    /// The linear layers that get an adapter: `ALL`, `DEFAULT`, or a list of names.
    pub target_modules: TargetModules,
    /// Scales by `alpha / sqrt(rank)` instead (2312.03732).
    pub rslora: bool,
}

impl Default for LoraSettings {
    fn default() -> Self {
        LoraSettings { rank: 8, alpha: 32.0, dropout: 0.0, target_modules: TargetModules::ALL, rslora: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TargetModules {
    Preset(TargetPreset),
    List(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<TargetModule>),
}

impl TargetModules {
    pub const ALL: TargetModules = TargetModules::Preset(TargetPreset::All);
    pub const DEFAULT: TargetModules = TargetModules::Preset(TargetPreset::Default);

    /// The modules of a layer, by the last part of their names.
    pub fn of_layer(&self) -> &[TargetModule] {
        match self {
            TargetModules::Preset(TargetPreset::All) => &TargetModule::ALL,
            TargetModules::Preset(TargetPreset::Default) => &TargetModule::DEFAULT,
            TargetModules::List(modules) => modules,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetPreset {
    /// Every linear layer except `lm_head`.
    #[serde(rename = "ALL")]
    All,
    /// `q_proj`, `k_proj` and `v_proj`.
    #[serde(rename = "DEFAULT")]
    Default,
}

/// A linear layer of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetModule {
    QProj,
    KProj,
    VProj,
    OProj,
    GateProj,
    UpProj,
    DownProj,
}

impl TargetModule {
    pub const ALL: [TargetModule; 7] = [
        TargetModule::QProj,
        TargetModule::KProj,
        TargetModule::VProj,
        TargetModule::OProj,
        TargetModule::GateProj,
        TargetModule::UpProj,
        TargetModule::DownProj,
    ];
    const DEFAULT: [TargetModule; 3] = [TargetModule::QProj, TargetModule::KProj, TargetModule::VProj];

    /// The name in checkpoints.
    pub fn name(self) -> &'static str {
        match self {
            TargetModule::QProj => "q_proj",
            TargetModule::KProj => "k_proj",
            TargetModule::VProj => "v_proj",
            TargetModule::OProj => "o_proj",
            TargetModule::GateProj => "gate_proj",
            TargetModule::UpProj => "up_proj",
            TargetModule::DownProj => "down_proj",
        }
    }
}
