//! Names of the methods that Python's types have.

use minijinja::Value;

use super::python::type_name;

const DICT_METHODS: [&str; 11] =
    ["clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];
const LIST_METHODS: [&str; 11] =
    ["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const STRING_METHODS: [&str; 46] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
];

/// Whether a value of some type has a method of this name.
pub fn is_method(name: &str) -> bool {
    name == "zfill"
        || DICT_METHODS.contains(&name)
        || LIST_METHODS.contains(&name)
        || STRING_METHODS.contains(&name)
}

/// Whether `value` has a method of this name that changes nothing: Jinja2's sandbox hides the others.
pub fn has_method(value: &Value, name: &str) -> bool {
    match type_name(value) {
        "str" | "Markup" => name == "zfill" || STRING_METHODS.contains(&name),
        "dict" => DICT_METHODS.contains(&name) && !changes(value, name),
        "list" => LIST_METHODS.contains(&name) && !changes(value, name),
        "tuple" | "range" => matches!(name, "count" | "index"),
        _ => false,
    }
}

/// Whether the method would change a list or a dictionary.
pub fn changes(value: &Value, name: &str) -> bool {
    match type_name(value) {
        "dict" => matches!(name, "clear" | "pop" | "popitem" | "setdefault" | "update"),
        "list" => {
            matches!(name, "append" | "clear" | "extend" | "insert" | "pop" | "remove" | "reverse" | "sort")
        }
        _ => false,
    }
}
