//! What is tried: recipes, rows, templates, and the files of models and adapters.

use std::fs;
use std::path::{Path, PathBuf};

use runner::data::spec::DataSpec;
use runner::data::{Ledger, Need, Tokenizer, read_rows};
use runner::model::folder::ModelFolder;
use runner::model::tuner::adapter::Adapter;
use runner::plan::resolve::{RecipeUse, load};
use runner::template::{ChatTemplate, Message, Rendering, SpecialTokens};
use serde_json::json;
use tempfile::TempDir;

use super::{files, fuzz};

fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// The contents of files below `tests/` with that end of their names, the small ones.
fn seeds(folders: &[&str], end: &str) -> Vec<Vec<u8>> {
    let paths = folders.iter().flat_map(|folder| files(&tests(folder)));
    let named = paths.filter(|path| path.to_string_lossy().ends_with(end));
    named.map(|path| fs::read(path).unwrap()).filter(|content| content.len() < 100_000).collect()
}

#[test]
fn recipes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    let words = [
        "[[stage]]",
        "[data.x]",
        "[model]",
        "[defaults]",
        "kind = \"ppo\"",
        "lora = { rank = 4 }",
        "\"\"\"",
        "'''",
        "source = [",
        "model = \"stage:sft\"",
        "nan",
        "inf",
        "1979-05-27",
        "max_steps",
        "= ",
        "\u{202e}",
    ];
    fuzz("recipes", seeds(&["recipes/valid", "recipes/invalid"], ".toml"), &words, |input| {
        fs::write(&path, input).unwrap();
        match load(&path, &["stage.sft.beta=1".to_owned()], RecipeUse::Plan) {
            Ok(recipe) => drop(recipe.warnings.to_string()),
            Err(problems) => drop(problems.coloured()),
        }
    });
}

/// Words of rows.
const ROWS: [&str; 16] = [
    "{\"messages\": [",
    "\"role\": \"user\"",
    "\"content\": \"x\"",
    "\"chosen\": ",
    "\"rejected\": ",
    "\"prompt\": ",
    "\"completion\": ",
    "\"label\": true",
    "\"tool_calls\": [{",
    "null",
    "\"conversations\": [",
    "\\ud800",
    "\r\n",
    "\"margin\": 1",
    "[[",
    "\"\"",
];

/// Reads rows from a file of that name, as each kind of training does.
fn read(folder: &TempDir, name: &str, input: &[u8]) {
    let path = folder.path().join(name);
    fs::write(&path, input).unwrap();
    let spec =
        DataSpec { name: "rows".into(), files: vec![path], max_bad_rows: usize::MAX, ..DataSpec::default() };
    for need in [Need::Sft, Need::Preference, Need::Unpaired { unpair: true }, Need::Prompt] {
        let mut ledger = Ledger::new();
        if let Ok(rows) = read_rows(&spec, need, &mut ledger) {
            assert!(!rows.is_empty());
        }
    }
}

fn rows(name: &str, file: &str, end: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut seeds =
        seeds(&["data/files", "data/files/valid", "data/files/invalid", "cases", "golden/data"], end);
    seeds.push(b"{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n".to_vec());
    fuzz(name, seeds, &ROWS, |input| read(&folder, file, input));
}

#[test]
fn rows_of_json_lines() {
    rows("rows_of_json_lines", "rows.jsonl", ".jsonl");
}

#[test]
fn rows_of_json() {
    rows("rows_of_json", "rows.json", ".json");
}

#[test]
fn rows_of_csv() {
    rows("rows_of_csv", "rows.csv", ".csv");
}

#[test]
fn rows_of_parquet() {
    rows("rows_of_parquet", "rows.parquet", ".parquet");
}

#[test]
fn rows_that_are_packed() {
    rows("rows_that_are_packed", "rows.jsonl.zst", ".zst");
}

#[test]
fn templates() {
    let messages = [Message::new("system", "s"), Message::new("user", "q"), Message::new("assistant", "a")];
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let mut seeds = seeds(&["template", "template/files", "../templates"], ".jinja");
    seeds.push(br#"{% for m in messages %}{{ m['role'] ~ ': ' ~ m.content | trim }}{% endfor %}"#.to_vec());
    let words = [
        "{% for x in messages %}",
        "{% endfor %}",
        "{{ x }}",
        "{% set n.x = [n.x] %}",
        "{% macro m(a) %}",
        "{% endmacro %}",
        "namespace(a=[])",
        "range(99999999)",
        "| tojson",
        "~ ",
        "* 99999999",
        "'%99999d' % 1",
        "loop.cycle()",
        "| join",
        "[::-1]",
        "{% if %}",
        "{%- else -%}",
        "| batch(3)",
        "{% generation %}",
        "**",
    ];
    fuzz("templates", seeds, &words, |input| {
        let Ok(source) = String::from_utf8(input.to_vec()) else { return };
        let Ok(template) = ChatTemplate::new(source, SpecialTokens::default()) else { return };
        for tools in [None, Some(&tools)] {
            let rendering = Rendering { tools, add_generation_prompt: true, ..Rendering::default() };
            if let Ok(text) = template.render(&messages, rendering) {
                template.turn_parts(&messages, rendering, &text);
            }
        }
    });
}

/// A copy of a golden model, of which one file is replaced by each input before `target` looks at the folder.
fn model_file(name: &str, file: &str, words: &[&str], target: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    for path in files(&tests("golden/models/llama3")) {
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let models = ["llama3", "mistral", "qwen2", "qwen3"];
    let seeds = models.map(|model| fs::read(tests("golden/models").join(model).join(file)).unwrap());
    fuzz(name, seeds.to_vec(), words, |input| {
        fs::write(folder.path().join(file), input).unwrap();
        target(folder.path());
    });
}

#[test]
fn configs() {
    let words = [
        "\"rope_scaling\": {",
        "\"rope_type\": \"yarn\"",
        "\"layer_types\": [",
        "\"num_hidden_layers\": ",
        "null",
        "[]",
        "\"quantization_config\": {}",
        "{",
        "}",
        "true",
        "\"head_dim\": ",
    ];
    model_file("configs", "config.json", &words, |folder| {
        if let Ok(opened) = ModelFolder::open(folder) {
            opened.config.parameters();
        }
    });
}

#[test]
fn tokenizers() {
    let words = [
        "\"dropout\": 0.5",
        "\"type\": \"Replace\"",
        "\"pattern\": {\"String\": \"\"}",
        "\"Regex\": \"(a*)*b\"",
        "null",
        "\"special\": true",
        "\"added_tokens\": [",
        "\"merges\": []",
        "\"vocab\": {}",
        "{",
        "}",
        "\"normalizer\": ",
    ];
    model_file("tokenizers", "tokenizer.json", &words, |folder| {
        if let Ok(tokenizer) = Tokenizer::from_folder(folder) {
            let encoded = tokenizer.encode_with_offsets("Is it? Yes, <|im_end|> ü 日本 it is.");
            drop(encoded.and_then(|encoded| tokenizer.decode(&encoded.ids)));
        }
    });
}

#[test]
fn headers_of_weights() {
    let words =
        ["\"dtype\":\"F32\"", "\"I64\"", "\"shape\":[", "\"data_offsets\":[", "{", "}", "__metadata__"];
    model_file("headers_of_weights", "model.safetensors", &words, |folder| {
        if let Ok(opened) = ModelFolder::open(folder) {
            drop(opened.weights());
        }
    });
}

#[test]
fn adapter_configs() {
    let folder = tempfile::tempdir().unwrap();
    let config = ModelFolder::open(&tests("golden/models/llama3")).unwrap().config;
    let written = json!({
        "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"],
        "base_model_name_or_path": "models/base", "task_type": "CAUSAL_LM", "rank_pattern": {"q_proj": 8},
    });
    let weights =
        safetensors::serialize(Vec::<(String, safetensors::tensor::TensorView)>::new(), None).unwrap();
    fs::write(folder.path().join("adapter_model.safetensors"), weights).unwrap();
    let words = [
        "\"use_dora\": true",
        "\"alpha_pattern\": {\"^(a*)*$\": 1}",
        "\"modules_to_save\": [",
        "null",
        "\"r\": ",
        "{",
        "}",
        "\"target_modules\": \"all-linear\"",
        "\"bias\": \"all\"",
        "\"layers_to_transform\": [0",
    ];
    fuzz("adapter_configs", vec![serde_json::to_vec(&written).unwrap()], &words, |input| {
        fs::write(folder.path().join("adapter_config.json"), input).unwrap();
        if let Ok(adapter) = Adapter::open(folder.path()) {
            drop(adapter.places(&config, true));
        }
    });
}
