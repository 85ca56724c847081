//! What the tests of data share: golden files, and rows as one line of text.

use std::path::{Path, PathBuf};

use runner::data::spec::DataSpec;
use runner::data::{Row, RowTurns, Tokenizer};
use runner::template::{ChatTemplate, Message};

/// A file or folder of the project's tests.
pub fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

pub fn golden(path: &str) -> PathBuf {
    tests("golden").join(path)
}

/// The chat template and the tokenizer of a golden model.
pub fn model(name: &str) -> (ChatTemplate, Tokenizer) {
    let folder = golden("models").join(name);
    let template = ChatTemplate::for_model(None, &folder, Some(&folder)).unwrap();
    (template, Tokenizer::from_folder(&folder).unwrap())
}

/// A data set of these files.
pub fn spec(files: &[impl AsRef<Path>]) -> DataSpec {
    DataSpec {
        name: "rows".into(),
        files: files.iter().map(|file| file.as_ref().to_owned()).collect(),
        ..DataSpec::default()
    }
}

/// `prompt > answer | answer`, and the label's sign if there is a label; or the conversation, or the text.
pub fn told(row: &Row) -> String {
    match &row.turns {
        RowTurns::Conversation(messages) => said(messages),
        RowTurns::Text(text) => text.clone(),
        RowTurns::Answers { prompt, answers } => {
            let answers: Vec<String> = answers.iter().map(|answer| said(answer)).collect();
            let label = row.label.map_or("", |desirable| if desirable { " +" } else { " -" });
            format!("{} > {}{label}", said(prompt), answers.join(" | "))
        }
    }
}

/// `u:hi a:hello` for a list of messages.
fn said(messages: &[Message]) -> String {
    let turn = |message: &Message| format!("{}:{}", &message.role[..1], message.text());
    messages.iter().map(turn).collect::<Vec<_>>().join(" ")
}
