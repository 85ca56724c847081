//! Problems of a recipe: each with a place in its text, printed as a compiler would.

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::terminal::safe;

/// Problems that are shown; more of them are counted.
const SHOWN: usize = 100;

/// A text that a problem can point into: the recipe, or the text of a `--set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// What is printed before line and column.
    pub name: String,
    pub text: String,
}

/// Bytes `span` of the `source`-th [`SourceText`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub source: usize,
    pub span: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong with a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub message: String,
    /// `None`: about the recipe as a whole, or about a file that cannot be read.
    pub place: Option<Location>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that explain it, each with a few words.
    pub related: Vec<(Location, String)>,
}

impl Problem {
    pub fn error(place: Option<Location>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Error, message: message.into(), place, help: None, related: Vec::new() }
    }

    pub fn warning(place: Option<Location>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(place, message) }
    }

    pub fn with_help(self, help: impl Into<String>) -> Self {
        Problem { help: Some(help.into()), ..self }
    }
}

/// Problems in the order of their places, with the texts that they point into.
///
/// `Display` prints them without colours; [`Diagnostics::coloured`] is for terminals.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostics {
    sources: Arc<Vec<SourceText>>,
    problems: Vec<Problem>,
}

impl Diagnostics {
    /// Sorts by place: the recipe from top to bottom, then the overrides as given. Problems without
    /// a place come first.
    pub fn new(sources: Arc<Vec<SourceText>>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| {
            problem.place.as_ref().map(|place| (place.source, place.span.start, place.span.end))
        });
        problems.dedup();
        Diagnostics { sources, problems }
    }

    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// All problems with ANSI colours, and the count.
    pub fn coloured(&self) -> String {
        self.render(&Renderer::styled())
    }

    /// Writes all problems to standard error. What nobody reads is lost.
    pub fn tell(&self, coloured: bool) {
        let text = if coloured { self.coloured() } else { self.to_string() };
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn render(&self, renderer: &Renderer) -> String {
        let mut text = String::new();
        // Of very many, errors are shown rather than warnings.
        let many = self.problems.len() > SHOWN && self.has_errors();
        let is_shown = |problem: &&Problem| !many || problem.severity == Severity::Error;
        let shown: Vec<&Problem> = self.problems.iter().filter(is_shown).take(SHOWN).collect();
        let more = self.problems.len() - shown.len();
        for problem in shown {
            text.push_str(renderer.render(&[self.group(problem)]).trim_end());
            text.push_str("\n\n");
        }
        if more > 0 {
            text.push_str(&format!("and {more} more problems\n\n"));
        }
        text.push_str(&self.summary());
        text
    }

    /// `2 errors, 1 warning`
    fn summary(&self) -> String {
        let errors = self.problems.iter().filter(|p| p.severity == Severity::Error).count();
        let counts = [(errors, "error"), (self.problems.len() - errors, "warning")];
        let parts: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, noun)| format!("{count} {noun}{}", if *count == 1 { "" } else { "s" }))
            .collect();
        parts.join(", ")
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(safe(&problem.message)));
        for (index, source) in self.sources.iter().enumerate() {
            let own = problem.place.iter().map(|place| (place, None, AnnotationKind::Primary));
            let related = problem
                .related
                .iter()
                .map(|(place, words)| (place, Some(words.as_str()), AnnotationKind::Context));
            let here: Vec<_> = own.chain(related).filter(|(place, ..)| place.source == index).collect();
            if here.is_empty() {
                continue;
            }
            let mut snippet = Snippet::source(source.text.as_str()).path(safe(&source.name));
            for (place, words, kind) in here {
                let span = on_one_line(&source.text, &place.span);
                let annotation = kind.span(span);
                snippet = snippet.annotation(match words {
                    Some(words) => annotation.label(safe(words)),
                    None => annotation,
                });
            }
            group = group.element(snippet);
        }
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(safe(help))),
            None => group,
        }
    }
}

/// `span` cut to character boundaries and to its first line: a list over ten lines is named by the
/// line that it starts on.
fn on_one_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (floor(span.start), floor(span.end));
    let end = end.max(start);
    let end = match text[start..end].find(['\n', '\r']) {
        Some(newline) => start + newline,
        None => end,
    };
    start..end
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

/// As `Display`: `main` returning a `Result` and failed tests print errors this way.
impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Diagnostics {}
