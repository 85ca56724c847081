//! Tokens that the files beside `tokenizer.json` add to a tokenizer, and settings there that change how a
//! text is split into tokens. They are followed as transformers 5 follows them, or refused by name.
//!
//! | file | key | |
//! |---|---|---|
//! | `tokenizer_config.json` | `added_tokens_decoder` | tokens with their flags, which count; new ones get the next id, which must be theirs |
//! | `added_tokens.json` | | the same without flags; read where there is no `added_tokens_decoder` |
//! | `tokenizer_config.json` | `bos_token` and the like | a token of the vocabulary becomes an added one |
//! | `tokenizer_config.json` | `extra_special_tokens`, or `additional_special_tokens` | new ones get the next id |
//! | `special_tokens_map.json` | the same two | read where there is no `added_tokens_decoder` |
//! | `tokenizer_config.json` | `split_special_tokens`, `add_prefix_space` | refused where they change anything |

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value};
use tokenizers::AddedToken;
use tokenizers::tokenizer::Tokenizer as HfTokenizer;

use crate::json_file::find_object;
use crate::template::SpecialTokens;

const CONFIG: &str = "tokenizer_config.json";
const ADDED: &str = "added_tokens.json";
const SPECIAL_MAP: &str = "special_tokens_map.json";
const DECODER: &str = "added_tokens_decoder";
/// The keys of special tokens besides the named ones: the newer key, which takes precedence, and the older
/// one.
const EXTRA: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];
/// The classes of tokenizers that transformers builds anew from the vocabulary. From the rest of
/// `tokenizer.json` they use only what these files repeat.
const REBUILT: [&str; 4] = ["Qwen2Tokenizer", "Qwen2TokenizerFast", "GPT2Tokenizer", "GPT2TokenizerFast"];

/// The settings of a tokenizer's folder.
struct Settings<'a> {
    folder: &'a Path,
    config: Map<String, Value>,
    /// Whether transformers builds the tokenizer anew.
    is_rebuilt: bool,
}

/// Adds the tokens to `inner`. Returns those, with their names, that the tokenizer still lacks. Errors name
/// file and key. They are about settings that transformers would follow differently from what they say.
pub fn complete(
    inner: &mut HfTokenizer,
    folder: &Path,
    named: &SpecialTokens,
) -> Result<Vec<(String, String)>> {
    let settings = Settings::read(folder)?;
    settings.check(inner)?;
    let stated = settings.stated(inner, named)?;
    add(inner, stated.values().map(|(token, _)| token.clone()), folder)?;
    for (id, (AddedToken { content, .. }, key)) in &stated {
        let given = inner.token_to_id(content);
        ensure!(
            given == Some(*id),
            "{key} gives `{content}` the id {id}, where the tokenizer has it as {}: the ids must be those of \
             the embedding's rows; correct them, or save the tokenizer again with transformers",
            given.map_or("nothing".to_owned(), |given| given.to_string())
        );
    }
    let mut missing = Vec::new();
    for (name, text) in named.iter() {
        match (inner.token_to_id(text), text.is_empty()) {
            (None, _) => missing.push((name.to_owned(), text.to_owned())),
            (Some(_), true) => {}
            (Some(_), false) => add_new(inner, AddedToken::from(text, true), folder)?,
        }
    }
    for (key, token) in settings.extra()? {
        // The ids of the tokens after a missing one are not known.
        if missing.is_empty() || inner.token_to_id(&token.content).is_some() {
            add_new(inner, token, folder)?;
        } else {
            missing.push((key.to_owned(), token.content));
        }
    }
    Ok(missing)
}

/// Adds a token unless one of that text was added before.
fn add_new(inner: &mut HfTokenizer, token: AddedToken, folder: &Path) -> Result<()> {
    let is_there = inner.get_added_tokens_decoder().values().any(|added| added.content == token.content);
    if is_there { Ok(()) } else { add(inner, std::iter::once(token), folder) }
}

fn add(inner: &mut HfTokenizer, tokens: impl Iterator<Item = AddedToken>, folder: &Path) -> Result<()> {
    let added = inner.add_tokens(tokens.collect::<Vec<_>>());
    added
        .map_err(|error| anyhow!("cannot add tokens to the tokenizer in `{}`: {error}", folder.display()))?;
    Ok(())
}

impl<'a> Settings<'a> {
    fn read(folder: &'a Path) -> Result<Self> {
        let config = find_object(&folder.join(CONFIG))?.unwrap_or_default();
        let class = config.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
        let model = find_object(&folder.join("config.json")).ok().flatten().unwrap_or_default();
        let is_rebuilt = REBUILT.contains(&class) || model.get("model_type") == Some(&Value::from("qwen2"));
        Ok(Settings { folder, config, is_rebuilt })
    }

    fn place(&self, file: &str) -> String {
        format!("`{}`", self.folder.join(file).display())
    }

    /// Errors if there are settings that would split texts differently from what is done here.
    fn check(&self, inner: &HfTokenizer) -> Result<()> {
        let is_on = |key: &str| self.config.get(key) == Some(&Value::Bool(true));
        let place = self.place(CONFIG);
        ensure!(
            !is_on("split_special_tokens"),
            "{place}: `split_special_tokens` is true, so that special tokens in a text are cut into pieces, those \
             of the template too: that is not supported; set it to false"
        );
        if is_on("add_prefix_space") && self.is_rebuilt {
            let parts = [
                serde_json::to_value(inner.get_pre_tokenizer())?,
                serde_json::to_value(inner.get_normalizer())?,
            ];
            ensure!(
                parts.iter().any(puts_space_first),
                "{place}: `add_prefix_space` is true, and `tokenizer.json` puts no space before a text: \
                 transformers would cut texts otherwise; set it to false, or set `add_prefix_space` of the \
                 `pre_tokenizer` of `tokenizer.json` too"
            );
        }
        Ok(())
    }

    /// Each id with the token that is said to have it, and the key that says so.
    fn stated(
        &self,
        inner: &HfTokenizer,
        named: &SpecialTokens,
    ) -> Result<BTreeMap<u32, (AddedToken, String)>> {
        let is_named = |text: &str| named.iter().any(|(_, other)| other == text);
        let mut stated = BTreeMap::new();
        let Some(decoder) = self.config.get(DECODER) else {
            let special: BTreeSet<String> =
                self.extra()?.into_iter().map(|(_, token)| token.content).collect();
            for (text, id) in find_object(&self.folder.join(ADDED))?.unwrap_or_default() {
                let place = self.place(ADDED);
                let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
                let id = id.with_context(|| format!("{place}: the id of `{text}` is no token id"))?;
                // A token that `tokenizer.json` has keeps the flags that it has there.
                if inner.token_to_id(&text).is_some() {
                    continue;
                }
                let is_special = is_named(&text) || special.contains(&text);
                stated.insert(id, (AddedToken::from(text, is_special), place));
            }
            return Ok(stated);
        };
        let place = format!("`{DECODER}` of {}", self.place(CONFIG));
        let decoder = decoder.as_object().with_context(|| format!("{place} is not a table"))?;
        for (id, token) in decoder {
            let wrong = || format!("{place}: `{id}` is no token with its id");
            let id: u32 = id.parse().with_context(wrong)?;
            let mut token = token_of(token).with_context(wrong)?;
            token.special |= is_named(&token.content);
            stated.insert(id, (token, place.clone()));
        }
        if self.is_rebuilt {
            self.check_rebuilt(inner, &stated, is_named)?;
        }
        Ok(stated)
    }

    /// Errors if transformers would lose a token of `tokenizer.json`, or read it with other flags.
    fn check_rebuilt(
        &self,
        inner: &HfTokenizer,
        stated: &BTreeMap<u32, (AddedToken, String)>,
        is_named: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let place = format!("`{DECODER}` of {}", self.place(CONFIG));
        let added: BTreeMap<u32, AddedToken> = inner.get_added_tokens_decoder().into_iter().collect();
        for (id, token) in added {
            let text = &token.content;
            let told = stated.values().map(|(told, _)| told).find(|told| told.content == *text);
            match told {
                _ if is_named(text) => {}
                None => bail!(
                    "{place} lacks `{text}` ({id}), which `tokenizer.json` has: transformers would cut it into \
                     pieces; add it there, or save the tokenizer again with transformers"
                ),
                Some(told) if *told != token => bail!(
                    "{place} and `tokenizer.json` differ in the flags of `{text}` (`lstrip`, `rstrip`, \
                     `normalized`, `single_word`, `special`): make them the same"
                ),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The special tokens besides the named ones, in the order in which they get ids, with their keys.
    fn extra(&self) -> Result<Vec<(&'static str, AddedToken)>> {
        let map = match self.config.contains_key(DECODER) {
            true => None,
            false => find_object(&self.folder.join(SPECIAL_MAP))?,
        };
        let (mut tables, mut lists) = (Vec::new(), Vec::new());
        let none = Map::new();
        for (file, settings) in [(CONFIG, &self.config), (SPECIAL_MAP, map.as_ref().unwrap_or(&none))] {
            let is_empty = |value: &Value| match value {
                Value::Array(list) => list.is_empty(),
                Value::Object(table) => table.is_empty(),
                other => other.is_null(),
            };
            let found = EXTRA.into_iter().filter_map(|key| Some((key, settings.get(key)?)));
            for (key, value) in found.filter(|(_, value)| !is_empty(value)) {
                // The older key counts if the newer one is absent or empty.
                if key == EXTRA[1] && !lists.is_empty() {
                    continue;
                }
                let (into, tokens): (_, Vec<&Value>) = match value {
                    Value::Object(table) => (&mut tables, table.values().collect()),
                    Value::Array(list) => (&mut lists, list.iter().collect()),
                    _ => bail!("`{key}` of {} is neither a list nor a table of tokens", self.place(file)),
                };
                for token in tokens {
                    let token = token_of(token);
                    let token =
                        token.with_context(|| format!("`{key}` of {} names no token", self.place(file)))?;
                    into.push((key, AddedToken { special: true, ..token }));
                }
            }
        }
        Ok(tables.into_iter().chain(lists).collect())
    }
}

/// A token as a text or as a table with its flags.
fn token_of(value: &Value) -> Option<AddedToken> {
    if let Some(text) = value.as_str() {
        return Some(AddedToken::from(text, true));
    }
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(false);
    Some(AddedToken {
        content: value.get("content")?.as_str()?.to_owned(),
        single_word: flag("single_word").unwrap_or(false),
        lstrip: flag("lstrip").unwrap_or(false),
        rstrip: flag("rstrip").unwrap_or(false),
        normalized: flag("normalized").unwrap_or(!special),
        special,
    })
}

/// Whether a part of a tokenizer puts a space before a text.
fn puts_space_first(part: &Value) -> bool {
    let is_on = |key: &str| part.get(key) == Some(&Value::Bool(true));
    match part["type"].as_str() {
        Some("ByteLevel") => is_on("add_prefix_space"),
        Some("Metaspace") => part["prepend_scheme"] != "never",
        Some("Prepend") => true,
        _ => ["pretokenizers", "normalizers"]
            .iter()
            .filter_map(|key| part.get(*key)?.as_array())
            .flatten()
            .any(puts_space_first),
    }
}
