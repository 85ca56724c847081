//! Which model a stage starts from or asks.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// `base` or `stage:NAME`.
pub const MODEL_SOURCE: &str = "^(base|stage:.+)$";
const STAGE: &str = "stage:";
const BASE: &str = "base";

/// A model that a stage starts from or compares with; in a recipe `base`, `stage:NAME`, or a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Source {
    /// `[model]`, with its adapter if it names one.
    #[default]
    Base,
    /// The result of an earlier stage, by name.
    Stage(String),
    /// A folder outside the run: only of `reward`.
    Folder(PathBuf),
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        match text.strip_prefix(STAGE) {
            Some(name) => Source::Stage(name.to_owned()),
            None if text == BASE => Source::Base,
            None => Source::Folder(text.into()),
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Base => f.write_str(BASE),
            Source::Stage(name) => write!(f, "{STAGE}{name}"),
            Source::Folder(folder) => folder.display().fmt(f),
        }
    }
}

impl JsonSchema for Source {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// What a stage wants a model for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It is trained.
    Policy,
    /// The policy is compared with it.
    Reference,
    /// It scores.
    Reward,
}

impl Role {
    /// The key of a stage that names it.
    pub fn key(self) -> &'static str {
        match self {
            Role::Policy => "policy",
            Role::Reference => "reference",
            Role::Reward => "reward",
        }
    }
}
