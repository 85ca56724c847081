//! A model's chat templates, ready to render.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow, bail};
use indexmap::IndexMap;
use jiff::Zoned;
use jiff::civil::DateTime;
use minijinja::Value;
use serde_json::Map;

use super::bounds::Size;
use super::context::Context as JsonContext;
use super::environment::environment;
use super::json::value;
use super::message::{Message, REASONING};
use super::rendering::{self, CompiledParts, Environments, Failure};
use super::sources::{ADDITIONAL, DEFAULT, TOOL_USE, TemplateSources, choices, sources};
use super::special_tokens::SpecialTokens;
use super::turns::{self, TurnParts};
use super::{CHAT_TEMPLATE, generation, mentions};

/// Template variables that neither a row nor a recipe may set, because their values follow from the row.
const RESERVED: [&str; 5] =
    ["messages", "tools", "add_generation_prompt", "chat_template", "continue_final_message"];

/// Further variables of a template, by name.
pub type Kwargs = Map<String, serde_json::Value>;

/// Compiled templates with the special tokens of their tokenizer: the one that a model has, or its
/// named ones, of which `tool_use` renders rows with tools and `default` all others.
#[derive(Clone)]
pub struct ChatTemplate {
    templates: IndexMap<String, Compiled>,
    special_tokens: SpecialTokens,
    kwargs: Kwargs,
    environments: Environments,
    /// The bound that a rendering went past. No further row is rendered then: each might take as long.
    stopped: Arc<OnceLock<&'static str>>,
}

#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub(super) source: String,
    marks_generation: bool,
    /// The names of a turn's reasoning that the template reads.
    pub(super) reasoning: Vec<&'static str>,
    /// The name of the same template with marks around what it writes for each message.
    with_turns: Option<String>,
}

/// What a template is asked to render, besides the messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rendering<'a> {
    /// Tool schemas. An empty list counts as no tools.
    pub tools: Option<&'a serde_json::Value>,
    /// Whether to open the assistant's turn at the end.
    pub add_generation_prompt: bool,
    /// Variables of the row; they win over those of the recipe.
    pub kwargs: Option<&'a Kwargs>,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("templates", &self.templates)
            .field("special_tokens", &self.special_tokens)
            .field("kwargs", &self.kwargs)
            .finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// The templates of a recipe: `template` (a shipped name, a path relative to the recipe's folder,
    /// or `model:NAME` for one of the model's named ones) if it is given, else the model's own:
    /// `chat_template.jinja` and `additional_chat_templates/`, else `chat_template` of
    /// `tokenizer_config.json` (a string, or a list of named ones).
    /// Special tokens come from the model's folder.
    pub fn for_model(template: Option<&str>, recipe_dir: &Path, model_dir: Option<&Path>) -> Result<Self> {
        let sources = sources(template, recipe_dir, model_dir)?;
        let tokens = model_dir.map(SpecialTokens::read).transpose()?.unwrap_or_default();
        Self::of_sources(sources, tokens, Zoned::now().datetime())
    }

    /// Compiles `source`; `strftime_now` gives the time of this call.
    pub fn new(source: String, special_tokens: SpecialTokens) -> Result<Self> {
        Self::at(source, special_tokens, Zoned::now().datetime())
    }

    /// Compiles `source`; `strftime_now` gives `now`.
    pub fn at(source: String, special_tokens: SpecialTokens, now: DateTime) -> Result<Self> {
        Self::of_sources(TemplateSources::from([(DEFAULT.to_owned(), source)]), special_tokens, now)
    }

    /// Compiles templates by name. Errors if one does not compile.
    pub fn of_sources(
        sources: TemplateSources,
        special_tokens: SpecialTokens,
        now: DateTime,
    ) -> Result<Self> {
        let mut environment = environment(now);
        turns::add_to(&mut environment);
        let several = sources.len() > 1;
        let mut templates = IndexMap::new();
        for (name, source) in sources {
            let which = if several { format!(" `{name}`") } else { String::new() };
            let CompiledParts { marks_generation, with_turns } =
                rendering::compile(&mut environment, &name, &source)
                    .map_err(|what| anyhow!("the chat template{which} does not compile: {what}"))?;
            let reasoning = REASONING.into_iter().filter(|key| mentions::reads_key(&source, key)).collect();
            templates.insert(name, Compiled { source, marks_generation, reasoning, with_turns });
        }
        if templates.is_empty() {
            bail!("no chat template");
        }
        let environments = Environments::of(&environment);
        let (kwargs, stopped) = (Kwargs::new(), Arc::default());
        Ok(ChatTemplate { templates, special_tokens, kwargs, environments, stopped })
    }

    /// The same templates with variables of their own. A row's variables take precedence over them. Errors
    /// if one of them is a reserved name.
    pub fn with_kwargs(mut self, kwargs: Kwargs) -> Result<Self> {
        if let Some(name) = reserved(&kwargs) {
            bail!("`chat_template_kwargs.{name}`: {}", is_reserved(name));
        }
        self.kwargs = kwargs;
        Ok(self)
    }

    /// The same templates with `strftime_now` bound to `now`, the start of a run.
    pub fn with_now(&self, now: DateTime) -> Result<Self> {
        let sources = self.sources().map(|(name, source)| (name.to_owned(), source.to_owned()));
        let same = Self::of_sources(sources.collect(), self.special_tokens.clone(), now)?;
        same.with_kwargs(self.kwargs.clone())
    }

    /// Every template as it was read, by its name.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.templates.iter().map(|(name, template)| (name.as_str(), template.source.as_str()))
    }

    /// The template as it was read. If there are several, this is the one for rows without tools.
    pub fn source(&self) -> &str {
        let template = self.templates.get(DEFAULT).or_else(|| self.templates.values().next());
        template.map_or("", |template| template.source.as_str())
    }

    /// What identifies the templates: the source if there is one, names and sources if there are several.
    pub fn identity(&self) -> Cow<'_, str> {
        if self.templates.len() == 1 && self.templates.contains_key(DEFAULT) {
            return Cow::Borrowed(self.source());
        }
        let all: Map<String, serde_json::Value> =
            self.sources().map(|(name, source)| (name.to_owned(), source.into())).collect();
        Cow::Owned(serde_json::Value::Object(all).to_string())
    }

    /// Writes the templates into a model's folder, as transformers does: `default` as
    /// `chat_template.jinja`, others into `additional_chat_templates/`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        for (name, source) in self.sources() {
            let path = match name {
                DEFAULT => folder.join(CHAT_TEMPLATE),
                name => {
                    let additional = folder.join(ADDITIONAL);
                    std::fs::create_dir_all(&additional)
                        .with_context(|| format!("cannot make `{}`", additional.display()))?;
                    additional.join(format!("{name}.jinja"))
                }
            };
            std::fs::write(&path, source).with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        Ok(())
    }

    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special_tokens
    }

    /// The variables that [`Self::with_kwargs`] set.
    pub fn kwargs(&self) -> &Kwargs {
        &self.kwargs
    }

    /// Whether the template that renders `rendering` marks what the model writes (`{% generation %}`).
    pub fn marks_generation(&self, rendering: Rendering) -> bool {
        self.choose(rendering).is_ok_and(|(_, template)| template.marks_generation)
    }

    /// The text of a conversation.
    pub fn render(&self, messages: &[Message], rendering: Rendering) -> Result<String> {
        let (name, template) = self.choose(rendering)?;
        self.render_value(name, self.context(template, messages, rendering, []))
    }

    /// The text of a conversation and the parts of it that the template marks as the model's.
    pub fn render_marked(
        &self,
        messages: &[Message],
        rendering: Rendering,
    ) -> Result<(String, Vec<Range<usize>>)> {
        let plain = self.render(messages, rendering)?;
        let sentinel = sentinel(&plain);
        let (name, template) = self.choose(rendering)?;
        let variable = (generation::SENTINEL, Value::from(sentinel.as_str()));
        let marked = self.render_value(name, self.context(template, messages, rendering, [variable]))?;
        let (text, spans) = generation::strip(&marked, &sentinel);
        if text != plain {
            bail!("the template's text depends on how its generation blocks are rendered");
        }
        Ok((text, spans))
    }

    /// Which part of `text`, which [`Self::render`] gave for the same arguments, the template writes for
    /// each message. `None` if the template does not iterate over messages in loops, or changes afterwards
    /// what it writes there.
    pub fn turn_parts(&self, messages: &[Message], rendering: Rendering, text: &str) -> Option<TurnParts> {
        let (_, template) = self.choose(rendering).ok()?;
        let sentinel = sentinel(text);
        let variable = (turns::SENTINEL, Value::from(sentinel.as_str()));
        let context = self.context(template, messages, rendering, [variable]);
        let marked = self.render_value(template.with_turns.as_ref()?, context).ok()?;
        let (unmarked, parts) = turns::read_marks(&marked, &sentinel, messages.len())?;
        (unmarked == text).then_some(parts)
    }

    /// The template's text for any context, which must be a JSON object.
    pub fn render_context(&self, context: &serde_json::Value) -> Result<String> {
        if !context.is_object() {
            bail!("the context of a template must be a JSON object");
        }
        let name = self.templates.keys().next().map_or(DEFAULT, String::as_str);
        self.render_value(name, (value(context), Size::of(context)))
    }

    /// The template's text for variables read from JSON text.
    pub fn render_with(&self, context: &JsonContext) -> Result<String> {
        let name = self.templates.keys().next().map_or(DEFAULT, String::as_str);
        self.render_value(name, context.value())
    }

    /// As transformers chooses: `tool_use` where there are tools, else `default`.
    pub(super) fn choose(&self, rendering: Rendering) -> Result<(&str, &Compiled)> {
        let tools = tools(rendering).and_then(|_| self.templates.get_key_value(TOOL_USE));
        match tools.or_else(|| self.templates.get_key_value(DEFAULT)) {
            Some((name, template)) => Ok((name, template)),
            None => bail!(
                "the model has no chat template called `{DEFAULT}`, which rows without tools need; choose \
                 one by `template` in `[model]`: {}",
                choices(self.templates.keys())
            ),
        }
    }

    fn context<const N: usize>(
        &self,
        template: &Compiled,
        messages: &[Message],
        rendering: Rendering,
        variables: [(&'static str, Value); N],
    ) -> (Value, Size) {
        let mut size = Size::default();
        let sized = |json: &serde_json::Value, size: &mut Size| {
            size.add(Size::of(json));
            value(json)
        };
        let messages = messages.iter().map(|message| with_reasoning(message, template));
        let messages: Vec<Value> = messages.map(|message| sized(&message, &mut size)).collect();
        let given = [
            ("messages", Value::from(messages.clone())),
            (turns::MESSAGES, Value::from(messages)),
            ("tools", tools(rendering).map_or(Value::from(()), |tools| sized(tools, &mut size))),
            ("add_generation_prompt", Value::from(rendering.add_generation_prompt)),
            (generation::SENTINEL, Value::from("")),
        ];
        let tokens = self.special_tokens.iter().map(|(name, text)| (name, Value::from(text)));
        let kwargs = self.kwargs.iter().chain(rendering.kwargs.into_iter().flatten());
        let kwargs: Vec<(&str, Value)> =
            kwargs.map(|(name, kwarg)| (name.as_str(), sized(kwarg, &mut size))).collect();
        let before = [("documents", Value::from(()))].into_iter().chain(tokens).chain(kwargs);
        (Value::from_pairs(before.chain(given).chain(variables)), size)
    }

    fn render_value(&self, name: &str, context: (Value, Size)) -> Result<String> {
        let failure = match self.stopped.get() {
            Some(past) => Failure::Past(past),
            None => match rendering::render(&self.environments, name, context) {
                Ok(text) => return Ok(text),
                Err(failure) => failure,
            },
        };
        let which = if self.templates.len() > 1 { format!(" `{name}`") } else { String::new() };
        match failure {
            Failure::Wrong(what) => bail!(what),
            Failure::Past(past) => bail!(
                "the chat template{which} goes past what it may take: {}; it is broken or hostile: use another \
                 (`template` in `[model]`)",
                self.stopped.get_or_init(|| past)
            ),
        }
    }
}

/// The first of the variables that has a reserved name.
pub fn reserved(kwargs: &Kwargs) -> Option<&str> {
    kwargs.keys().map(String::as_str).find(|name| RESERVED.contains(name))
}

/// Why a reserved variable is refused.
pub fn is_reserved(name: &str) -> &'static str {
    match name {
        "chat_template" => "a template is chosen by `template` in `[model]`",
        _ => "follows from the row and is not to be set",
    }
}

/// The tools of a rendering. An empty list counts as no tools.
fn tools(rendering: Rendering<'_>) -> Option<&serde_json::Value> {
    rendering.tools.filter(|tools| !tools.is_null() && tools.as_array().is_none_or(|list| !list.is_empty()))
}

/// The message as the template reads it, its reasoning under the names that the template may know it
/// by. As transformers does: always `reasoning_content` and `thinking`.
fn with_reasoning(message: &Message, template: &Compiled) -> serde_json::Value {
    use serde_json::Value as Json;
    let json = message.to_json();
    let (Json::Object(map), Some((_, reasoning))) = (&json, message.reasoning()) else { return json };
    let mut named = Map::from_iter([("thinking".to_owned(), reasoning.clone())]);
    named.extend(map.clone());
    named.insert(REASONING[0].to_owned(), reasoning.clone());
    if template.reasoning.contains(&"reasoning") && !named.contains_key("reasoning") {
        named.insert("reasoning".to_owned(), reasoning.clone());
    }
    Json::Object(named)
}

/// A text that does not occur in `plain`. Any fixed text could occur there, so several are tried.
fn sentinel(plain: &str) -> String {
    let numbered = (0..).map(|n: u32| format!("\u{e000}{n}\u{e001}"));
    numbered.into_iter().find(|sentinel| !plain.contains(sentinel.as_str())).unwrap_or_default()
}
