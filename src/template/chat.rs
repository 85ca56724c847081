//! A chat template, ready to render.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use jiff::Zoned;
use jiff::civil::DateTime;
use minijinja::{Environment, Value};

use super::environment::environment;
use super::special_tokens::{SpecialTokens, read_json};
use super::{generation, rewrite, shipped};
use crate::data::row::Message;

const NAME: &str = "chat_template";

/// A compiled template with the special tokens of its tokenizer.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    marks_generation: bool,
    special_tokens: SpecialTokens,
    environment: Environment<'static>,
}

/// What a template is asked to render, besides the messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rendering<'a> {
    /// Tool schemas.
    pub tools: Option<&'a serde_json::Value>,
    /// Whether to open the assistant's turn at the end.
    pub add_generation_prompt: bool,
}

impl ChatTemplate {
    /// The template of a recipe: `template` (a shipped name, or a path relative to the recipe's
    /// folder) if it is given, else the model's own: `chat_template.jinja`, else `chat_template` of
    /// `tokenizer_config.json` (a string, or a list of named ones: `default`).
    /// Special tokens come from the model's folder.
    pub fn for_model(template: Option<&str>, recipe_dir: &Path, model_dir: Option<&Path>) -> Result<Self> {
        let source = match (template.filter(|name| *name != "model"), model_dir) {
            (Some(name), _) => named(name, recipe_dir)?,
            (None, Some(folder)) => own(folder)?,
            (None, None) => bail!(
                "no chat template: there is no model folder to take one from; set `template` in \
                 `[model]` to one of {}, or to a path",
                one_of_shipped()
            ),
        };
        let tokens = model_dir.map(SpecialTokens::read).transpose()?.unwrap_or_default();
        Self::new(source, tokens)
    }

    /// Compiles `source`; `strftime_now` tells the time of this call.
    pub fn new(source: String, special_tokens: SpecialTokens) -> Result<Self> {
        Self::at(source, special_tokens, Zoned::now().datetime())
    }

    /// Compiles `source`; `strftime_now` tells `now`.
    pub fn at(source: String, special_tokens: SpecialTokens, now: DateTime) -> Result<Self> {
        let (rewritten, marks_generation) = rewrite::rewrite(&source).map_err(|error| {
            let (what, line) = (error.what, error.line);
            anyhow!("the chat template does not compile: {what} (line {line} of the template)")
        })?;
        let mut environment = environment(now);
        environment
            .add_template_owned(NAME, rewritten)
            .map_err(|error| anyhow!("the chat template does not compile: {}", told(&error)))?;
        Ok(ChatTemplate { source, marks_generation, special_tokens, environment })
    }

    /// The same template with `strftime_now` bound to `now`, the start of a run.
    pub fn with_now(&self, now: DateTime) -> Result<Self> {
        Self::at(self.source.clone(), self.special_tokens.clone(), now)
    }

    /// The template as it was read.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special_tokens
    }

    /// Whether the template marks what the model writes (`{% generation %}`).
    pub fn marks_generation(&self) -> bool {
        self.marks_generation
    }

    /// The text of a conversation.
    pub fn render(&self, messages: &[Message], rendering: Rendering) -> Result<String> {
        self.render_value(self.context(messages, rendering, ""))
    }

    /// The text of a conversation and the parts of it that the template marks as the model's.
    pub fn render_marked(
        &self,
        messages: &[Message],
        rendering: Rendering,
    ) -> Result<(String, Vec<Range<usize>>)> {
        let plain = self.render(messages, rendering)?;
        // A text may hold anything, this sentinel too; then another is taken.
        let sentinel = (0..)
            .map(|n: u32| format!("\u{e000}{n}\u{e001}"))
            .find(|sentinel| !plain.contains(sentinel.as_str()))
            .unwrap_or_default();
        let marked = self.render_value(self.context(messages, rendering, &sentinel))?;
        let (text, spans) = generation::strip(&marked, &sentinel);
        if text != plain {
            bail!("the template's text depends on how its generation blocks are rendered");
        }
        Ok((text, spans))
    }

    /// The template's text for any context, an object.
    pub fn render_context(&self, context: &serde_json::Value) -> Result<String> {
        if !context.is_object() {
            bail!("the context of a template must be a JSON object");
        }
        self.render_value(value(context))
    }

    /// The template's text for variables read from JSON text.
    pub fn render_with(&self, context: &super::Context) -> Result<String> {
        self.render_value(context.value())
    }

    fn context(&self, messages: &[Message], rendering: Rendering, sentinel: &str) -> Value {
        let tools = rendering.tools.map_or(Value::from(()), value);
        let given = [
            ("messages", messages.iter().map(|message| value(&message.to_json())).collect()),
            ("tools", tools),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(rendering.add_generation_prompt)),
            (generation::SENTINEL, Value::from(sentinel)),
        ];
        let tokens = self.special_tokens.iter().map(|(name, text)| (name, Value::from(text)));
        Value::from_pairs(tokens.chain(given))
    }

    fn render_value(&self, context: Value) -> Result<String> {
        let template = self.environment.get_template(NAME).map_err(|error| anyhow!(told(&error)))?;
        template.render(context).map_err(|error| anyhow!(told(&error)))
    }
}

/// A JSON value as a template sees it.
pub(crate) fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(bool) => Value::from(*bool),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(key, item)| (key.as_str(), value(item)))),
    }
}

/// The error in words: what, at which line of the template.
fn told(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{what} (line {line} of the template)"),
        None => what,
    }
}

fn named(name: &str, recipe_dir: &Path) -> Result<String> {
    if let Some(source) = shipped::source(name) {
        return Ok(source.to_owned());
    }
    let path = recipe_dir.join(name);
    if !path.is_file() {
        bail!("template `{name}`: neither a file (`{}`) nor one of {}", path.display(), one_of_shipped());
    }
    std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn own(folder: &Path) -> Result<String> {
    let path = folder.join(super::CHAT_TEMPLATE);
    if path.is_file() {
        return std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()));
    }
    let path = folder.join("tokenizer_config.json");
    let config = read_json(&path)?.unwrap_or_default();
    let template = &config["chat_template"];
    let by_name = |named: &&serde_json::Value| named["name"] == "default";
    let default = template.as_array().and_then(|named| named.iter().find(by_name));
    match template.as_str().or_else(|| default?["template"].as_str()) {
        Some(source) => Ok(source.to_owned()),
        None => bail!(
            "`{}` has no chat template (no `chat_template.jinja`, no `chat_template` in \
             `tokenizer_config.json`); set `template` in `[model]` to one of {}, or to a path",
            folder.display(),
            one_of_shipped()
        ),
    }
}

fn one_of_shipped() -> String {
    let names: Vec<String> = shipped::names().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
