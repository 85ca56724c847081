//! Modules by name, as PEFT picks them: lists of endings, Python's regular expressions, layers.

use anyhow::{Context, Result, bail};
use fancy_regex::Regex;
use serde_json::Value;

use crate::model::config::Config;
use crate::model::weight_table::{WeightRole, weight_table};

/// The embedding's module.
pub const EMBEDDING: &str = "model.embed_tokens";
/// The head's module.
pub const HEAD: &str = "lm_head";

/// Every module of a decoder that LoRA can be on, with the shape `[out, in]` of its weight; embedding and
/// head excluded.
pub fn linears(config: &Config) -> Vec<(String, [usize; 2])> {
    let linears = weight_table(config).into_iter().filter(|weight| weight.role == WeightRole::Linear);
    linears.map(|weight| (weight.module().to_owned(), [weight.shape[0], weight.shape[1]])).collect()
}

/// `rank_pattern` or `alpha_pattern`: the first expression that a module's name ends with counts.
#[derive(Debug, Clone)]
pub struct Patterns<V>(Vec<(Regex, V)>);

impl<V: Copy> Patterns<V> {
    /// Errors name the expression, or the value that `read` does not take.
    pub fn read(config: &Value, key: &str, read: impl Fn(&Value) -> Option<V>) -> Result<Self> {
        let table = match &config[key] {
            Value::Null => return Ok(Patterns(Vec::new())),
            Value::Object(table) => table,
            other => bail!("`{key}` is {other}; it must be a table of modules"),
        };
        let pattern = |(name, value): (&String, &Value)| {
            let value = read(value).with_context(|| format!("`{key}` gives `{name}` {value}"))?;
            Ok((ending(name).with_context(|| format!("`{key}`"))?, value))
        };
        Ok(Patterns(table.iter().map(pattern).collect::<Result<_>>()?))
    }

    /// What is said of `module`.
    pub fn get(&self, module: &str) -> Option<V> {
        self.0.iter().find(|(pattern, _)| matches(pattern, module)).map(|(_, value)| *value)
    }
}

/// What PEFT makes of a name in a pattern: it matches a module's whole name, or what comes after a dot.
fn ending(name: &str) -> Result<Regex> {
    expression(&format!(r"^(?:.*\.)?(?:{name})$"), name)
}

fn expression(text: &str, written: &str) -> Result<Regex> {
    Regex::new(text).with_context(|| format!("`{written}` is no regular expression that can be read"))
}

/// An expression that is too much work to match counts as one that does not.
fn matches(pattern: &Regex, module: &str) -> bool {
    pattern.is_match(module).unwrap_or(false)
}

#[derive(Debug, Clone)]
enum NamePattern {
    /// Not said: whatever has tensors.
    Unsaid,
    /// Every linear of the layers.
    AllLinear,
    /// Whole names, or what comes after a dot.
    List(Vec<String>),
    /// Matches the whole name.
    Pattern(Regex),
}

impl NamePattern {
    fn read(config: &Value, key: &str) -> Result<Self> {
        match &config[key] {
            Value::Null => Ok(NamePattern::Unsaid),
            Value::String(text) if text == "all-linear" => Ok(NamePattern::AllLinear),
            Value::String(text) => {
                let whole = expression(&format!("^(?:{text})$"), text);
                Ok(NamePattern::Pattern(whole.with_context(|| format!("`{key}`"))?))
            }
            _ => Ok(NamePattern::List(strings(config, key)?)),
        }
    }

    fn has(&self, module: &str) -> bool {
        match self {
            NamePattern::Unsaid => false,
            NamePattern::AllLinear => module != EMBEDDING && module != HEAD,
            NamePattern::List(names) => names.iter().any(|name| ends_with(module, name)),
            NamePattern::Pattern(pattern) => matches(pattern, module),
        }
    }
}

/// The part after the last dot.
pub fn last(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// Whether `module` is `name`, or ends with it after a dot.
pub fn ends_with(module: &str, name: &str) -> bool {
    module == name || module.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

/// A list of strings; none where there is no list.
pub fn strings(config: &Value, key: &str) -> Result<Vec<String>> {
    let list = match &config[key] {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        other => bail!("`{key}` is {other}; it must be a list of names"),
    };
    let name = |value: &Value| {
        value.as_str().map(str::to_owned).with_context(|| format!("`{key}` has {value}, which is no name"))
    };
    list.iter().map(name).collect()
}

/// Which modules an adapter is on: `target_modules`, `exclude_modules`, `layers_to_transform` and
/// `layers_pattern`.
#[derive(Debug, Clone)]
pub struct TargetPatterns {
    names: NamePattern,
    excluded: NamePattern,
    layers: Option<Vec<usize>>,
    layers_patterns: Vec<Regex>,
}

impl TargetPatterns {
    pub fn read(config: &Value) -> Result<Self> {
        let key = "layers_to_transform";
        let index = |value: &Value| {
            let index = value.as_u64().and_then(|index| usize::try_from(index).ok());
            index.with_context(|| format!("`{key}` has {value}, which is no layer"))
        };
        let layers = match &config[key] {
            Value::Null => None,
            Value::Array(list) if list.is_empty() => None,
            Value::Array(list) => Some(list.iter().map(index).collect::<Result<_>>()?),
            one => Some(vec![index(one)?]),
        };
        let patterns = match &config["layers_pattern"] {
            Value::String(text) if text.is_empty() => Vec::new(),
            Value::String(text) => vec![text.clone()],
            _ => strings(config, "layers_pattern")?,
        };
        let layer = |name: &String| {
            expression(&format!(r"^(?:.*?\.)?(?:{name})\.(\d+)\."), name).context("`layers_pattern`")
        };
        let layers_patterns = match patterns.as_slice() {
            [] => vec![expression(r"^.*?\.[^.]*\.(\d+)\.", "")?],
            names => names.iter().map(layer).collect::<Result<_>>()?,
        };
        Ok(TargetPatterns {
            names: NamePattern::read(config, "target_modules")?,
            excluded: NamePattern::read(config, "exclude_modules")?,
            layers,
            layers_patterns,
        })
    }

    /// Whether the configuration says at all which modules it is on.
    pub fn are_said(&self) -> bool {
        !matches!(self.names, NamePattern::Unsaid)
    }

    /// Whether PEFT puts LoRA on `module`.
    pub fn has(&self, module: &str) -> bool {
        let layered =
            matches!(&self.names, NamePattern::List(names) if !names.iter().any(|name| name == module));
        self.names.has(module)
            && !self.excluded.has(module)
            && (!layered || self.layers.as_ref().is_none_or(|layers| self.is_of(layers, module)))
    }

    fn is_of(&self, layers: &[usize], module: &str) -> bool {
        let index = self.layers_patterns.iter().find_map(|pattern| {
            let found = pattern.captures(module).ok().flatten()?;
            found.get(1)?.as_str().parse::<usize>().ok()
        });
        index.is_some_and(|index| layers.contains(&index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_match_as_in_peft() {
        let config = json!({ "rank_pattern": {
            "v_proj": 2, r"layers\.[01]\.mlp.*": 3, "^model.layers.2.self_attn.q_proj": 5, "proj": 7,
        }});
        let patterns = Patterns::read(&config, "rank_pattern", Value::as_u64).unwrap();
        assert_eq!(patterns.get("model.layers.0.self_attn.v_proj"), Some(2));
        assert_eq!(patterns.get("model.layers.1.mlp.up_proj"), Some(3));
        assert_eq!(patterns.get("model.layers.2.self_attn.q_proj"), Some(5));
        // `proj` stands after no dot
        assert_eq!(patterns.get("model.layers.2.self_attn.k_proj"), None);
        let broken = json!({ "rank_pattern": { "v_(proj": 2 } });
        let error = Patterns::read(&broken, "rank_pattern", Value::as_u64).unwrap_err();
        assert!(format!("{error:#}").contains("`v_(proj`"), "{error:#}");
    }

    #[test]
    fn targets_are_those_of_peft() {
        let targets = |config: Value| TargetPatterns::read(&config).unwrap();
        let q = |layer: usize| format!("model.layers.{layer}.self_attn.q_proj");
        let list = targets(json!({ "target_modules": ["q_proj"], "layers_to_transform": [1] }));
        assert_eq!((list.has(&q(0)), list.has(&q(1))), (false, true));
        let whole = targets(json!({ "target_modules": [q(0)], "layers_to_transform": 1 }));
        assert!(whole.has(&q(0)) && !whole.has(&q(1)));
        let pattern = targets(json!({ "target_modules": r".*layers\.1\.self_attn\.(q|v)_proj" }));
        assert_eq!((pattern.has(&q(0)), pattern.has(&q(1))), (false, true));
        let excluded = targets(json!({ "target_modules": "all-linear", "exclude_modules": ["q_proj"] }));
        assert!(!excluded.has(&q(0)) && excluded.has("model.layers.0.mlp.up_proj") && !excluded.has(HEAD));
        let named = targets(json!({
            "target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": "layers"
        }));
        assert_eq!((named.has(&q(0)), named.has(&q(1))), (true, false));
    }
}
