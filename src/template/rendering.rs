//! Compiling a template and rendering it for one row, within [`bounds`].

use std::io::{self, Write};

use minijinja::{Environment, ErrorKind, Value};

use super::bounds::Size;
use super::{bounds, rewrite, turns};
use crate::caught::caught;

/// Why there is no text.
pub enum Failure {
    /// The rendering went past a bound, which the text tells.
    Past(&'static str),
    /// The template is wrong, or refuses the row.
    Wrong(String),
}

/// What compiling a template tells of it.
pub struct CompiledParts {
    pub marks_generation: bool,
    /// The name of the same template with marks around what it writes for each message.
    pub with_turns: Option<String>,
}

/// An environment for each number of steps that a rendering may take.
#[derive(Clone)]
pub struct Environments(Vec<Environment<'static>>);

impl Environments {
    /// Copies of an environment with its templates.
    pub fn of(environment: &Environment<'static>) -> Self {
        let with = |steps: u64| {
            let mut environment = environment.clone();
            environment.set_fuel(Some(steps));
            environment
        };
        Environments(bounds::STEPS.map(with).into())
    }
}

/// Compiles a template into an environment under its name. The error says what is wrong, and in which line.
pub fn compile(
    environment: &mut Environment<'static>,
    name: &str,
    source: &str,
) -> Result<CompiledParts, String> {
    caught(|| parts(environment, name, source)).unwrap_or_else(|panic| Err(broken(&panic)))
}

fn parts(environment: &mut Environment<'static>, name: &str, source: &str) -> Result<CompiledParts, String> {
    let (rewritten, marks_generation) = rewrite::rewrite(source)
        .map_err(|error| format!("{} (line {} of the template)", shortened(error.what), error.line))?;
    environment.add_template_owned(name.to_owned(), rewritten).map_err(|error| told(&error))?;
    // If a template does not compile with marks in it, it is used without them.
    let with_turns = turns::mark_loops(source).and_then(|marked| {
        let marked_name = format!("{name} with turns");
        let (rewritten, _) = rewrite::rewrite(&marked).ok()?;
        environment.add_template_owned(marked_name.clone(), rewritten).ok().map(|()| marked_name)
    });
    Ok(CompiledParts { marks_generation, with_turns })
}

/// The text of the template called `name`, for a context of that size.
pub fn render(
    environments: &Environments,
    name: &str,
    (context, size): (Value, Size),
) -> Result<String, Failure> {
    let environment = &environments.0[size.steps()];
    let text = || {
        let mut text = BoundedText(Vec::new());
        environment.get_template(name)?.render_captured_to(context, &mut text)?;
        String::from_utf8(text.0)
            .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))
    };
    let (result, past) = bounds::within(size, || match caught(text) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) if out_of_fuel(&error) => Err(Failure::Past(bounds::TOO_MANY_STEPS)),
        Ok(Err(error)) => Err(Failure::Wrong(told(&error))),
        Err(panic) => Err(Failure::Wrong(broken(&panic))),
    });
    match past {
        Some(past) => Err(Failure::Past(past)),
        None => result,
    }
}

/// Whether an error, or what led to it, is that a template took too many steps.
fn out_of_fuel(error: &minijinja::Error) -> bool {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.any(|cause| {
        cause.downcast_ref::<minijinja::Error>().is_some_and(|error| error.kind() == ErrorKind::OutOfFuel)
    })
}

fn broken(panic: &str) -> String {
    format!("the template engine cannot do what it asks for: {panic}")
}

/// The text that a template writes, up to the longest that it may have.
struct BoundedText(Vec<u8>);

impl Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bounds::write(self.0.len() + bytes.len()) {
            Ok(()) => self.0.extend_from_slice(bytes),
            Err(error) => return Err(io::Error::other(error)),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error in words: what is wrong, and in which line of the template.
fn told(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{} (line {line} of the template)", shortened(what)),
        None => shortened(what),
    }
}

/// The most characters of a template's own words that an error repeats.
const SHOWN: usize = 600;

fn shortened(mut what: String) -> String {
    if let Some((end, _)) = what.char_indices().nth(SHOWN) {
        what.truncate(end);
        what.push('…');
    }
    what
}
