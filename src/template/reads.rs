//! What a model's templates read, as their sources show it.

use super::mentions::{names, reads_key};
use super::{ChatTemplate, Kwargs, Rendering};

impl ChatTemplate {
    /// Whether a template reads the time.
    pub fn tells_time(&self) -> bool {
        self.sources().any(|(_, source)| source.contains("strftime_now"))
    }

    /// Whether the template that renders `rendering` reads the reasoning of turns.
    pub fn reads_reasoning(&self, rendering: Rendering) -> bool {
        self.choose(rendering).is_ok_and(|(_, template)| !template.reasoning.is_empty())
    }

    /// Whether the template that renders `rendering` reads a key of a turn by its name.
    pub fn reads_key(&self, key: &str, rendering: Rendering) -> bool {
        self.choose(rendering).is_ok_and(|(_, template)| reads_key(&template.source, key))
    }

    /// Whether the template that renders `rendering` reads a variable.
    pub fn reads_variable(&self, name: &str, rendering: Rendering) -> bool {
        self.choose(rendering).is_ok_and(|(_, template)| names(&template.source, name))
    }

    /// The name of the template that renders `rendering`.
    pub fn name_of(&self, rendering: Rendering) -> Option<&str> {
        self.choose(rendering).ok().map(|(name, _)| name)
    }

    /// Those of the variables that no template reads.
    pub fn unread<'a>(&self, kwargs: &'a Kwargs) -> Vec<&'a str> {
        let is_read = |name: &str| self.sources().any(|(_, source)| names(source, name));
        kwargs.keys().map(String::as_str).filter(|name| !is_read(name)).collect()
    }
}
