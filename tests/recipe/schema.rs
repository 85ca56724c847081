//! `schemas/` is generated: these tests fail when it is not what the types say.

use runner::recipe::schema;
use serde_json::Value;

#[test]
fn the_committed_recipe_schema_is_that_of_the_types() {
    let path = "schemas/recipe.schema.json";
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == schema::recipe_text(),
        "`{path}` is out of date; refresh it with\n    cargo run -- schema recipe > {path}"
    );
}

#[test]
fn the_recipe_schema_is_draft_7() {
    let schema = schema::recipe();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    jsonschema::draft7::meta::validate(&schema).unwrap();
}

/// Editors show the descriptions, and offer no keys that the schema does not name.
#[test]
fn every_key_is_described_and_every_table_closed() {
    let schema = schema::recipe();
    let mut bare = Vec::new();
    let keys = walk(&schema, "", &mut bare);
    assert_eq!(bare, Vec::<String>::new());
    assert!(keys > 100, "only {keys} keys were looked at");
}

/// The docs of `template` name every template that comes with the program.
#[test]
fn the_shipped_templates_are_named() {
    let schema = schema::recipe();
    let doc = schema["properties"]["model"]["properties"]["template"]["description"].as_str().unwrap();
    let missing: Vec<&str> =
        runner::template::shipped_names().filter(|name| !doc.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// Notes keys without a description and tables open to any key; returns the keys seen.
fn walk(schema: &Value, at: &str, bare: &mut Vec<String>) -> usize {
    if !schema.is_object() {
        return 0;
    }
    let mut seen = 0;
    if let Some(properties) = schema["properties"].as_object() {
        if schema["additionalProperties"] != false {
            bare.push(format!("{at}: open"));
        }
        for (key, value) in properties {
            let at = format!("{at}.{key}");
            if !value["description"].is_string() {
                bare.push(format!("{at}: no description"));
            }
            seen += 1 + walk(value, &at, bare);
        }
    }
    for inner in ["items", "additionalProperties"] {
        seen += walk(&schema[inner], &format!("{at}.{inner}"), bare);
    }
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        seen += walk(alternative, at, bare);
    }
    seen
}
