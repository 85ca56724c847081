//! What is trained of a row, what is cut, and what stops a run before it trains something else.

use std::fs;
use std::path::{Path, PathBuf};

use runner::data::row::{Row, RowOrigin};
use runner::data::{Ledger, Lengths, Longer, RowTurns, Tokenizer, tokenize, train_tokenizer};
use runner::template::Message;
use runner::template::{ChatTemplate, Rendering, SpecialTokens};

use super::helper::golden;

fn template(source: &str, folder: &Path) -> ChatTemplate {
    ChatTemplate::new(source.to_owned(), SpecialTokens::read(folder).unwrap()).unwrap()
}

fn own(folder: &Path) -> ChatTemplate {
    ChatTemplate::for_model(None, folder, Some(folder)).unwrap()
}

fn row(turns: RowTurns) -> Row {
    let origin = RowOrigin { row: 0, file: PathBuf::from("rows.jsonl").into(), line: 1 };
    Row {
        origin,
        turns,
        tools: None,
        chat_template_kwargs: None,
        margin: None,
        label: None,
        accepted_answers: Vec::new(),
    }
}

fn talk(turns: &[(&str, &str)]) -> Vec<Message> {
    turns.iter().map(|(role, text)| Message::new(role, *text)).collect()
}

fn pair(question: &str, chosen: &str, rejected: &str) -> Row {
    let answers = [chosen, rejected].map(|answer| talk(&[("assistant", answer)])).to_vec();
    row(RowTurns::Answers { prompt: talk(&[("user", question)]), answers })
}

const LONG: Lengths = Lengths { max_length: 512, max_prompt_length: None, longer: Longer::Cut };

/// The trained texts of a row's first completion, one a run of trained tokens.
fn trained(row: &Row, template: &ChatTemplate, tokenizer: &Tokenizer) -> Vec<String> {
    let rows = tokenize(std::slice::from_ref(row), template, tokenizer, LONG, &mut Ledger::new()).unwrap();
    let completion = &rows[0].example.completions[0];
    let marked: Vec<(u32, bool)> =
        completion.tokens.iter().copied().zip(completion.trained.iter().copied()).collect();
    marked
        .chunk_by(|a, b| a.1 == b.1)
        .filter(|run| run[0].1)
        .map(|run| tokenizer.decode(&run.iter().map(|token| token.0).collect::<Vec<_>>()).unwrap())
        .collect()
}

fn refusal(row: &Row, template: &ChatTemplate, tokenizer: &Tokenizer, lengths: Lengths) -> String {
    let rows = std::slice::from_ref(row);
    let error = tokenize(rows, template, tokenizer, lengths, &mut Ledger::new()).unwrap_err();
    format!("{error:#}")
}

#[test]
fn conversations_train_every_assistant_turn() {
    let folder = golden("models").join("qwen2");
    let tokenizer = Tokenizer::from_folder(&folder).unwrap();
    let talk = row(RowTurns::Conversation(talk(&[
        ("system", "Answer in two lines."),
        ("user", "Please count."),
        ("assistant", "One."),
        ("user", "And then?"),
        ("assistant", "Two."),
    ])));
    let turns = ["One.<|im_end|>\n", "Two.<|im_end|>\n"];
    assert_eq!(trained(&talk, &own(&folder), &tokenizer), turns);
    // A template that marks what the model writes decides itself.
    let marking = template(
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}\
         {% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}\
         {{ m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}",
        &folder,
    );
    assert_eq!(trained(&talk, &marking, &tokenizer), ["One.<|im_end|>", "Two.<|im_end|>"]);
}

#[test]
fn generation_blocks_give_their_spans() {
    let folder = golden("models").join("qwen2");
    let marking = template(
        "{% for m in messages %}{{ m.role }}:{% generation %}{% set x = m.content %}{{ x }}\
         {% endgeneration %};{% endfor %}{{ x is defined }}",
        &folder,
    );
    // The first sentinel that is tried stands in a message: another one is taken.
    let messages = talk(&[("user", "a\u{e000}0\u{e001}"), ("assistant", "é茶")]);
    let (text, spans) = marking.render_marked(&messages, Rendering::default()).unwrap();
    assert_eq!(text, "user:a\u{e000}0\u{e001};assistant:é茶;False");
    assert_eq!(
        spans.iter().map(|span| &text[span.clone()]).collect::<Vec<_>>(),
        ["a\u{e000}0\u{e001}", "é茶"]
    );
}

#[test]
fn a_token_across_the_prompt_s_end_starts_the_completion() {
    let folder = golden("models").join("qwen2");
    let tokenizer = Tokenizer::from_folder(&folder).unwrap();
    // Without a line's end between prompt and answer their letters join into tokens.
    let joining = template(
        "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}<|im_end|>{% endif %}\
         {% endfor %}",
        &folder,
    );
    let row = pair("Please de", "scribe", "123");
    let rows = tokenize(&[row], &joining, &tokenizer, LONG, &mut Ledger::new()).unwrap();
    let example = &rows[0].example;
    let text = |ids: &[u32]| tokenizer.decode(ids).unwrap();
    for (completion, whole) in
        example.completions.iter().zip(["Please describe<|im_end|>", "Please de123<|im_end|>"])
    {
        // Exactly the tokens of the whole text, whatever the prompt's own tokens would be.
        let ids = [example.prompt.clone(), completion.tokens.clone()].concat();
        assert_eq!(ids, tokenizer.encode_with_offsets(whole).unwrap().ids);
    }
    assert_eq!(text(&example.prompt), "Please");
    assert_eq!(text(&example.completions[0].tokens), " describe<|im_end|>");
    assert_eq!(example.completions[0].trained, [true, true]);
    // The rejected completion starts where the chosen one does, as in TRL, though it has the prompt's tokens.
    assert_eq!(text(&example.completions[1].tokens), " de123<|im_end|>");
    assert!(example.completions[1].trained.iter().all(|trained| *trained));
    assert_eq!(rows[0].notes.left_of_prompt.as_deref(), Some(" de"));
}

#[test]
fn lengths_cut_answers_at_their_end_and_prompts_at_their_beginning() {
    let folder = golden("models").join("qwen2");
    let (template, tokenizer) = (own(&folder), Tokenizer::from_folder(&folder).unwrap());
    let rows = [pair("Please count.", "One. Two. Three. Four.", "No.")];
    let cut = |lengths| {
        let mut ledger = Ledger::new();
        let example = tokenize(&rows, &template, &tokenizer, lengths, &mut ledger).unwrap().remove(0).example;
        let reasons: Vec<String> = ledger.entries().iter().map(|e| e.reason.to_string()).collect();
        (example, reasons)
    };
    let (whole, reasons) = cut(LONG);
    assert_eq!(reasons, Vec::<String>::new());
    let prompt = whole.prompt.len();
    assert!(whole.completions[0].tokens.len() > whole.completions[1].tokens.len());

    let (example, reasons) =
        cut(Lengths { max_length: prompt + 4, max_prompt_length: None, longer: Longer::Cut });
    assert_eq!(reasons, ["cut to max_length"]);
    assert_eq!(example.completions[0].tokens, whole.completions[0].tokens[..4]);
    assert_eq!(example.prompt, whole.prompt);

    let (example, reasons) =
        cut(Lengths { max_length: 512, max_prompt_length: Some(3), longer: Longer::Cut });
    assert_eq!(reasons, ["cut to max_prompt_length"]);
    assert_eq!(example.prompt, whole.prompt[prompt - 3..]);
    assert_eq!(example.completions, whole.completions);

    let full = Lengths { max_length: prompt, max_prompt_length: None, longer: Longer::Cut };
    assert_eq!(
        refusal(&rows[0], &template, &tokenizer, full),
        "none of 1 rows can be trained on; the first, `rows.jsonl` line 1: prompt fills max_length; \
         raise `max_length`"
    );
}

#[test]
fn what_would_train_wrongly_is_refused() {
    let folder = golden("models").join("llama3");
    let tokenizer = Tokenizer::from_folder(&folder).unwrap();
    let row = pair("Please count.", "One.", "No.");
    let refused = |source: &str| refusal(&row, &template(source, &folder), &tokenizer, LONG);
    assert_eq!(
        refused("{{ bos_token + bos_token }}{% for m in messages %}{{ m.content }}<|eot_id|>{% endfor %}"),
        "`rows.jsonl` line 1: the text begins with two `<|begin_of_text|>`: the template and a message \
         both write it"
    );
    assert_eq!(
        refused("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"),
        "none of 1 rows can be trained on; the first, `rows.jsonl` line 1: no end-of-turn token is trained \
         after an answer, so the model would not learn to stop: the trained text ends with \
         \" count.\\nassistant: One.\\n\"; the template must write `<|eot_id|>` there; use a template that \
         does, see `template` in `[model]`"
    );
    assert_eq!(
        refused("{% for m in messages if m.role == 'user' %}{{ m.content }}<|eot_id|>{% endfor %}"),
        "none of 1 rows can be trained on; the first, `rows.jsonl` line 1: the template leaves out the \
         text of turn 2 (assistant): \"One.\"; use a `template` that reads it, or take it out of the rows"
    );
    assert_eq!(
        refused("{% for m in messages %}{{ raise_exception('no ' + m.role) }}{% endfor %}"),
        "`rows.jsonl` line 1: the template fails: no user (line 1 of the template)"
    );
    assert_eq!(
        refused("{{ messages|length }}{% for m in messages %}{{ m.content }}<|eot_id|>{% endfor %}"),
        "none of 1 rows can be trained on; the first, `rows.jsonl` line 1: prompt is not a prefix of \
         the rendered row; the template renders a prompt otherwise once an answer follows it; use \
         another `template`"
    );
}

#[test]
fn templates_are_looked_for_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let find = |name: Option<&str>| ChatTemplate::for_model(name, path, Some(path));
    let source = |name| find(name).unwrap().source().to_owned();
    let error = find(None).unwrap_err().to_string();
    assert!(error.contains("has no chat template") && error.contains("`chatml`"), "{error}");
    let config = r#"{"eos_token": {"content": "<e>"}, "pad_token": null,
        "chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#;
    fs::write(path.join("tokenizer_config.json"), config).unwrap();
    assert_eq!(source(None), "d");
    assert_eq!(find(None).unwrap().special_tokens().iter().collect::<Vec<_>>(), [("eos_token", "<e>")]);
    fs::write(path.join("chat_template.jinja"), "beside").unwrap();
    assert_eq!(source(None), "beside");
    assert_eq!(source(Some("model")), "beside");
    fs::write(path.join("mine.jinja"), "mine {{ eos_token }}").unwrap();
    assert_eq!(find(Some("mine.jinja")).unwrap().render(&[], Rendering::default()).unwrap(), "mine <e>");
    assert_eq!(source(Some("chatml")), include_str!("../../templates/chatml.jinja"));
    let error = find(Some("chatmi")).unwrap_err().to_string();
    assert!(error.starts_with("template `chatmi`: neither a file"), "{error}");
}

#[test]
fn a_trained_tokenizer_is_the_same_each_time_and_reads_back_its_texts() {
    let texts: Vec<String> =
        (0..200).map(|n| format!("The tree number {n} — très grand, 很高 🌧️ {}", n * 7919 % 1000)).collect();
    let chatml = include_str!("../../templates/chatml.jinja");
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        train_tokenizer(&texts, 320, chatml, folder.path()).unwrap();
    }
    let files = |index: usize| {
        ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
            .map(|name| fs::read_to_string(folders[index].path().join(name)).unwrap())
    };
    assert_eq!(files(0), files(1));
    let tokenizer = Tokenizer::from_folder(folders[0].path()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 320);
    assert_eq!((tokenizer.id("<|endoftext|>"), tokenizer.eos_id()), (Some(0), Some(2)));
    for text in &texts {
        let ids = tokenizer.encode_with_offsets(text).unwrap().ids;
        assert!(ids.len() < text.len() * 2 / 3);
        assert_eq!(tokenizer.decode(&ids).unwrap(), *text);
    }
    let row = pair("The tree?", "Tall.", "Low.");
    let trained = trained(&row, &own(folders[0].path()), &tokenizer);
    assert_eq!(trained, ["Tall.<|im_end|>\n"]);
    let error = train_tokenizer(&texts, 258, chatml, folders[0].path()).unwrap_err().to_string();
    assert!(error.contains("at least 259"), "{error}");
}

#[test]
fn shipped_templates_open_and_close_turns_alike() {
    for name in runner::template::shipped_names() {
        let folder = golden("models").join("llama3");
        let template = ChatTemplate::for_model(Some(name), &folder, Some(&folder)).unwrap();
        let asked = talk(&[("system", "Be brief."), ("user", "Hi there")]);
        let whole = [asked.clone(), talk(&[("assistant", "Hello!")])].concat();
        let open = Rendering { add_generation_prompt: true, ..Rendering::default() };
        let prompt = template.render(&asked, open).unwrap();
        let text = template.render(&whole, Rendering::default()).unwrap();
        let answer = text.strip_prefix(&prompt).unwrap_or_else(|| panic!("{name}: {prompt:?} {text:?}"));
        assert!(answer.trim_start().starts_with("Hello!") && answer.trim() != "Hello!", "{name}: {answer:?}");
        assert!(prompt.contains("Be brief.") && prompt.contains("Hi there"), "{name}: {prompt:?}");
    }
}
