//! From a row to its text and what is trained of it: named templates, templates that treat turns by
//! their place, content that is left out, reasoning, template variables, end tokens.

mod content;
mod forms;
mod masks;
mod named;
mod turns;
mod variables;
mod workspace;

use std::path::{Path, PathBuf};

use runner::data::row::{Row, RowOrigin};
use runner::data::{Ledger, Lengths, Longer, RowTurns, Tokenized, Tokenizer, tokenize};
use runner::template::Message;
use runner::template::{ChatTemplate, SpecialTokens};
use serde_json::Value;

const LONG: Lengths = Lengths { max_length: 100_000, max_prompt_length: None, longer: Longer::Cut };

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(name)
}

fn here(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/rendering").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// A template with the special tokens of the golden model `name`.
fn template(source: &str, name: &str) -> ChatTemplate {
    ChatTemplate::new(source.to_owned(), SpecialTokens::read(&model(name)).unwrap()).unwrap()
}

fn row(turns: RowTurns, tools: Option<Value>) -> Row {
    let origin = RowOrigin { row: 0, file: PathBuf::from("rows.jsonl").into(), line: 1 };
    Row {
        origin,
        turns,
        tools,
        chat_template_kwargs: None,
        margin: None,
        label: None,
        accepted_answers: Vec::new(),
    }
}

/// A message as JSON has it.
fn message(json: Value) -> Message {
    let Value::Object(mut extra) = json else { panic!("not an object") };
    let role = extra.shift_remove("role").unwrap();
    let content = extra.shift_remove("content").unwrap_or_default();
    Message { content, extra, ..Message::new(role.as_str().unwrap(), "") }
}

fn talk(json: Value) -> Vec<Message> {
    json.as_array().unwrap().iter().cloned().map(message).collect()
}

fn conversation(json: Value) -> Row {
    row(RowTurns::Conversation(talk(json)), None)
}

fn pair(prompt: Value, chosen: &str, rejected: &str) -> Row {
    let answers = [chosen, rejected].map(|answer| vec![Message::new("assistant", answer)]).to_vec();
    row(RowTurns::Answers { prompt: talk(prompt), answers }, None)
}

/// The tokens of one row, with the warnings that came up, or why there are none.
fn tokens(
    row: &Row,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<(Tokenized, Vec<String>), String> {
    let mut ledger = Ledger::new();
    let rows = tokenize(std::slice::from_ref(row), template, tokenizer, LONG, &mut ledger);
    let mut rows = rows.map_err(|error| format!("{error:#}"))?;
    Ok((rows.remove(0), ledger.warnings().collect()))
}

/// The trained texts of a row's completion, one a run of trained tokens.
fn trained(tokenized: &Tokenized, completion: usize, tokenizer: &Tokenizer) -> Vec<String> {
    let completion = &tokenized.example.completions[completion];
    let marked: Vec<(u32, bool)> =
        completion.tokens.iter().copied().zip(completion.trained.iter().copied()).collect();
    let text =
        |run: &[(u32, bool)]| tokenizer.decode(&run.iter().map(|token| token.0).collect::<Vec<_>>()).unwrap();
    marked.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1).map(text).collect()
}
