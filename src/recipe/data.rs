//! Keys of `[data.NAME]`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::data::spec::{Format, MAX_ROW_BYTES};

pub const EVAL_FRACTION: f64 = 0.0;
pub const MAX_BAD_ROWS: usize = 0;
pub const MAX_DROPPED: f64 = 0.5;

/// `[data.NAME]`, as written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct DataTable {
    /// A file, a glob pattern, or a list of them, relative to the recipe: `.jsonl`, `.json`, `.csv`
    /// or `.parquet`, each also with `.gz` or `.zst`. `hub://ORG/NAME` (the training files) and
    /// `hub://ORG/NAME/PATTERN` are data sets of the Hugging Face hub that are in the local cache, as
    /// are `shareai-llama3-dpo-zh-en-emoji`, `hh-rlhf-cn-harmless-base-cn` and `ultrafeedback-kto`, whose
    /// formats and columns are known.
    #[schemars(required)]
    pub source: Option<SourceValue>,
    /// What the rows are. Default: detected from the first rows.
    pub format: Option<Format>,
    /// Our names for the columns of the file, e.g. `{ prompt = "question", chosen = "answer" }`.
    #[schemars(with = "Option<ColumnsTable>")]
    pub columns: Option<IndexMap<String, String>>,
    /// Names of roles in the files, by ours (`user`, `assistant`, `system`, `developer`, `tool`, `tool_call`),
    /// e.g. `{ user = ["customer"], assistant = ["agent"] }`. Small and capital letters are alike; the usual
    /// names (`human`, `gpt`, `function_call`, `observation`, …) are known.
    #[schemars(with = "Option<RolesTable>")]
    pub roles: Option<IndexMap<String, RoleNames>>,
    /// Share of the rows held out for evaluation, the same rows for every stage.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1, "default" = EVAL_FRACTION))]
    pub eval_fraction: Option<f64>,
    /// Rows read at most, from the top. Default: all.
    #[schemars(range(min = 1))]
    pub limit: Option<usize>,
    /// Malformed rows tolerated: each goes to the ledger; one more stops the run.
    #[schemars(extend("default" = MAX_BAD_ROWS))]
    pub max_bad_rows: Option<usize>,
    /// Share of the rows read that may be dropped, for whatever reason (malformed, of no use to the stage,
    /// too long): each goes to the ledger; a larger share is refused. Rows that are cut are not dropped.
    #[schemars(range(min = 0.0, max = 1.0), extend("default" = MAX_DROPPED))]
    pub max_dropped: Option<f64>,
    /// Bytes that a row may have in its file, unpacked: a longer line, record or item of a list is malformed,
    /// and a longer page of a `.parquet` file is refused. It bounds the memory that reading takes.
    #[schemars(range(min = 1024), extend("default" = MAX_ROW_BYTES))]
    pub max_row_bytes: Option<usize>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SourceValue {
    One(#[schemars(length(min = 1))] String),
    Many(#[schemars(length(min = 1), inner(length(min = 1)))] Vec<String>),
}

/// One name, or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RoleNames {
    One(#[schemars(length(min = 1))] String),
    Many(#[schemars(length(min = 1), inner(length(min = 1)))] Vec<String>),
}

/// Roles as chat templates name them: the value is what the file calls them. Only the schema is made
/// from this type.
#[derive(JsonSchema)]
pub struct RolesTable {
    /// Who asks.
    pub user: Option<RoleNames>,
    /// Who answers, and is trained.
    pub assistant: Option<RoleNames>,
    /// Who sets the scene.
    pub system: Option<RoleNames>,
    /// The system under its newer name.
    pub developer: Option<RoleNames>,
    /// What a tool gave back.
    pub tool: Option<RoleNames>,
    /// The assistant calling a tool: a turn whose text is the call as JSON.
    pub tool_call: Option<RoleNames>,
}

/// The columns that row formats read: the value is the column's name in the file. Only the schema
/// is made from this type; a recipe's columns are read as a map, in the order written.
#[derive(JsonSchema)]
pub struct ColumnsTable {
    /// What is asked: a string or a list of messages.
    pub prompt: Option<String>,
    /// The answer to `prompt`.
    pub completion: Option<String>,
    /// The preferred answer.
    pub chosen: Option<String>,
    /// The other answer.
    pub rejected: Option<String>,
    /// Whether `completion` is a good answer.
    pub label: Option<String>,
    /// A conversation as a list of `{ role, content }`.
    pub messages: Option<String>,
    /// The conversation that ends in the other answer.
    pub rejected_messages: Option<String>,
    /// The other answer to the last turn of `messages` or `query`.
    pub rejected_response: Option<String>,
    /// A ShareGPT conversation, a list of `{ from, value }`.
    pub conversations: Option<String>,
    /// The system prompt.
    pub system: Option<String>,
    /// The last question.
    pub query: Option<String>,
    /// Earlier turns, a list of `[question, answer]`.
    pub history: Option<String>,
    /// The answer to `query`.
    pub response: Option<String>,
    /// What is to be done (Alpaca).
    pub instruction: Option<String>,
    /// What it is to be done with (Alpaca).
    pub input: Option<String>,
    /// The answer (Alpaca).
    pub output: Option<String>,
    /// All answers to the row's question that are right: a list of texts.
    pub accepted_answers: Option<String>,
    /// Text that is trained whole.
    pub text: Option<String>,
    /// Tool schemas, as a list or as its JSON text.
    pub tools: Option<String>,
    /// Further variables of the chat template.
    pub chat_template_kwargs: Option<String>,
    /// How much better the chosen answer is.
    pub margin: Option<String>,
    /// Whether `output` is a good answer (LLaMA-Factory).
    pub kto_tag: Option<String>,
    /// Answers of which one is the best.
    pub responses: Option<String>,
    /// The place of the best of `responses`, from 0.
    pub chosen_index: Option<String>,
    /// The place of the one of `responses` that is rejected.
    pub rejected_index: Option<String>,
    /// The first of two answers, where `better_response_id` counts from 0.
    pub response_0: Option<String>,
    /// The second of two answers that are counted from 0, the first of two that are counted from 1.
    pub response_1: Option<String>,
    /// The second of two answers that are counted from 1.
    pub response_2: Option<String>,
    /// The number of the better answer, 0 or 1.
    pub better_response_id: Option<String>,
    /// Below 0 where `response_1` is better, above 0 where `response_2` is.
    pub preference_strength: Option<String>,
    /// The first of two answers, where `winner` names the better one.
    pub response_a: Option<String>,
    /// The second of two answers, where `winner` names the better one.
    pub response_b: Option<String>,
    /// The first of two conversations that begin alike.
    pub conversation_a: Option<String>,
    /// The second of two conversations that begin alike.
    pub conversation_b: Option<String>,
    /// Which of the two is better: `a`, `b` or `tie`.
    pub winner: Option<String>,
}
