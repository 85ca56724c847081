//! TOML text → JSON and the place of every key and value, by JSON pointer.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostics, Location, Problem, SourceText};

/// Where something was written.
#[derive(Debug, Clone)]
struct KeyOrigin {
    /// `None` for elements of lists.
    key: Option<Location>,
    /// For a table with a header, the header.
    value: Location,
}

/// A recipe as JSON, overrides applied, with the place that each value came from.
#[derive(Debug, Clone)]
pub struct Document {
    pub json: Value,
    origins: HashMap<String, KeyOrigin>,
    /// Pointers of values that were written but left out, because something is wrong with them.
    refused: BTreeSet<String>,
    sources: Arc<Vec<SourceText>>,
}

impl Document {
    /// Parses `text`; `name` stands for it in messages. The problems returned beside the document are
    /// values that no key takes (dates, `nan`, integers over 64 bits), which are left out. Errors if
    /// the text is not TOML.
    pub fn parse(name: &str, text: &str) -> Result<(Self, Vec<Problem>), Diagnostics> {
        let source = SourceText { name: name.to_owned(), text: text.to_owned() };
        let mut document = Document {
            json: Value::Object(Map::new()),
            origins: HashMap::new(),
            refused: BTreeSet::new(),
            sources: Arc::new(vec![source]),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let problems = errors.iter().map(|error| {
                let place = error.span().map(|span| Location { source: 0, span });
                Problem::error(place, format!("not valid TOML: {}", error.message()))
            });
            return Err(document.diagnostics(problems.collect()));
        }
        let mut reader = TomlReader::new(0, 0);
        document.json = reader.table(table.get_ref(), "");
        document.origins = reader.origins;
        // What is missing from the recipe as a whole is shown at its start.
        let start = KeyOrigin { key: None, value: Location { source: 0, span: 0..0 } };
        document.origins.insert(String::new(), start);
        document.refused = reader.refused.into_iter().collect();
        Ok((document, reader.problems))
    }

    pub fn sources(&self) -> &Arc<Vec<SourceText>> {
        &self.sources
    }

    pub fn diagnostics(&self, problems: Vec<Problem>) -> Diagnostics {
        Diagnostics::new(self.sources.clone(), problems)
    }

    /// The value at `pointer`, or what is nearest above it: a missing key is shown by the header of
    /// its table.
    pub fn value_place(&self, pointer: &str) -> Option<Location> {
        self.origin(pointer).map(|origin| origin.value.clone())
    }

    /// The key at `pointer`, or what is nearest above it.
    pub fn key_place(&self, pointer: &str) -> Option<Location> {
        self.origin(pointer).map(|origin| origin.key.clone().unwrap_or_else(|| origin.value.clone()))
    }

    fn origin(&self, pointer: &str) -> Option<&KeyOrigin> {
        let mut pointer = pointer;
        loop {
            if let Some(origin) = self.origins.get(pointer) {
                return Some(origin);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }

    /// Whether something was written at or below `pointer` that is wrong and was left out.
    pub fn is_refused(&self, pointer: &str) -> bool {
        let below = format!("{pointer}/");
        self.refused.contains(pointer)
            || self.refused.range(below.clone()..).next().is_some_and(|at| at.starts_with(&below))
    }

    /// Leaves out what is at `pointers`; of a list, the whole list. What stands in one table is left out
    /// together, so that the time does not grow with the square of the number of its keys.
    pub fn refuse(&mut self, pointers: &[String]) {
        let mut keys: HashMap<&str, HashSet<String>> = HashMap::new();
        for pointer in pointers {
            let mut pointer = pointer.as_str();
            while let Some((parent, last)) = pointer.rsplit_once('/') {
                if self.json.pointer(parent).is_some_and(Value::is_object) {
                    keys.entry(parent).or_default().extend(segments(&format!("/{last}")).next());
                    self.refused.insert(pointer.to_owned());
                    break;
                }
                pointer = parent;
            }
        }
        for (parent, keys) in keys {
            // The table may be in one that was left out already.
            if let Some(Value::Object(map)) = self.json.pointer_mut(parent) {
                map.retain(|key, _| !keys.contains(key));
            }
        }
    }

    /// Adds a text that values can come from; returns its number.
    pub(super) fn add_source(&mut self, name: &str, text: &str) -> usize {
        let sources = Arc::make_mut(&mut self.sources);
        sources.push(SourceText { name: name.to_owned(), text: text.to_owned() });
        sources.len() - 1
    }

    /// Puts `value`, written at `offset` of text `source`, at `pointer`, whose parents are tables
    /// (made where missing). Returns problems of the value.
    pub(super) fn replace(
        &mut self,
        pointer: &str,
        key: Location,
        value: &DeValue<'_>,
        span: Range<usize>,
    ) -> Vec<Problem> {
        let below = format!("{pointer}/");
        self.origins.retain(|at, _| at != pointer && !at.starts_with(&below));
        self.refused.retain(|at| at != pointer && !at.starts_with(&below));
        let mut reader = TomlReader::new(key.source, span.start);
        let json = reader.value(value, pointer, 0..span.len());
        let value_place = Location { source: key.source, span };
        self.origins.extend(reader.origins);
        self.refused.extend(reader.refused);
        self.origins.insert(pointer.to_owned(), KeyOrigin { key: Some(key.clone()), value: value_place });
        if let Some(json) = json {
            insert(&mut self.json, pointer, json);
            let ends = pointer.char_indices().filter(|(at, c)| *c == '/' && *at > 0);
            for (end, _) in ends {
                self.origins
                    .entry(pointer[..end].to_owned())
                    .or_insert_with(|| KeyOrigin { key: Some(key.clone()), value: key.clone() });
            }
        }
        reader.problems
    }
}

/// Sets `pointer` in `json`; parents that are missing become tables. Does nothing where a parent
/// is neither table nor list element.
fn insert(json: &mut Value, pointer: &str, value: Value) {
    let mut at = json;
    for segment in segments(pointer) {
        at = match at {
            Value::Object(map) => map.entry(segment).or_insert_with(|| Value::Object(Map::new())),
            Value::Array(list) => match segment.parse().ok().and_then(|i: usize| list.get_mut(i)) {
                Some(element) => element,
                None => return,
            },
            _ => return,
        };
    }
    *at = value;
}

/// The unescaped segments of a JSON pointer.
pub fn segments(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"))
}

/// `pointer` with one more segment.
pub fn join(pointer: &str, segment: &str) -> String {
    format!("{pointer}/{}", segment.replace('~', "~0").replace('/', "~1"))
}

/// Turns TOML into JSON and notes places, `offset` bytes into text `source`.
struct TomlReader {
    source: usize,
    offset: usize,
    origins: HashMap<String, KeyOrigin>,
    refused: HashSet<String>,
    problems: Vec<Problem>,
}

impl TomlReader {
    fn new(source: usize, offset: usize) -> Self {
        TomlReader { source, offset, origins: HashMap::new(), refused: HashSet::new(), problems: Vec::new() }
    }

    fn place(&self, span: Range<usize>) -> Location {
        Location { source: self.source, span: span.start + self.offset..span.end + self.offset }
    }

    fn table(&mut self, table: &DeTable<'_>, pointer: &str) -> Value {
        let mut map = Map::new();
        for (key, value) in table.iter() {
            let pointer = join(pointer, key.get_ref());
            let key_place = self.place(key.span());
            let json = self.value(value.get_ref(), &pointer, value.span());
            let origin = KeyOrigin { key: Some(key_place), value: self.place(value.span()) };
            self.origins.insert(pointer, origin);
            if let Some(json) = json {
                map.insert(key.get_ref().to_string(), json);
            }
        }
        Value::Object(map)
    }

    /// `None` if JSON has no such value, which is then a problem.
    fn value(&mut self, value: &DeValue<'_>, pointer: &str, span: Range<usize>) -> Option<Value> {
        match value {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Boolean(yes) => Some(Value::Bool(*yes)),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(integer) => Some(Value::Number(integer.into())),
                Err(_) => self.refuse(pointer, span, "an integer over 64 bits is too large for any key"),
            },
            DeValue::Float(digits) => match number(digits.as_str()) {
                Some(number) => Some(Value::Number(number)),
                None => self.refuse(pointer, span, format!("`{}` is not a finite number", digits.as_str())),
            },
            DeValue::Datetime(date) => {
                self.refuse(pointer, span, format!("`{date}` is a date; no key takes one"))
            }
            DeValue::Array(elements) => {
                let mut list = Vec::new();
                for (index, element) in elements.iter().enumerate() {
                    let pointer = join(pointer, &index.to_string());
                    let origin = KeyOrigin { key: None, value: self.place(element.span()) };
                    let json = self.value(element.get_ref(), &pointer, element.span());
                    self.origins.insert(pointer, origin);
                    list.push(json?);
                }
                Some(Value::Array(list))
            }
            DeValue::Table(table) => Some(self.table(table, pointer)),
        }
    }

    fn refuse(&mut self, pointer: &str, span: Range<usize>, message: impl Into<String>) -> Option<Value> {
        self.refused.insert(pointer.to_owned());
        self.problems.push(Problem::error(Some(self.place(span)), message));
        None
    }
}

/// A float as JSON; `3.0` as the integer 3, which keys of either sort take.
fn number(digits: &str) -> Option<Number> {
    let float: f64 = digits.parse().ok()?;
    // Every integer up to 2^53 is exact as a float.
    if float.fract() == 0.0 && float.abs() < 9e15 {
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
}
/// Whether `pointer` is of a `[[stage]]` table itself.
pub fn is_stage(pointer: &str) -> bool {
    let parts: Vec<String> = segments(pointer).collect();
    matches!(parts.as_slice(), [stage, _] if stage == "stage")
}
