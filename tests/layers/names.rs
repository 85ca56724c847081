//! Names of types that are defined more than once in a crate.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{Module, Sources, module, without_tests};

/// Each name that several types have: `Name: file:line, file:line`. Test modules are left out.
pub fn defined_twice(sources: &Sources) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let test_modules = test_modules(sources);
    for (file, text) in sources.files().filter(|(file, _)| !is_test(&module(file), &test_modules)) {
        for (line, text) in without_tests(text).lines().enumerate() {
            if let Some(name) = defined(text) {
                places.entry(name).or_default().push(format!("{}:{}", file.display(), line + 1));
            }
        }
    }
    places.retain(|_, places| places.len() > 1);
    places.into_iter().map(|(name, places)| format!("{name}: {}", places.join(", "))).collect()
}

/// The type that a line defines. A `type` in an `impl` or a trait belongs to that, and is not counted.
fn defined(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub").map(str::trim_start) {
        Some(code) if code.starts_with('(') => code.split_once(") ")?.1,
        Some(code) => code,
        None => code,
    };
    let (word, rest) = code.strip_prefix("unsafe ").unwrap_or(code).split_once(' ')?;
    let is_definition = match word {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => !line.starts_with(' '),
        _ => false,
    };
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (is_definition && end > 0).then(|| &rest[..end])
}

/// Modules that are declared for tests alone.
fn test_modules(sources: &Sources) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    for (file, text) in sources.files() {
        for (condition, declaration) in text.lines().zip(text.lines().skip(1)) {
            let name = declaration.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
            let is_for_tests = ["#[cfg(test)]", "#[cfg(all(test,"].iter().any(|c| condition.starts_with(c));
            if let (Some(name), true) = (name, is_for_tests) {
                found.insert([module(file), vec![name.to_owned()]].concat());
            }
        }
    }
    found
}

/// Whether a module is one of `test_modules` or below one, or is named as a file of tests is.
fn is_test(module: &[String], test_modules: &BTreeSet<Module>) -> bool {
    let is_named_so = module.last().is_some_and(|name| name.ends_with("_tests"));
    is_named_so || (1..=module.len()).any(|length| test_modules.contains(&module[..length]))
}

#[test]
fn types_of_one_name_are_found() {
    let files = [
        ("lib.rs", "mod one;\nmod two;\n#[cfg(test)]\nmod in_tests;\n"),
        (
            "one.rs",
            "pub struct Same(u8);\n\nimpl Iterator for Same {\n    type Item = u8;\n}\ntype Item = u8;\n",
        ),
        ("two.rs", "fn f() {\n    enum Same {}\n}\n\npub(crate) unsafe trait Other {}\n// struct Other\n"),
        ("in_tests.rs", "struct Same;\n"),
    ];
    let files = files.map(|(path, text)| (path.into(), text.to_owned()));
    assert_eq!(defined_twice(&Sources::of(files.into())), ["Same: one.rs:1, two.rs:2"]);
}
