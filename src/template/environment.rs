//! minijinja set up as Jinja2 is by Hugging Face's `apply_chat_template`.
//!
//! `tests/template.rs` holds some 900 renderings of Jinja2 that it must give. Known to differ, none
//! of them seen in a chat template: `varargs` and `kwargs` of macros, `{% autoescape %}`, unary
//! plus, `cycler`, `joiner`, `lipsum`, the filters `striptags`, `urlencode`, `urlize`, `wordwrap`,
//! `filesizeformat`, `xmlattr` and `random` (all refused), `attr` of a dictionary, exponents of floats
//! joined by `~`, and the printed form of ranges, generators and groups.

use jiff::civil::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueOrKwargs};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, functions};

use super::{filters, generation, methods, python, strftime, tests};

/// An environment in which `strftime_now` tells `now`.
pub fn environment(now: DateTime) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(whitespace());
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(|out, _, value| {
        if let Some(text) = value.as_str() {
            out.write_str(text)?;
        } else {
            out.write_str(&python::str(value))?;
        }
        Ok(())
    });
    environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, python::str(message)))
    });
    environment.add_function("strftime_now", move |format: &str| strftime::strftime(now, format));
    environment.add_function("namespace", namespace);
    environment.add_function(generation::FUNCTION, mark_generation);
    environment.remove_global("debug");
    filters::add_to(&mut environment);
    tests::add_to(&mut environment);
    environment
}

fn whitespace() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    syntax.build().unwrap_or_default()
}

/// `namespace(dict, **values)`.
fn namespace(values: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let values = functions::dict(values, named)?;
    functions::namespace(Some(ValueOrKwargs::from(values)))
}

/// What a generation block is rewritten to call: its text, between sentinels if they are wanted.
fn mark_generation(state: &mut State, arguments: Kwargs) -> Result<String, Error> {
    let caller: Value = arguments.get("caller")?;
    let sentinel = state.lookup(generation::SENTINEL).unwrap_or_default();
    let text = caller.call(state, &[])?;
    Ok(format!("{sentinel}{text}{sentinel}"))
}
