//! From rows of preferences, of any shape, to pairs.

use serde_json::{Map, Value};

use super::decode::RowReader;
use super::finish::{self, Aside};
use super::left::{account_for_conversations, has_question};
use super::pair::{PreferencePair, agrees, is_whole, split_common_prompt, split_common_text};
use super::question::beside_prompt;
use super::turns::{asked, said};
use super::{Need, RowShape, transcript, wire};
use crate::data::reason::RowReason;
use crate::data::row::Content;
use crate::template::Message;

/// The pairs of a row, or the reason why one of them cannot be used.
type Pairs = Result<Vec<Result<Content, RowReason>>, RowReason>;

impl RowReader<'_> {
    /// The pairs of a row. If only the chosen side is needed, this is one.
    pub fn pairs(&mut self, row: Map<String, Value>, shape: RowShape) -> Pairs {
        match shape {
            RowShape::ChosenRejected => self.chosen_rejected(row),
            RowShape::ConversationsChosenRejected => {
                let row: wire::ConversationsChosenRejected = self.typed(row)?;
                let prompt = self.reader.messages(row.conversations, "/conversations")?;
                let chosen = self.one(row.chosen, "/chosen")?;
                let rejected = self.reader.answers(row.rejected, "/rejected")?;
                let aside = self.aside(row.beside, "/conversations", row.margin, None)?;
                self.finish(Some(prompt), chosen, rejected, aside)
            }
            RowShape::MessagesRejected if row.contains_key("rejected_messages") => {
                let row: wire::MessagesRejectedMessages = self.typed(row)?;
                let chosen = self.reader.messages(row.messages, "/messages")?;
                let rejected = match row.rejected_messages {
                    wire::Lists::One(turns) => wire::Answers::Messages(turns),
                    wire::Lists::Several(lists) => wire::Answers::Conversations(lists),
                };
                let rejected = self.reader.answers(rejected, "/rejected_messages")?;
                let aside = self.aside(row.beside, "/messages", row.margin, None)?;
                self.finish(None, chosen, rejected, aside)
            }
            RowShape::MessagesRejected => {
                let row: wire::MessagesRejectedResponse = self.typed(row)?;
                let mut prompt = self.reader.messages(row.messages, "/messages")?;
                let rejected = self.reader.answers(row.rejected_response, "/rejected_response")?;
                let aside = self.aside(row.beside, "/messages", row.margin, None)?;
                if rejected.iter().all(|answer| is_whole(answer)) {
                    return self.finish(None, prompt, rejected, aside);
                }
                let chosen = prompt.pop_if(|last| last.role == "assistant").ok_or(RowReason::NoAnswer)?;
                self.finish(Some(prompt), vec![chosen], rejected, aside)
            }
            RowShape::QueryResponseRejected => {
                let row: wire::QueryResponseRejected = self.typed(row)?;
                let prompt = self.prompt(Some(wire::Turns::Text(row.query)), row.input, row.history)?;
                let chosen = self.one(wire::Answers::Text(row.response), "/response")?;
                let rejected = self.reader.answers(row.rejected_response, "/rejected_response")?;
                let aside = self.aside(row.beside, "/query", row.margin, None)?;
                self.finish(Some(prompt), chosen, rejected, aside)
            }
            RowShape::AlpacaPair => {
                let row: wire::AlpacaPair = self.typed(row)?;
                let prompt = self.prompt(Some(wire::Turns::Text(row.instruction)), row.input, row.history)?;
                let [chosen, rejected] = row.output.map(wire::Answers::Text);
                let chosen = self.one(chosen, "/output/0")?;
                let rejected = self.reader.answers(rejected, "/output/1")?;
                let aside = self.aside(row.beside, "/instruction", row.margin, None)?;
                self.finish(Some(prompt), chosen, rejected, aside)
            }
            told => self.told(row, told),
        }
    }

    fn chosen_rejected(&mut self, row: Map<String, Value>) -> Pairs {
        let keys: Vec<String> = row.keys().cloned().collect();
        let row: wire::ChosenRejected = self.typed(row)?;
        let missing = || RowReason::Missing { pointer: "/prompt".into(), keys: keys.clone() };
        let is_text = matches!(row.question.prompt, None | Some(wire::Turns::Text(_)));
        let has_prompt = row.question.prompt.is_some();
        let beside_prompt = beside_prompt(&row.question);
        let prompt = self.question(row.question)?;
        let are_texts = matches!(&row.chosen, wire::Answers::Text(_))
            && matches!(&row.rejected, wire::Answers::Text(_) | wire::Answers::Texts(_));
        let chosen = self.one(row.chosen, "/chosen")?;
        let rejected = self.reader.answers(row.rejected, "/rejected")?;
        let aside = self.aside(row.beside, "/chosen", row.margin, None)?;
        match prompt {
            None if has_question(&self.left) && (are_texts || !is_whole(&chosen)) => Err(missing()),
            None if are_texts => {
                let pairs = rejected.iter().map(|rejected| split_texts(&chosen, rejected));
                self.each(pairs.collect(), aside)
            }
            None if chosen.len() < 2 && rejected.iter().all(|answer| answer.len() < 2) => Err(missing()),
            Some(prompt) if is_whole(&chosen) && rejected.iter().all(|answer| is_whole(answer)) => {
                let pairs: Vec<_> = rejected
                    .into_iter()
                    .map(|rejected| split_common_prompt(chosen.clone(), rejected))
                    .collect();
                if let Some(Ok((common, ..))) = pairs.iter().find(|pair| pair.is_ok()) {
                    let is_rendering = || {
                        let written: String = prompt.iter().map(Message::text).collect();
                        common.iter().all(|turn| written.contains(turn.text().trim()))
                    };
                    let is_told = |text: &String| common.iter().any(|turn| turn.text().trim() == text.trim());
                    let lost = beside_prompt.iter().find(|(_, texts)| !texts.iter().all(is_told));
                    let agrees = agrees(&prompt, common);
                    if let (false, Some((key, _))) = (agrees, lost) {
                        return Err(RowReason::WouldBeLost { pointer: (*key).to_owned() });
                    }
                    match agrees {
                        true => {}
                        // As in TRL, a prompt that is text is ignored if both answers are whole
                        // conversations.
                        false if is_text && (is_rendering() || !has_prompt) => {}
                        false if is_text => self.reader.notes.unread("/prompt"),
                        false => {
                            let why =
                                "chosen and rejected are whole conversations that begin with other turns";
                            return Err(RowReason::contradiction("/prompt", "/chosen", why));
                        }
                    }
                }
                self.each(pairs, aside)
            }
            None => {
                let pairs = self.finish(None, chosen, rejected, aside)?;
                if pairs.iter().any(Result::is_ok) {
                    account_for_conversations(&self.left, &pairs)?;
                }
                Ok(pairs)
            }
            prompt => self.finish(prompt, chosen, rejected, aside),
        }
    }

    /// The only answer of a key that must not hold several.
    fn one(&mut self, answers: wire::Answers, pointer: &str) -> Result<Vec<Message>, RowReason> {
        let mut answers = self.reader.answers(answers, pointer)?;
        match (answers.pop(), answers.len()) {
            (Some(answer), 0) => Ok(answer),
            (_, others) => {
                let found = format!("a list of {} answers", others + 1).into();
                Err(RowReason::wrong_type(
                    pointer,
                    &found,
                    "one answer: of several it is not said which is the best",
                ))
            }
        }
    }

    /// The pairs of a prompt; without one, the prompt is what both sides begin with.
    pub fn finish(
        &mut self,
        prompt: Option<Vec<Message>>,
        chosen: Vec<Message>,
        rejected: Vec<Vec<Message>>,
        aside: Aside,
    ) -> Pairs {
        let pair = |rejected: Vec<Message>| match &prompt {
            Some(prompt) => Ok((prompt.clone(), chosen.clone(), rejected)),
            None => split_common_prompt(chosen.clone(), rejected),
        };
        self.each(rejected.into_iter().map(pair).collect(), aside)
    }

    fn each(&mut self, pairs: Vec<Result<PreferencePair, RowReason>>, aside: Aside) -> Pairs {
        if matches!(self.need, Need::Sft | Need::Prompt) {
            // Rejected answers are not needed: every pair has the prompt and the chosen answer.
            let pair = pairs.into_iter().reduce(|a, b| if a.is_ok() { a } else { b });
            let (prompt, chosen, _) = pair.unwrap_or(Err(RowReason::NoAnswer))?;
            return Ok(vec![Ok(finish::answers(prompt, vec![chosen], aside, self.need)?)]);
        }
        if pairs.len() > 1 {
            self.reader.notes.several_pairs(pairs.len());
        }
        let content = |pair: Result<PreferencePair, RowReason>| {
            let (prompt, chosen, rejected) = pair?;
            match chosen == rejected {
                true => Err(RowReason::ChosenEqualsRejected),
                false => finish::answers(prompt, vec![chosen, rejected], aside.clone(), self.need),
            }
        };
        Ok(pairs.into_iter().map(content).collect())
    }
}

/// The pair of two texts without a prompt: transcripts, or texts that begin alike.
fn split_texts(chosen: &[Message], rejected: &[Message]) -> Result<PreferencePair, RowReason> {
    let text = |turns: &[Message]| turns.iter().map(Message::text).collect::<String>();
    let (chosen, rejected) = (text(chosen), text(rejected));
    if let (Some(chosen), Some(rejected)) = (transcript::turns(&chosen), transcript::turns(&rejected)) {
        return split_common_prompt(chosen, rejected);
    }
    let (prompt, chosen, rejected) = split_common_text(&chosen, &rejected)?;
    Ok((asked(prompt), said(chosen), said(rejected)))
}
