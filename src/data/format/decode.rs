//! From a row's JSON object to messages, by its shape.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::pair::{Pair, agrees, is_whole, split_common_prompt};
use super::{Need, Shape, roles, transcript, wire};
use crate::data::reason::Reason;
use crate::data::row::{Message, Turns};
use crate::data::row_schema;

/// What a row says, before it is told where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub turns: Turns,
    pub tools: Option<Value>,
    pub chat_template_kwargs: Option<Map<String, Value>>,
    pub margin: Option<f64>,
    pub label: Option<bool>,
}

/// Keys beside what is said.
#[derive(Default)]
struct Beside {
    system: Option<String>,
    tools: Option<Value>,
    chat_template_kwargs: Option<Map<String, Value>>,
    margin: Option<f64>,
    label: Option<bool>,
}

/// Reads a row of a known shape. Errors say why it cannot be used.
pub fn decode(row: Map<String, Value>, shape: Shape, need: Need) -> Result<Content, Reason> {
    match shape {
        Shape::ChosenRejected => {
            let row: wire::ChosenRejected = typed(row)?;
            let beside = Beside::pair(row.system, row.tools, row.margin)?;
            pair(chosen_rejected(row.prompt, row.chosen, row.rejected)?, beside, need)
        }
        Shape::ConversationsChosenRejected => {
            let row: wire::ConversationsChosenRejected = typed(row)?;
            let prompt = messages(row.conversations, "/conversations")?;
            let chosen = answer(row.chosen, "/chosen")?;
            let beside = Beside::pair(row.system, row.tools, row.margin)?;
            pair((prompt, chosen, answer(row.rejected, "/rejected")?), beside, need)
        }
        Shape::MessagesRejected if row.contains_key("rejected_messages") => {
            let row: wire::MessagesRejectedMessages = typed(row)?;
            let chosen = messages(row.messages, "/messages")?;
            let rejected = messages(row.rejected_messages, "/rejected_messages")?;
            let beside = Beside::pair(row.system, row.tools, row.margin)?;
            pair(split_common_prompt(chosen, rejected)?, beside, need)
        }
        Shape::MessagesRejected => {
            let row: wire::MessagesRejectedResponse = typed(row)?;
            let mut prompt = messages(row.messages, "/messages")?;
            let chosen: Vec<Message> = match prompt.pop_if(|last| last.role == "assistant") {
                Some(last) => vec![last],
                None => return Err(Reason::NoAnswer),
            };
            let rejected = answer(row.rejected_response, "/rejected_response")?;
            let beside = Beside::pair(row.system, row.tools, row.margin)?;
            pair((prompt, chosen, rejected), beside, need)
        }
        Shape::QueryResponseRejected => {
            let row: wire::QueryResponseRejected = typed(row)?;
            let prompt = asked(row.history, &row.query);
            let (chosen, rejected) = (said(&row.response), said(&row.rejected_response));
            pair((prompt, chosen, rejected), Beside::pair(row.system, None, row.margin)?, need)
        }
        Shape::Messages => {
            let (row, label): (wire::Messages, _) = one_answer(row, need)?;
            let beside = Beside::one_answer(row.system, row.tools, label)?;
            conversation(messages(row.messages, "/messages")?, beside, need)
        }
        Shape::Conversations => {
            let (row, label): (wire::Conversations, _) = one_answer(row, need)?;
            let beside = Beside::one_answer(row.system, row.tools, label)?;
            conversation(messages(row.conversations, "/conversations")?, beside, need)
        }
        Shape::PromptCompletion => {
            let (row, label): (wire::PromptCompletion, _) = one_answer(row, need)?;
            let prompt = question(row.prompt, "/prompt")?;
            let completion = answer(row.completion, "/completion")?;
            answers(prompt, vec![completion], Beside::one_answer(row.system, row.tools, label)?, need)
        }
        Shape::Alpaca => {
            let (row, label): (wire::Alpaca, _) = one_answer(row, need)?;
            let query = match row.input.filter(|input| !input.trim().is_empty()) {
                Some(input) => format!("{}\n{input}", row.instruction),
                None => row.instruction,
            };
            let beside = Beside::one_answer(row.system, None, label)?;
            answers(asked(row.history, &query), vec![said(&row.output)], beside, need)
        }
        Shape::QueryResponse => {
            let (row, label): (wire::QueryResponse, _) = one_answer(row, need)?;
            let prompt = asked(row.history, &row.query);
            let beside = Beside::one_answer(row.system, None, label)?;
            answers(prompt, vec![said(&row.response)], beside, need)
        }
        Shape::Prompt => {
            let row: wire::Prompt = typed(row)?;
            let prompt = question(row.prompt, "/prompt")?;
            answers(prompt, Vec::new(), Beside::one_answer(row.system, row.tools, None)?, need)
        }
    }
}

/// The row as its type; where it does not fit, the schema of the same type says at which pointer.
fn typed<T: DeserializeOwned + row_schema::Checked>(row: Map<String, Value>) -> Result<T, Reason> {
    let row = Value::Object(row);
    serde::Deserialize::deserialize(&row).map_err(|_: serde_json::Error| T::misfit(&row))
}

/// A row with one answer, and its label where `need` has it looked at. What is marked as a bad answer
/// is nothing to imitate.
fn one_answer<T>(row: Map<String, Value>, need: Need) -> Result<(T, Option<bool>), Reason>
where
    T: DeserializeOwned + row_schema::Checked,
    wire::Labelled<T>: row_schema::Checked,
{
    match need {
        Need::Unpaired { .. } => {
            let wire::Labelled { row, verdict } = typed::<wire::Labelled<T>>(row)?;
            Ok((row, Some(verdict.is_desirable())))
        }
        Need::Sft if ["label", "kto_tag"].iter().any(|key| row.get(*key) == Some(&Value::Bool(false))) => {
            Err(Reason::UndesirableAnswer)
        }
        _ => Ok((typed(row)?, None)),
    }
}

impl Beside {
    fn pair(system: Option<String>, list: Option<wire::Tools>, margin: Option<f64>) -> Result<Self, Reason> {
        Ok(Self { system, tools: tools(list)?, margin, ..Self::default() })
    }

    fn one_answer(
        system: Option<String>,
        list: Option<wire::Tools>,
        label: Option<bool>,
    ) -> Result<Self, Reason> {
        Ok(Self { system, tools: tools(list)?, label, ..Self::default() })
    }
}

fn chosen_rejected(
    prompt: Option<wire::Turns>,
    chosen: wire::Turns,
    rejected: wire::Turns,
) -> Result<Pair, Reason> {
    let prompt = prompt.map(|prompt| question(prompt, "/prompt")).transpose()?;
    if prompt.is_none()
        && let (wire::Turns::Text(chosen), wire::Turns::Text(rejected)) = (&chosen, &rejected)
    {
        let whole = |text| transcript::turns(text).ok_or(Reason::Missing("/prompt".into()));
        return split_common_prompt(whole(chosen)?, whole(rejected)?);
    }
    let (chosen, rejected) = (answer(chosen, "/chosen")?, answer(rejected, "/rejected")?);
    if is_whole(&chosen) && is_whole(&rejected) {
        let pair = split_common_prompt(chosen, rejected)?;
        return match prompt {
            Some(prompt) if !agrees(&prompt, &pair.0) => Err(Reason::NoCommonPrompt),
            _ => Ok(pair),
        };
    }
    Ok((prompt.ok_or(Reason::Missing("/prompt".into()))?, chosen, rejected))
}

fn pair((prompt, chosen, rejected): Pair, beside: Beside, need: Need) -> Result<Content, Reason> {
    match need {
        Need::Sft | Need::Prompt => answers(prompt, vec![chosen], beside, need),
        Need::Preference | Need::Unpaired { .. } if chosen == rejected => Err(Reason::ChosenEqualsRejected),
        Need::Preference | Need::Unpaired { .. } => answers(prompt, vec![chosen, rejected], beside, need),
    }
}

fn answers(
    prompt: Vec<Message>,
    mut answers: Vec<Vec<Message>>,
    Beside { system, tools, chat_template_kwargs, margin, label }: Beside,
    need: Need,
) -> Result<Content, Reason> {
    if prompt.last().is_none_or(Message::is_empty) {
        return Err(Reason::EmptyPrompt);
    }
    let prompt = with_system(prompt, system);
    if need == Need::Prompt {
        answers.clear();
        // Whether an answer may follow.
        let answered = [prompt.as_slice(), &said("")].concat();
        if !roles::alternate(&answered) {
            return Err(Reason::RolesDoNotAlternate);
        }
    }
    for answer in &answers {
        if answer.last().is_none_or(Message::is_empty) {
            return Err(Reason::EmptyAnswer);
        }
        let whole = [prompt.as_slice(), answer].concat();
        if is_whole(answer) || !ends_answered(answer) || !roles::alternate(&whole) {
            return Err(Reason::RolesDoNotAlternate);
        }
    }
    Ok(Content { turns: Turns::Answers { prompt, answers }, tools, chat_template_kwargs, margin, label })
}

/// A conversation up to its last answer: what follows it trains nothing. Prompts and unpaired rows
/// part before that answer; a prompt that ends in a question is whole.
fn conversation(mut turns: Vec<Message>, beside: Beside, need: Need) -> Result<Content, Reason> {
    let end = turns.iter().rposition(|turn| turn.role == "assistant");
    match (need, end) {
        (Need::Prompt, Some(end)) if end + 1 == turns.len() => turns.truncate(end),
        (Need::Prompt, _) => {}
        (_, None) => return Err(Reason::NoAnswer),
        (_, Some(end)) => turns.truncate(end + 1),
    }
    if need == Need::Prompt {
        return answers(turns, Vec::new(), beside, need);
    }
    if matches!(need, Need::Unpaired { .. }) {
        let answer = turns.pop().into_iter().collect();
        return answers(turns, vec![answer], beside, need);
    }
    let turns = with_system(turns, beside.system);
    if turns.iter().any(|turn| turn.role == "assistant" && turn.is_empty()) {
        return Err(Reason::EmptyAnswer);
    }
    if !roles::alternate(&turns) {
        return Err(Reason::RolesDoNotAlternate);
    }
    let Beside { tools, chat_template_kwargs, .. } = beside;
    Ok(Content { turns: Turns::Conversation(turns), tools, chat_template_kwargs, margin: None, label: None })
}

fn ends_answered(answer: &[Message]) -> bool {
    answer.last().is_some_and(|last| last.role == "assistant")
}

/// The conversation with the row's own system text first, unless it has one.
fn with_system(mut turns: Vec<Message>, system: Option<String>) -> Vec<Message> {
    let own = turns.first().is_some_and(|first| first.role == "system");
    if let Some(system) = system.filter(|text| !own && !text.trim().is_empty()) {
        turns.insert(0, Message::new("system", system));
    }
    turns
}

fn asked(history: Option<Vec<[String; 2]>>, query: &str) -> Vec<Message> {
    let earlier = history
        .unwrap_or_default()
        .into_iter()
        .flat_map(|[question, answer]| [Message::new("user", question), Message::new("assistant", answer)]);
    earlier.chain([Message::new("user", query)]).collect()
}

fn said(text: &str) -> Vec<Message> {
    vec![Message::new("assistant", text)]
}

/// A prompt: text is one user turn, or a transcript that may end by opening the answer.
fn question(turns: wire::Turns, pointer: &str) -> Result<Vec<Message>, Reason> {
    match turns {
        wire::Turns::Text(text) if text.starts_with("\n\nHuman:") => {
            let mut turns = transcript::turns(&text).unwrap_or_default();
            turns.pop_if(|last| last.role == "assistant" && last.is_empty());
            Ok(turns)
        }
        wire::Turns::Text(text) => Ok(vec![Message::new("user", text)]),
        turns => listed(turns, pointer),
    }
}

/// An answer: text is one assistant turn.
fn answer(turns: wire::Turns, pointer: &str) -> Result<Vec<Message>, Reason> {
    match turns {
        wire::Turns::Text(text) => Ok(said(&text)),
        turns => listed(turns, pointer),
    }
}

fn listed(turns: wire::Turns, pointer: &str) -> Result<Vec<Message>, Reason> {
    match turns {
        wire::Turns::Text(text) => Ok(vec![Message::new("user", text)]),
        wire::Turns::Message(turn) => Ok(vec![message(turn, pointer)?]),
        wire::Turns::Messages(turns) => messages(turns, pointer),
    }
}

fn messages(turns: Vec<wire::Turn>, pointer: &str) -> Result<Vec<Message>, Reason> {
    let at = |(index, turn)| message(turn, &format!("{pointer}/{index}"));
    turns.into_iter().enumerate().map(at).collect()
}

fn message(turn: wire::Turn, pointer: &str) -> Result<Message, Reason> {
    let known = |name: String, key: &str| match roles::role(&name) {
        Some(role) => Ok(role.to_owned()),
        None => Err(Reason::UnknownRole { role: name, pointer: format!("{pointer}/{key}") }),
    };
    match turn {
        wire::Turn::Chat(wire::ChatTurn { role, content, text, mut extra }) => {
            if let (Some(_), Some(text)) = (&content, &text) {
                extra.insert("text".to_owned(), Value::String(text.clone()));
            }
            let content = match content {
                None => text.map_or(Value::Null, Value::String),
                Some(wire::TurnContent::Text(text)) => Value::String(text),
                Some(wire::TurnContent::Parts(parts)) => parts.into_iter().map(Value::Object).collect(),
            };
            Ok(Message { role: known(role, "role")?, content, extra, trained: true })
        }
        wire::Turn::ShareGpt(wire::ShareGptTurn { from, value }) => Ok(Message {
            role: known(from, "from")?,
            content: value.into(),
            extra: Map::new(),
            trained: true,
        }),
    }
}

fn tools(tools: Option<wire::Tools>) -> Result<Option<Value>, Reason> {
    Ok(match tools {
        None => None,
        Some(wire::Tools::List(list)) => Some(Value::Array(list)),
        Some(wire::Tools::Json(text)) if text.trim().is_empty() => None,
        Some(wire::Tools::Json(text)) => {
            Some(serde_json::from_str(&text).map_err(|_| Reason::WrongType("/tools".into()))?)
        }
    })
}
