//! Reads files and writes what they come to, one line per row.

use std::fs;
use std::path::{Path, PathBuf};

use runner::data::spec::DataSpec;
use runner::data::{Ledger, Need, Row, RowTurns, read_rows};
use runner::template::Message;
use serde_json::Value;

pub const LABELLED: Need = Need::Unpaired { unpair: false };

/// What a file comes to.
#[derive(Debug)]
pub struct Outcome {
    pub rows: Vec<Row>,
    /// `line 3: reason`, of rows that are not used.
    pub refused: Vec<String>,
    pub warnings: Vec<String>,
    pub error: Option<String>,
}

impl Outcome {
    /// The rows as `prompt > answer | answer`, or as the turns of a conversation.
    pub fn told(&self) -> Vec<String> {
        assert_eq!(self.error, None);
        self.rows.iter().map(told).collect()
    }
}

/// How files are read.
#[derive(Default)]
pub struct Reading {
    spec: DataSpec,
}

impl Reading {
    pub fn column(mut self, ours: &str, theirs: &str) -> Self {
        self.spec.columns.insert(ours.into(), theirs.into());
        self
    }

    pub fn role(mut self, ours: &str, theirs: &[&str]) -> Self {
        self.spec.roles.insert(ours.into(), theirs.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Reads with any number of malformed rows allowed.
    pub fn file(&self, path: &Path, need: Need) -> Outcome {
        let spec = DataSpec {
            name: "d".into(),
            files: vec![path.to_owned()],
            max_bad_rows: usize::MAX,
            ..self.spec.clone()
        };
        let mut ledger = Ledger::new();
        let here = format!("{}/", path.parent().unwrap().display());
        let text = |text: String| text.replace(&here, "");
        let (rows, error) = match read_rows(&spec, need, &mut ledger) {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(text(format!("{error:#}")))),
        };
        let entry =
            |entry: &runner::data::ledger::LedgerEntry| text(format!("{}: {}", entry.origin, entry.reason));
        Outcome {
            rows,
            refused: ledger.entries().iter().map(entry).collect(),
            warnings: ledger.warnings().collect(),
            error,
        }
    }

    /// Reads a file of `inputs/`, every row of which must be usable.
    pub fn case(&self, path: &str, need: Need) -> Outcome {
        let outcome = self.file(&input(path), need);
        assert_eq!(outcome.refused, [] as [&str; 0], "{path}");
        outcome
    }

    /// Reads rows written into a `.jsonl` file; an error is that of a file in which nothing may be wrong.
    pub fn rows(&self, rows: &[Value], need: Need) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
        self.file(&path, need)
    }

    pub fn row(&self, row: Value, need: Need) -> Outcome {
        self.rows(&[row], need)
    }
}

pub fn plain() -> Reading {
    Reading::default()
}

pub fn input(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/formats/inputs").join(path)
}

/// What reading a file says that has nothing to be used, or more wrong rows than may be.
pub fn refusal(path: &str, need: Need) -> String {
    let spec = DataSpec { name: "d".into(), files: vec![input(path)], ..DataSpec::default() };
    let error = read_rows(&spec, need, &mut Ledger::new()).unwrap_err();
    let here = format!("{}/", input(path).parent().unwrap().display());
    format!("{error:#}").replace(&here, "")
}

/// `u:hi a:hello`; calls as `a!add({"a":2})`, turns that are not trained as `a-:hello`.
fn said(messages: &[Message]) -> String {
    let turn = |message: &Message| {
        let calls = message.extra.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
        let calls: String = calls
            .map(|call| {
                let function = &call["function"];
                format!("!{}({})", function["name"].as_str().unwrap(), function["arguments"])
            })
            .collect();
        let mark = if message.trained { "" } else { "-" };
        format!("{}{mark}{calls}:{}", &message.role[..1], message.text())
    };
    messages.iter().map(turn).collect::<Vec<_>>().join(" ")
}

fn told(row: &Row) -> String {
    let label = row.label.map_or("", |desirable| if desirable { " +" } else { " -" });
    match &row.turns {
        RowTurns::Conversation(messages) => said(messages),
        RowTurns::Text(text) => format!("text {text}"),
        RowTurns::Answers { prompt, answers } => {
            let answers: Vec<String> = answers.iter().map(|answer| said(answer)).collect();
            format!("{} > {}{label}", said(prompt), answers.join(" | "))
        }
    }
}
