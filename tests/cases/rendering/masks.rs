//! What is trained, of templates that treat turns by their place: as much as the same template with
//! generation blocks around what the assistant writes. `tests/interop/chat_masks.py` does the same
//! against transformers and TRL, also with models' own templates.

use proptest::prelude::*;
use runner::data::render_row::render_row;
use runner::data::{RowTurns, Tokenizer};
use runner::template::Message;
use runner::template::{ChatTemplate, Rendering, shipped_names};
use serde_json::{Value, json};

use super::{conversation, here, model, pair, row, talk, template, tokens, trained};

const FAMILIES: [&str; 11] = [
    "qwen3",
    "qwen3_5",
    "qwq",
    "phi3",
    "nemo",
    "llama3_1",
    "r1",
    "in_loop",
    "results_inside",
    "last_apart",
    "by_index",
];

/// The template, and the same with generation blocks.
fn both(family: &str) -> (ChatTemplate, ChatTemplate) {
    let source = here(&format!("{family}.jinja"));
    let marked = source.replace("{#G#}", "{% generation %}").replace("{#E#}", "{% endgeneration %}");
    (template(&source, "llama3"), template(&marked, "llama3"))
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}])
}

/// Conversations of one to four questions: with a system turn or none, with reasoning in the content or
/// none, with a call before the last answer or none.
fn conversations() -> Vec<(Vec<Message>, bool)> {
    let mut all = Vec::new();
    for questions in 1..=4 {
        for variant in 0..8 {
            let [system, thinks, calls] = [1, 2, 4].map(|bit| variant & bit != 0);
            let mut turns = Vec::new();
            if system {
                turns.push(json!({"role": "system", "content": "Answer in one line, and be brief."}));
            }
            for turn in 1..=questions {
                turns.push(json!({"role": "user", "content": format!("Question {turn}: why?")}));
                if calls && turn == questions {
                    turns.push(json!({"role": "assistant", "content": "", "tool_calls": [{
                        "id": "abcdefgh1", "type": "function",
                        "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]}));
                    turns.push(json!({"role": "tool", "content": "3", "tool_call_id": "abcdefgh1"}));
                }
                let answer = match thinks {
                    true => format!("<think>\nThought {turn}.\n</think>\n\nAnswer {turn}."),
                    false => format!("Answer {turn}."),
                };
                turns.push(json!({"role": "assistant", "content": answer}));
            }
            all.push((talk(Value::Array(turns)), calls));
        }
    }
    all
}

#[test]
fn conversations_train_what_generation_blocks_hold() {
    for family in FAMILIES {
        let (plain, marked) = both(family);
        let (mut equal, mut dropped) = (0, 0);
        for (messages, calls) in conversations() {
            let row = row(RowTurns::Conversation(messages.clone()), calls.then(tools));
            let Ok(rendered) = render_row(&row, &plain) else {
                dropped += 1;
                continue;
            };
            let rendering = Rendering { tools: row.tools.as_ref(), ..Rendering::default() };
            let (text, mut spans) = marked.render_marked(&messages, rendering).unwrap();
            spans.retain(|span| !span.is_empty());
            spans.dedup_by(|next, last| {
                last.end == next.start && {
                    last.end = next.end;
                    true
                }
            });
            let wanted: Vec<&str> = spans.iter().map(|span| &text[span.clone()]).collect();
            let found = &rendered.texts[0];
            let found: Vec<&str> = found.trained.iter().map(|span| &found.text[span.clone()]).collect();
            assert_eq!(found, wanted, "{family}: {messages:?}");
            equal += 1;
        }
        // Phi-3 and the one that opens turns in its loop have no tools, Mistral Nemo loses system turns, the R1-distills calls and reasoning,
        // QwQ reasoning before a call.
        let wanted = match family {
            "phi3" | "in_loop" => (16, 16),
            "nemo" => (16, 16),
            "r1" => (8, 24),
            _ => (32, 0),
        };
        assert_eq!((equal, dropped), wanted, "{family}");
    }
}

#[test]
fn earlier_turns_stand_without_their_reasoning() {
    let tokenizer = Tokenizer::from_folder(&model("qwen3")).unwrap();
    let template = template(&here("qwen3.jinja"), "qwen3");
    let talk = conversation(json!([
        {"role": "user", "content": "Add one and two."},
        {"role": "assistant", "content": "<think>\none and two\n</think>\n\nthree"},
        {"role": "user", "content": "Add one more."},
        {"role": "assistant", "content": "<think>\nthree and one\n</think>\n\nfour"},
    ]));
    let (tokenized, warnings) = tokens(&talk, &template, &tokenizer).unwrap();
    assert_eq!(
        trained(&tokenized, 0, &tokenizer),
        ["three<|im_end|>\n", "<think>\nthree and one\n</think>\n\nfour<|im_end|>\n"]
    );
    assert_eq!(warnings, ["1 row: the template leaves out reasoning of turns before the last question"]);
}

#[test]
fn a_conversation_s_end_is_its_last_turn_s() {
    let tokenizer = Tokenizer::from_folder(&model("qwen2")).unwrap();
    let tail = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}\
                {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% else %}\
                {{ eos_token }}{% endif %}";
    let talk = conversation(json!([
        {"role": "user", "content": "Add."}, {"role": "assistant", "content": "three"},
        {"role": "user", "content": "More."}, {"role": "assistant", "content": "four"},
    ]));
    let (tokenized, _) = tokens(&talk, &template(tail, "qwen2"), &tokenizer).unwrap();
    assert_eq!(trained(&tokenized, 0, &tokenizer), ["three<|im_end|>\n", "four<|im_end|>\n<|im_end|>"]);
}

#[test]
fn completions_start_where_prompt_and_whole_part() {
    let tokenizer = Tokenizer::from_folder(&model("llama3")).unwrap();
    let source = here("r1.jinja").replace("eos_token", "'<|eot_id|>'");
    let (tokenized, warnings) = tokens(
        &pair(json!([{"role": "user", "content": "Two plus two?"}]), "Four.", "Five."),
        &template(&source, "llama3"),
        &tokenizer,
    )
    .unwrap();
    assert_eq!(
        tokenizer.decode(&tokenized.example.prompt).unwrap(),
        "<|begin_of_text|><｜User｜>Two plus two?<｜Assistant｜>"
    );
    assert_eq!(trained(&tokenized, 0, &tokenizer), ["Four.<|eot_id|>"]);
    assert_eq!(trained(&tokenized, 1, &tokenizer), ["Five.<|eot_id|>"]);
    let told = "a prompt alone ends with \"<think>\\n\", which the template or the tokenizer puts otherwise \
                before an answer: the completion starts where both part";
    assert_eq!(warnings, [format!("1 row: {told}")]);
    assert_eq!(tokenized.notes.told().collect::<Vec<_>>(), [told]);
}

#[test]
fn turns_that_are_marked_as_not_trained_are_not() {
    let tokenizer = Tokenizer::from_folder(&model("qwen2")).unwrap();
    let own = ChatTemplate::for_model(None, &model("qwen2"), Some(&model("qwen2"))).unwrap();
    let mut turns = talk(json!([
        {"role": "user", "content": "Two plus two?"}, {"role": "assistant", "content": "Five."},
        {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Four, sorry."},
    ]));
    turns[1].trained = false;
    let (_, marked) = both("qwen3");
    for template in [&own, &marked] {
        let talk = row(RowTurns::Conversation(turns.clone()), None);
        let (tokenized, _) = tokens(&talk, template, &tokenizer).unwrap();
        let trained = trained(&tokenized, 0, &tokenizer).concat();
        assert!(trained.ends_with("Four, sorry.<|im_end|>\n") && !trained.contains("Five"), "{trained}");
    }
    // Within an answer of several turns.
    let answers = vec![turns[1..].to_vec(), vec![Message::new("assistant", "No.")]];
    let pair = row(RowTurns::Answers { prompt: turns[..1].to_vec(), answers }, None);
    let (tokenized, _) = tokens(&pair, &own, &tokenizer).unwrap();
    assert_eq!(
        trained(&tokenized, 0, &tokenizer),
        ["<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\nFour, sorry.<|im_end|>\n"]
    );
    turns[3].trained = false;
    let none = tokens(&row(RowTurns::Conversation(turns), None), &own, &tokenizer).unwrap_err();
    assert!(none.contains("no turn is to be trained"), "{none}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Templates whose texts grow with their conversations train of each turn what it adds.
    #[test]
    fn growing_texts_train_what_each_turn_adds(
        texts in prop::collection::vec("[a-zA-Z<>\\[\\] ,.]{0,12}[a-z]", 2..9),
    ) {
        let roles = ["user", "assistant"].iter().cycle();
        let mut messages: Vec<Message> =
            texts.iter().zip(roles).map(|(text, role)| Message::new(role, text.as_str())).collect();
        if messages.len() % 2 == 1 {
            messages.pop();
        }
        let folder = model("llama3");
        for name in shipped_names() {
            let template = ChatTemplate::for_model(Some(name), &folder, Some(&folder)).unwrap();
            let rendered = render_row(&row(RowTurns::Conversation(messages.clone()), None), &template).unwrap();
            let text = &rendered.texts[0].text;
            let open = Rendering { add_generation_prompt: true, ..Rendering::default() };
            let adds: Vec<_> = (1..messages.len()).step_by(2).map(|turn| {
                let before = template.render(&messages[..turn], open).unwrap();
                let after = template.render(&messages[..=turn], Rendering::default()).unwrap();
                prop_assert!(text.starts_with(&after) && after.starts_with(&before), "{}", name);
                Ok(before.len()..after.len())
            }).collect::<Result<_, TestCaseError>>()?;
            prop_assert_eq!(&rendered.texts[0].trained, &adds, "{}", name);
        }
    }
}
