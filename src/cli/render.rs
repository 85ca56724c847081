//! `runner render`: what a template makes of a context, or of a stage's rows.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::marked::{Mark, write_example};
use super::recipe_args::RecipeArgs;
use super::usage_error::{UsageError, wrong_input};
use crate::data::example::{Completion, Example};
use crate::data::row::RowOrigin;
use crate::data::spec::DataSpec;
use crate::data::tokens::tokenize_row;
use crate::data::{Ledger, Need, Tokenizer, read_rows, split};
use crate::kinds::StageSettings;
use crate::model::spec::ModelOrigin;
use crate::plan::base::Base;
use crate::plan::content::Hashes;
use crate::plan::folder::RunFolder;
use crate::plan::resolve::RecipeUse;
use crate::plan::resolve::Resolved;
use crate::plan::rows::{examples, lengths};
use crate::template::{self, ChatTemplate, SpecialTokens};
use crate::terminal::safe;

/// Shows a stage's rows as the model reads them, trained tokens marked; or renders any template.
#[derive(Debug, Clone, Args)]
pub struct RenderArgs {
    /// The recipe, a TOML file.
    #[arg(required_unless_present = "template", requires = "stage")]
    pub recipe: Option<PathBuf>,
    /// The stage whose rows are shown.
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
    /// Rows to show.
    #[arg(short = 'n', value_name = "ROWS", default_value_t = 3)]
    pub rows: usize,
    /// One JSON object a row in place of text: its texts' token ids, which of them are trained, or why
    /// the row is dropped.
    #[arg(long, conflicts_with = "template")]
    pub json: bool,
    /// Set a key for this time, e.g. `model.template=llama3`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// A template to render in place of a recipe's rows.
    #[arg(long, value_name = "FILE", requires = "context", conflicts_with = "recipe")]
    pub template: Option<PathBuf>,
    /// What the template is rendered with: a JSON object (`messages`, `tools`, `bos_token`, …).
    #[arg(long, value_name = "FILE", requires = "template")]
    pub context: Option<PathBuf>,
}

/// Writes to standard output. Errors if the recipe is wrong, or if the template fails.
pub fn run(args: &RenderArgs) -> Result<()> {
    let mut out = io::stdout().lock();
    if let (Some(template), Some(context)) = (&args.template, &args.context) {
        // Exactly what Jinja2 would give: no newline of ours at its end.
        let text = render_file(template, context).map_err(wrong_input)?;
        out.write_all(text.as_bytes())?;
        return Ok(out.flush()?);
    }
    let (Some(recipe), Some(name)) = (&args.recipe, &args.stage) else {
        bail!("give a recipe and `--stage`, or `--template` and `--context`");
    };
    let recipe =
        RecipeArgs { recipe: recipe.clone(), overrides: args.overrides.clone() }.load(RecipeUse::Render)?;
    let Some(stage) = recipe.stages.iter().find(|stage| stage.name == *name) else {
        let names: Vec<String> = recipe.stages.iter().map(|stage| format!("`{}`", stage.name)).collect();
        let says = format!("the recipe has no stage `{name}`; it has {}", names.join(", "));
        return Err(UsageError::new(says).into());
    };
    let Some(data) = recipe.data.get(&stage.data) else {
        bail!("stage `{name}` reads data `{}`, which the recipe does not have", stage.data);
    };
    let (template, tokenizer) = template_and_tokenizer(&recipe).map_err(wrong_input)?;
    let mark = if out.is_terminal() { Mark::Colour } else { Mark::Brackets };
    let form = if args.json { Form::Json } else { Form::Text(mark) };
    render_rows(data, stage, &template, &tokenizer, args.rows, form, &mut out)
}

/// A template's text for a context.
fn render_file(path: &Path, context: &Path) -> Result<String> {
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()));
    let given = template::Context::from_json(&read(context)?)
        .with_context(|| format!("`{}` is no context", context.display()))?;
    ChatTemplate::new(read(path)?, SpecialTokens::default())
        .and_then(|compiled| compiled.render_with(&given))
        .with_context(|| format!("template `{}`", path.display()))
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text(Mark),
    /// A JSON object a line.
    Json,
}

impl From<Mark> for Form {
    fn from(mark: Mark) -> Self {
        Form::Text(mark)
    }
}

/// Writes the first `count` rows that `stage` trains on as it reads them, with the tokens of each,
/// those trained marked, and what the checks of a run see.
pub fn render_rows(
    data: &DataSpec,
    stage: &StageSettings,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    count: usize,
    form: impl Into<Form>,
    out: &mut impl Write,
) -> Result<()> {
    let form = form.into();
    let need = stage.kind.facts().rows;
    let names: &[&str] = match need {
        Need::Sft => &["answer"],
        Need::Unpaired { .. } => &["answer", "mismatched answer"],
        Need::Prompt => &[],
        Need::Preference => &["chosen", "rejected"],
    };
    let mut ledger = Ledger::new();
    let rows = read_rows(data, need, &mut ledger).map_err(wrong_input)?;
    let (rows, _) = split(rows, data.eval_fraction);
    // Mismatched answers may come from any row.
    let needed = if stage.kind.facts().mismatched { usize::MAX } else { count };
    let (mut outcomes, mut kept) = (Vec::new(), Vec::new());
    for row in &rows {
        if kept.len() >= needed {
            break;
        }
        let outcome = tokenize_row(row, template, tokenizer, lengths(stage)).map_err(wrong_input)?;
        outcomes.push((
            &row.origin,
            outcome.map(|tokenized| {
                let cuts = tokenized.cuts.iter().map(ToString::to_string);
                let notes: Vec<String> = cuts.chain(tokenized.notes.told()).collect();
                kept.push(tokenized);
                notes
            }),
        ));
    }
    let mut examples = examples(stage, kept).into_iter().take(count);
    for (origin, outcome) in outcomes {
        match outcome {
            Ok(notes) => {
                let Some(example) = examples.next() else { break };
                let Form::Text(mark) = form else {
                    writeln!(out, "{}", example_json(origin, &example, names, &notes))?;
                    continue;
                };
                writeln!(out, "{} (row {})", safe(&origin.to_string()), origin.row)?;
                for note in &notes {
                    writeln!(out, "  {}", safe(note))?;
                }
                if let Some(desirable) = example.label {
                    writeln!(out, "  {}", if desirable { "desirable" } else { "undesirable" })?;
                }
                write_example(&example, names, tokenizer, mark, out)?;
            }
            Err(reason) if form == Form::Json => {
                let dropped = json!({
                    "file": origin.file.display().to_string(),
                    "line": origin.line,
                    "row": origin.row,
                    "dropped": reason.to_string(),
                });
                writeln!(out, "{dropped}")?;
            }
            Err(reason) => {
                let told = format!("{origin} (row {}): dropped: {reason}\n", origin.row);
                writeln!(out, "{}", safe(&told))?;
            }
        }
    }
    if form == Form::Json {
        for entry in ledger.entries() {
            writeln!(out, "{}", entry.to_json()?)?;
        }
        return Ok(());
    }
    for (reason, rows) in ledger.counts() {
        writeln!(out, "{rows} rows not read: {reason}")?;
    }
    for warning in ledger.warnings() {
        writeln!(out, "warning: {}", safe(&warning))?;
    }
    Ok(())
}

/// A row's tokens as JSON: `prompt` is what its completions share.
fn example_json(origin: &RowOrigin, example: &Example, names: &[&str], notes: &[String]) -> Value {
    let completion = |(found, name): (&Completion, &&str)| json!({ "name": name, "tokens": found.tokens, "trained": found.trained });
    json!({
        "file": origin.file.display().to_string(),
        "line": origin.line,
        "row": origin.row,
        "notes": notes,
        "label": example.label,
        "prompt": example.prompt,
        "branches": example.completions.iter().zip(names).map(completion).collect::<Vec<_>>(),
    })
}

/// What turns rows into tokens. A tokenizer that the recipe trains is trained here.
fn template_and_tokenizer(recipe: &Resolved) -> Result<(ChatTemplate, Tokenizer)> {
    if let ModelOrigin::Folder(folder) = &recipe.model.origin {
        // Not `Base::open`, which reads all weights to know them by their content.
        let template = ChatTemplate::for_model(recipe.model.template.as_deref(), &recipe.dir, Some(folder))?
            .with_kwargs(recipe.model.chat_template_kwargs.clone())?;
        return Ok((template, Tokenizer::from_folder(folder)?));
    }
    let folder = RunFolder::of(&recipe.name);
    let base = Base::open(recipe, &folder, &mut Hashes::open(&folder.hashes()))?;
    Ok((base.template, base.tokenizer))
}
