//! The templates that come with the program: `templates/NAME.jinja`.

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../templates/", $name, ".jinja")))),*];
    };
}

shipped!("chatml", "llama3", "qwen", "mistral", "gemma", "phi", "deepseek", "zephyr", "alpaca", "plain");

/// The names that a recipe's `template` may have.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// The source of a shipped template.
pub fn source(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, source)| *source)
}
