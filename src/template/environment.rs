//! minijinja set up as Jinja2 is by Hugging Face's `apply_chat_template`.
//!
//! `tests/template` checks its results against renderings of Jinja2. Known to differ: `autoescape`,
//! templates of several files, `random`, `lipsum`, `urlize` and `\N{…}` (all refused), `break` within a
//! `with` inside a loop (refused), calculations past 128 bits (refused), the printed form of generators and
//! functions, and dictionaries written with both 1 and `true` as keys.

use jiff::civil::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Error, State, UndefinedBehavior};

use super::{
    bounds, filters, functions, generation, lookup, macros, methods, namespace, operators, python, tests,
};

/// An environment in which `strftime_now` gives `now`. It takes sources that [`rewrite`](super::rewrite)
/// has rewritten.
pub fn environment(now: DateTime) -> Environment<'static> {
    let mut environment = Environment::new();
    // White space around tags was already handled when the source was rewritten.
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    environment.set_syntax(syntax.build().unwrap_or_default());
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(|out, _, value| {
        match value.as_str() {
            Some(text) => {
                bounds::begin([value])?;
                out.write_str(text)?;
            }
            None => out.write_str(&python::str(value))?,
        }
        bounds::check()
    });
    environment.add_function(generation::FUNCTION, mark_generation);
    functions::add_to(&mut environment, now);
    namespace::add_to(&mut environment);
    macros::add_to(&mut environment);
    operators::add_to(&mut environment);
    lookup::add_to(&mut environment);
    filters::add_to(&mut environment);
    tests::add_to(&mut environment);
    environment
}

/// The function that a generation block is rewritten to call. It gives the block's text, between sentinels
/// if they are wanted.
fn mark_generation(state: &mut State, arguments: Kwargs) -> Result<String, Error> {
    let caller: Value = arguments.get("caller")?;
    let sentinel = state.lookup(generation::SENTINEL).unwrap_or_default();
    let text = caller.call(state, &[])?;
    bounds::begin([&text])?;
    Ok(format!("{sentinel}{text}{sentinel}"))
}
