//! From messages to what is trained.

use serde_json::{Map, Value};

use super::{Need, media, tools, wire};
use crate::data::reason::RowReason;
use crate::data::row::{Content, RowTurns};
use crate::template::Message;

/// What a row has besides its turns.
#[derive(Debug, Clone, Default)]
pub struct Aside {
    system: Option<String>,
    /// Pointer to the turns that the system text belongs to.
    turns: &'static str,
    tools: Option<Value>,
    chat_template_kwargs: Option<Map<String, Value>>,
    margin: Option<f64>,
    label: Option<bool>,
}

impl Aside {
    /// `turns`: pointer to the turns of the row. Errors if one of the values is not of the right form.
    pub fn new(
        beside: wire::Beside,
        turns: &'static str,
        margin: Option<f64>,
        label: Option<bool>,
    ) -> Result<Self, RowReason> {
        let wire::Beside { system, tools, chat_template_kwargs } = beside;
        media::refuse_tags(system.as_deref().unwrap_or_default(), "/system")?;
        let chat_template_kwargs = match chat_template_kwargs {
            None => None,
            Some(wire::Variables::Object(map)) => Some(map),
            Some(wire::Variables::Json(text)) => match serde_json::from_str::<Map<String, Value>>(&text) {
                Ok(map) => Some(map),
                Err(_) => {
                    let accepted = "an object, or its text as JSON";
                    return Err(RowReason::wrong_type("/chat_template_kwargs", &text.into(), accepted));
                }
            },
        };
        let chat_template_kwargs = chat_template_kwargs.filter(|variables| !variables.is_empty());
        Ok(Self { system, turns, tools: tools::tools(tools)?, chat_template_kwargs, margin, label })
    }

    /// The row's tools.
    pub fn tools(&self) -> &[Value] {
        self.tools.as_ref().and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// A prompt and its answers.
pub fn answers(
    prompt: Vec<Message>,
    mut answers: Vec<Vec<Message>>,
    aside: Aside,
    need: Need,
) -> Result<Content, RowReason> {
    let Some(last) = prompt.last() else { return Err(RowReason::EmptyPrompt) };
    match last.role.as_str() {
        "user" if last.is_empty() => return Err(RowReason::EmptyPrompt),
        "assistant" => return Err(RowReason::PromptEndsInAnswer),
        _ if prompt.iter().all(is_systems) => return Err(RowReason::NoQuestion),
        _ => {}
    }
    let prompt = with_system(prompt, &aside)?;
    if need == Need::Prompt {
        answers.clear();
    }
    for answer in &answers {
        if answer.last().is_none_or(Message::is_empty) {
            return Err(RowReason::EmptyAnswer);
        }
        if let Some(other) =
            [answer.first(), answer.last()].into_iter().flatten().find(|turn| !is_assistants(turn))
        {
            return Err(RowReason::AnswerOfOthers { role: other.role.clone() });
        }
    }
    Ok(content(RowTurns::Answers { prompt, answers }, aside))
}

/// A conversation up to its last answer, since what follows it is not trained on. If prompts or unpaired
/// rows are needed, it is split before that answer; as a prompt, a conversation that ends in a question is
/// kept whole.
pub fn conversation(mut turns: Vec<Message>, aside: Aside, need: Need) -> Result<Content, RowReason> {
    if need == Need::Prompt {
        while turns.pop_if(|last| is_assistants(last)).is_some() {}
        return answers(turns, Vec::new(), aside, need);
    }
    let end = turns.iter().rposition(is_assistants).ok_or(RowReason::NoAnswer)?;
    turns.truncate(end + 1);
    if matches!(need, Need::Unpaired { .. }) {
        let start = turns.iter().rposition(|turn| !is_assistants(turn)).map_or(0, |last| last + 1);
        let answer = turns.split_off(start);
        return answers(turns, vec![answer], aside, need);
    }
    let turns = with_system(turns, &aside)?;
    if turns.iter().any(|turn| is_assistants(turn) && turn.trained && turn.is_empty()) {
        return Err(RowReason::EmptyAnswer);
    }
    Ok(content(RowTurns::Conversation(turns), aside))
}

/// Text that is trained whole.
pub fn text(text: String) -> Result<Content, RowReason> {
    media::refuse_tags(&text, "/text")?;
    match text.trim().is_empty() {
        true => Err(RowReason::EmptyAnswer),
        false => Ok(content(RowTurns::Text(text), Aside::default())),
    }
}

fn content(turns: RowTurns, aside: Aside) -> Content {
    let Aside { tools, chat_template_kwargs, margin, label, .. } = aside;
    Content { turns, tools, chat_template_kwargs, margin, label }
}

fn is_assistants(turn: &Message) -> bool {
    turn.role == "assistant"
}

fn is_systems(turn: &Message) -> bool {
    matches!(turn.role.as_str(), "system" | "developer")
}

/// The conversation with the row's own system text first. Errors if it begins with another one.
fn with_system(mut turns: Vec<Message>, aside: &Aside) -> Result<Vec<Message>, RowReason> {
    let Some(system) = aside.system.as_ref().filter(|text| !text.trim().is_empty()) else { return Ok(turns) };
    match turns.first().filter(|first| is_systems(first)) {
        Some(first) if first.text().trim() == system.trim() => {}
        Some(_) => {
            let why = "both are what the system says first; keep one of them";
            return Err(RowReason::contradiction("/system", &format!("{}/0", aside.turns), why));
        }
        None => turns.insert(0, Message::new("system", system.as_str())),
    }
    Ok(turns)
}
