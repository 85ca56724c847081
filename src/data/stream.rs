//! The rows of a data set as tokens, read in one pass: a row's text is dropped once it is tokenised, and its
//! tokens go to a [`TokenStore`]. What is held of each row is where it comes from and what became of it.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use indexmap::IndexSet;

use super::accounts::Accounts;
use super::example::{Completion, Example};
use super::format::Need;
use super::ledger::Ledger;
use super::packed::{pack, unpack};
use super::read::read_with;
use super::reason::RowReason;
use super::row::{Row, RowOrigin};
use super::spec::DataSpec;
use super::split::{HeldOut, share};
use super::store::{StoreReader, StoreWriter, TokenStore};
use super::tokenizer::Tokenizer;
use super::tokens::{Lengths, RowNotes, Tokenized, tokenize_row};
use super::unread::{self, Given};
use crate::template::{ChatTemplate, Message};

/// Rows between two calls of those who watch.
const WATCHED: usize = 4096;

/// Questions that are kept of the training rows and of the held-out rows.
pub const QUESTIONS: usize = 8;

/// What became of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Where its tokens begin in the store; they end where those of the next begin.
    pub start: u64,
    pub row: u32,
    pub line: u32,
    pub file: u32,
    /// 1 + the index of what it gives to the template, or 0.
    pub given: u32,
    /// 1 + the index of the end of its prompt that its texts lack, or 0.
    pub left: u32,
    pub flags: u32,
}

pub(super) const DROPPED: u32 = 1;
pub(super) const CUT: u32 = 2;
pub(super) const PROMPT_CUT: u32 = 4;
/// The answer is not desirable.
pub(super) const UNDESIRABLE: u32 = 8;
pub(super) const ASKS: u32 = 16;
pub(super) const LACKS_REASONING: u32 = 32;

/// The rows of a data set, tokenised.
#[derive(Debug)]
pub struct TokenRows {
    pub(super) store: TokenStore,
    pub(super) items: Vec<Item>,
    pub(super) files: Vec<Arc<PathBuf>>,
    /// Why rows are dropped, by the index of their item.
    pub(super) dropped: HashMap<u32, RowReason>,
    /// What makes all rows useless, with the index of the first item, at most one error of each part.
    pub(super) failed: Vec<(u32, anyhow::Error)>,
    pub(super) left: IndexSet<String>,
    pub(super) given: IndexSet<Given>,
    /// What the first rows of each part ask, by the index of their item.
    pub(super) questions: HashMap<u32, String>,
    /// All right answers of rows that may be held out, where they name them.
    pub(super) accepted: HashMap<u32, Vec<String>>,
    /// Rows that could not be read, and warnings about the files.
    pub refused: Ledger,
}

/// How rows are read and tokenised.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub data: &'a DataSpec,
    pub need: Need,
    pub template: &'a ChatTemplate,
    pub tokenizer: &'a Tokenizer,
    pub lengths: Lengths,
}

/// What a thread made of a row.
struct TokenisedRow {
    origin: RowOrigin,
    tokens: Result<Result<KeptRow, RowReason>>,
    given: Option<Given>,
    question: String,
    accepted_answers: Vec<String>,
    label: Option<bool>,
    is_prompt: bool,
}

struct KeptRow {
    packed: Vec<u8>,
    cuts: Vec<RowReason>,
    notes: RowNotes,
}

impl Reading<'_> {
    /// Reads and tokenises all rows. Errors as [`read_with`] does. A file that is needed for many rows is made
    /// by `open`. `watch` is called now and then with the number of rows so far, and ends the reading by an
    /// error.
    pub fn rows(
        &self,
        open: impl Fn() -> Result<File>,
        watch: &dyn Fn(usize) -> Result<()>,
    ) -> Result<TokenRows> {
        let mut rows = Collector::new(self.data.eval_fraction);
        let sink = |done| {
            rows.take(done, &open)?;
            let number = rows.items.len();
            if number.is_multiple_of(WATCHED) { watch(number) } else { Ok(()) }
        };
        let read = read_with(self.data, self.need, |row| self.tokenise(row), sink)?;
        rows.finish(read.refused)
    }

    fn tokenise(&self, row: Row) -> TokenisedRow {
        let tokens = tokenize_row(&row, self.template, self.tokenizer, self.lengths);
        let kept = |row: Tokenized| KeptRow { packed: pack(&row), cuts: row.cuts, notes: row.notes };
        TokenisedRow {
            tokens: tokens.map(|row| row.map(kept)),
            given: unread::given(&row, self.template),
            question: row.question().last().map(Message::text).unwrap_or_default(),
            label: row.label,
            is_prompt: row.is_prompt(),
            origin: row.origin,
            accepted_answers: row.accepted_answers,
        }
    }
}

/// Takes tokenised rows in order.
struct Collector {
    eval_fraction: f64,
    writer: StoreWriter,
    items: Vec<Item>,
    files: IndexSet<Arc<PathBuf>>,
    dropped: HashMap<u32, RowReason>,
    failed: Vec<(u32, anyhow::Error)>,
    left: IndexSet<String>,
    given: IndexSet<Given>,
    questions: HashMap<u32, String>,
    accepted: HashMap<u32, Vec<String>>,
    /// By whether rows are held out, and undesirable: the rows whose questions are kept.
    asked: HashMap<(bool, bool), Vec<u32>>,
    /// The lowest share of a row, and the items that have it, with what they ask and accept: one row is held
    /// out even if none has a share below `eval_fraction`.
    lowest: f64,
    of_lowest: Vec<(u32, String, Vec<String>)>,
}

impl Collector {
    fn new(eval_fraction: f64) -> Self {
        Self {
            eval_fraction,
            writer: StoreWriter::default(),
            items: Vec::new(),
            files: IndexSet::new(),
            dropped: HashMap::new(),
            failed: Vec::new(),
            left: IndexSet::new(),
            given: IndexSet::new(),
            questions: HashMap::new(),
            accepted: HashMap::new(),
            asked: HashMap::new(),
            lowest: f64::INFINITY,
            of_lowest: Vec::new(),
        }
    }

    fn take(&mut self, done: TokenisedRow, open: impl Fn() -> Result<File>) -> Result<()> {
        let TokenisedRow { origin, tokens, given, question, accepted_answers, label, is_prompt } = done;
        let many = "a data set has at most 4294967295 rows; split it";
        let index = u32::try_from(self.items.len()).context(many)?;
        let row = u32::try_from(origin.row).context(many)?;
        let mut item = Item {
            start: self.writer.length(),
            row,
            line: u32::try_from(origin.line).unwrap_or(u32::MAX),
            file: self.files.insert_full(origin.file).0 as u32,
            given: given.map_or(0, |given| number(&mut self.given, given)),
            left: 0,
            flags: 0,
        };
        let mut set = |flag: u32, is_set: bool| item.flags |= if is_set { flag } else { 0 };
        set(UNDESIRABLE, label == Some(false));
        set(ASKS, is_prompt);
        let part = PartOfRow::of(self.eval_fraction, origin.row);
        if part.share < self.lowest {
            self.lowest = part.share;
            self.of_lowest.clear();
        }
        match tokens {
            Ok(Ok(KeptRow { packed, cuts, notes })) => {
                set(CUT, cuts.contains(&RowReason::CutToMaxLength));
                set(PROMPT_CUT, cuts.contains(&RowReason::CutToMaxPromptLength));
                set(LACKS_REASONING, notes.lacks_reasoning);
                item.left = notes.left_of_prompt.map_or(0, |left| number(&mut self.left, left));
                self.writer.append(&packed, open)?;
                self.keep_words(index, row, part, label == Some(false), (question, accepted_answers));
            }
            Ok(Err(reason)) => {
                set(DROPPED, true);
                self.dropped.insert(index, reason);
            }
            Err(error) => {
                set(DROPPED, true);
                let is_known = |(other, _): &(u32, anyhow::Error)| {
                    let other = self.items[*other as usize].row as usize;
                    PartOfRow::of(self.eval_fraction, other).is_held_out == part.is_held_out
                };
                if !self.failed.iter().any(is_known) {
                    self.failed.push((index, error));
                }
            }
        }
        self.items.push(item);
        Ok(())
    }

    /// Keeps what a row asks and accepts as right, if that may be needed.
    fn keep_words(
        &mut self,
        index: u32,
        row: u32,
        part: PartOfRow,
        is_undesirable: bool,
        (question, accepted): (String, Vec<String>),
    ) {
        let asked = self.asked.entry((part.is_held_out, is_undesirable)).or_default();
        // The extreme shares decide last in which part a row is, and one row may have several examples.
        if asked.len() <= 2 * QUESTIONS && asked.last() != Some(&row) {
            asked.push(row);
            self.questions.insert(index, question.clone());
        }
        if part.is_held_out {
            if !accepted.is_empty() {
                self.accepted.insert(index, accepted);
            }
        } else if part.share == self.lowest {
            self.of_lowest.push((index, question, accepted));
        }
    }

    fn finish(mut self, refused: Ledger) -> Result<TokenRows> {
        for (index, question, accepted) in self.of_lowest {
            self.questions.insert(index, question);
            self.accepted.insert(index, accepted);
        }
        self.items.shrink_to_fit();
        Ok(TokenRows {
            store: self.writer.finish()?,
            items: self.items,
            files: self.files.into_iter().collect(),
            dropped: self.dropped,
            failed: self.failed,
            left: self.left,
            given: self.given,
            questions: self.questions,
            accepted: self.accepted,
            refused,
        })
    }
}

/// In which part a row is, as far as its own share tells.
#[derive(Debug, Clone, Copy)]
struct PartOfRow {
    share: f64,
    is_held_out: bool,
}

impl PartOfRow {
    fn of(eval_fraction: f64, row: usize) -> Self {
        let share = share(row);
        Self { share, is_held_out: eval_fraction > 0.0 && share < eval_fraction }
    }
}

/// 1 + the place of a value among others, where it is put if it is new.
fn number<T: std::hash::Hash + Eq>(known: &mut IndexSet<T>, value: T) -> u32 {
    known.insert_full(value).0 as u32 + 1
}

impl TokenRows {
    /// The number of rows in the files, usable or not.
    pub fn rows_read(&self) -> usize {
        let refused = self.refused.entries().iter().map(|entry| entry.origin.row as u32);
        distinct(self.items.iter().map(|item| item.row).chain(refused))
    }

    /// The items of training rows and of held-out rows. With `unpaired`, desirable answers come first.
    pub fn parts(&self, eval_fraction: f64, unpaired: bool) -> (Vec<u32>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.items.len() as u32).collect();
        if unpaired {
            // As when TRL unpairs: all chosen answers, then all rejected ones, both in the order of the rows.
            order.sort_by_key(|&index| self.item(index).flags & UNDESIRABLE);
        }
        let held_out = HeldOut::of(self.items.iter().map(|item| item.row as usize), eval_fraction);
        order.into_iter().partition(|&index| !held_out.holds(self.item(index).row as usize))
    }

    /// What became of a part's rows, for the ledger. The items that are kept. Errors, with the row, if a row
    /// makes all others useless, or if no row is left.
    pub fn account(&self, part: &[u32], template: &ChatTemplate, ledger: &mut Ledger) -> Result<Vec<u32>> {
        let mut accounts = Accounts::new();
        let mut kept = Vec::with_capacity(part.len());
        for &index in part {
            if let Some((_, error)) = self.failed.iter().find(|(failed, _)| *failed == index) {
                return Err(anyhow::anyhow!("{error:#}"));
            }
            let item = self.item(index);
            let has = |flag: u32| item.flags & flag != 0;
            let given = (item.given as usize).checked_sub(1).and_then(|given| self.given.get_index(given));
            accounts.row(has(ASKS), given);
            let origin = self.origin(item);
            if let Some(reason) = self.dropped.get(&index) {
                accounts.drop_row(&origin, reason.clone());
                continue;
            }
            let cuts = [(PROMPT_CUT, RowReason::CutToMaxPromptLength), (CUT, RowReason::CutToMaxLength)];
            let cuts = cuts.into_iter().filter(|(flag, _)| has(*flag)).map(|(_, reason)| reason);
            let left = (item.left as usize).checked_sub(1).and_then(|left| self.left.get_index(left));
            let notes = RowNotes { left_of_prompt: left.cloned(), lacks_reasoning: has(LACKS_REASONING) };
            accounts.keep(&origin, cuts, notes.told());
            kept.push(index);
        }
        accounts.finish(template, ledger)?;
        Ok(kept)
    }

    fn item(&self, index: u32) -> &Item {
        &self.items[index as usize]
    }

    fn origin(&self, item: &Item) -> RowOrigin {
        let file = self.files.get(item.file as usize).cloned().unwrap_or_default();
        RowOrigin { row: item.row as usize, file, line: item.line as usize }
    }

    /// The number of different rows that items are from.
    pub fn rows_of<'a>(&self, items: impl Iterator<Item = &'a u32>) -> usize {
        distinct(items.map(|&index| self.item(index).row))
    }

    /// The first of each row's items.
    fn one_per_row<'a>(&'a self, items: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        let mut seen = std::collections::HashSet::new();
        items.iter().copied().filter(move |&index| seen.insert(self.item(index).row))
    }

    /// What the first rows ask.
    pub fn questions(&self, items: &[u32]) -> Vec<String> {
        let text = |index: u32| self.questions.get(&index).cloned().unwrap_or_default();
        self.one_per_row(items).take(QUESTIONS).map(text).collect()
    }

    /// The right answers of each held-out row, each row once; empty if no row names any.
    pub fn accepted_answers(&self, items: &[u32]) -> Vec<Vec<String>> {
        let of = |index: u32| self.accepted.get(&index).cloned().unwrap_or_default();
        let all: Vec<Vec<String>> = self.one_per_row(items).map(of).collect();
        if all.iter().all(Vec::is_empty) { Vec::new() } else { all }
    }

    /// Whether the tokens are in a file, because they are many.
    pub fn is_in_file(&self) -> bool {
        self.store.file().is_some()
    }

    /// Whether a row makes all others useless.
    pub fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Reads the tokens of items.
    pub fn reader(&self) -> TokenReader<'_> {
        TokenReader { rows: self, reader: self.store.reader() }
    }
}

/// Reads the tokens of rows again.
pub struct TokenReader<'a> {
    rows: &'a TokenRows,
    reader: StoreReader<'a>,
}

impl TokenReader<'_> {
    /// An item's example, and its answer as it was before it was cut.
    pub fn row(&mut self, index: u32) -> Result<(Example, Option<Completion>)> {
        let start = self.rows.item(index).start;
        let next = self.rows.items.get(index as usize + 1);
        let end = next.map_or(self.rows.store.length, |next| next.start);
        unpack(self.reader.read(start, end)?)
    }
}

/// How many different numbers there are.
fn distinct(numbers: impl Iterator<Item = u32>) -> usize {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}
