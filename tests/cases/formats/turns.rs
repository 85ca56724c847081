//! Turns: roles, calls of tools, turns that are not trained, conversations that do not alternate, and
//! single answers of many shapes.

use runner::data::Need;
use serde_json::{Value, json};

use super::helper::{LABELLED, Outcome, input, plain, refusal};

const SFT: Need = Need::Sft;
const PAIRS: Need = Need::Preference;

fn sft(case: &str) -> Outcome {
    plain().case(case, SFT)
}

/// TRL #5379.
#[test]
fn a30_no_tools_are_no_tools_however_written() {
    assert!(sft("a30/rows.jsonl").rows.iter().all(|row| row.tools.is_none()));
    let turns = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]);
    for tools in [json!([]), json!("[]"), json!(" [ ] "), json!("null"), json!(""), json!(null)] {
        let read = plain().row(json!({"messages": turns, "tools": tools}), SFT);
        assert_eq!(read.rows[0].tools, None, "{tools}");
    }
    let wrong = plain().row(json!({"messages": turns, "tools": "add(a, b)"}), SFT).error.unwrap();
    assert!(
        wrong.contains("wrong type at /tools: \"add(a, b)\"; accepted: a list of tools as JSON"),
        "{wrong}"
    );
}

/// LLaMA-Factory #2529, #5866, #9107.
#[test]
fn b01_calls_in_share_gpt_s_form_are_the_assistant_s() {
    let read = sft("b01/toolcall.json");
    assert_eq!(
        read.told(),
        [
            "s:You may call tools. u:What is the weather in Oslo? a!get_weather({\"city\":\"Oslo\"}): \
             t:{\"temperature\": 3} a:It is 3 degrees in Oslo.",
            "u:Hello a:Hello, how can I help?",
        ]
    );
    let tools = read.rows[0].tools.as_ref().unwrap();
    assert_eq!(tools[0]["type"], "function");
    assert_eq!(tools[0]["function"]["name"], "get_weather");
    assert_eq!(read.rows[1].tools, None);
}

#[test]
fn calls_that_follow_each_other_are_one_turn() {
    let call = |name: &str| json!({"role": "tool_call", "content": format!("{{\"name\": \"{name}\", \"arguments\": {{}}}}")});
    let turns = json!([
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "Let me see."}, call("f"), call("g"),
        {"role": "tool_response", "content": "1"}, {"role": "tool_response", "content": "2"},
        {"role": "assistant", "content": "y"},
    ]);
    assert_eq!(
        plain().row(json!({ "messages": turns }), SFT).told(),
        ["u:q a!f({})!g({}):Let me see. t:1 t:2 a:y"]
    );
    let wrong = json!([{"from": "human", "value": "q"}, {"from": "function_call", "value": "add(1)"}]);
    let error = plain().row(json!({ "conversations": wrong }), SFT).error.unwrap();
    assert!(
        error.contains("wrong type at /conversations/1/value: \"add(1)\"; accepted: `{\"name\""),
        "{error}"
    );
}

/// LLaMA-Factory #3264.
#[test]
fn b03_roles_are_known_in_capitals_and_others_can_be_mapped() {
    assert_eq!(plain().case("b03/pairs.jsonl", PAIRS).told(), ["u:Name a colour. > a:Blue. | a:No."]);
    let turns = json!([{"from": "Customer", "value": "q"}, {"from": "agent", "value": "y"}]);
    let row = json!({ "conversations": turns });
    let error = plain().row(row.clone(), SFT).error.unwrap();
    for part in [
        "unknown role `Customer` at /conversations/0/from",
        "roles = { user = [\"Customer\"] }",
        "`tool_call`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let mapped = plain().role("user", &["customer"]).role("assistant", &["agent", "clerk"]);
    assert_eq!(mapped.row(row, SFT).told(), ["u:q a:y"]);
}

/// axolotl #1702, #1703, #1756; ms-swift #5547, #9214; OpenAI's `weight`.
#[test]
fn b06_marked_turns_are_not_trained() {
    let read = sft("b06/weights.jsonl");
    let told = "u:Two plus two? a-:WRONGANSWER five. u:Sure? a:Four, sorry.";
    assert_eq!(read.told(), [told; 3]);
    // The template is not told of marks.
    for message in read.rows.iter().flat_map(|row| match &row.turns {
        runner::data::RowTurns::Conversation(turns) => turns.clone(),
        other => panic!("{other:?}"),
    }) {
        assert_eq!(message.extra.len(), 0, "{message:?}");
    }
    let turns = |mark: Value| {
        let mut answer = json!({"role": "assistant", "content": "y"});
        answer.as_object_mut().unwrap().extend(mark.as_object().unwrap().clone());
        json!({"messages": [{"role": "user", "content": "q"}, answer]})
    };
    for (mark, part) in [
        (json!({"weight": 0.5}), "wrong type at /messages/1/weight: 0.5"),
        (json!({"loss": "false"}), "wrong type at /messages/1/loss: \"false\""),
        (json!({"loss": true, "weight": 0}), "/messages/1/weight contradicts /messages/1/loss"),
    ] {
        let error = plain().row(turns(mark), SFT).error.unwrap();
        assert!(error.contains(part), "{error}");
    }
}

/// LLaMA-Factory #9107.
#[test]
fn b11_turns_need_not_alternate() {
    assert_eq!(
        sft("b11/turns.jsonl").told(),
        [
            "a:Hello, how can I help? u:Two plus two? a:Four.",
            "u:Hi. u:Two plus two? a:Four.",
            "u:Two plus two? a:Let me think. a:Four.",
            "u:Two plus two? a:Four. s:Now in French. u:Again? a:Quatre.",
            "u:Two plus two? a!add({\"a\":2}): t:4 u:So? a:Four.",
            "u:Two plus two? a:Four.",
            "u:Two plus two? a:Four.",
        ]
    );
}

#[test]
fn b21_rows_of_single_answers() {
    let dolly = plain().column("input", "context").column("output", "response");
    let read = dolly.case("b21/dolly.jsonl", SFT);
    assert_eq!(read.told(), ["u:Who is older?\nAnn is 5. Bob is 6. > a:Bob.", "u:Name a bird. > a:Crow."]);
    assert_eq!(read.warnings, ["`dolly.jsonl`: nothing reads `/category`"]);
    // An empty instruction is no line of its own.
    assert_eq!(
        sft("b21/hist.jsonl").told(),
        ["s:Brief. u:Two? a:Four. u:And three? > a:Six.", "u:And three? > a:Six.", "u:Only input? > a:Six."]
    );
    let orca = plain().column("system", "system_prompt").column("query", "question");
    let read = orca.case("b21/orca.jsonl", SFT);
    assert_eq!(read.told(), ["s:Be brief. u:Two plus two? > a:Four.", "u:Two plus one? > a:Three."]);
    assert_eq!(sft("b21/strmsgs.jsonl").told(), ["u:Hi a:Yo"]);
}

#[test]
fn b21_text_is_trained_whole_saying_so() {
    let read = sft("b21/text.jsonl");
    assert_eq!(read.told(), ["text <s>[INST] Two plus two? [/INST] Four.</s>"]);
    assert_eq!(
        read.warnings,
        ["`text.jsonl`: 1 rows are `text`, which is trained whole and as it is, without the chat template"]
    );
    assert!(refusal("b21/text.jsonl", PAIRS).contains("no known format: the row has `text`"));
    assert!(refusal("b21/text.jsonl", Need::Prompt).contains("no known format: the row has `text`"));
}

#[test]
fn b21_rows_that_cannot_be_read_are_named() {
    let read = plain().file(&input("b21/first2.jsonl"), SFT);
    assert_eq!(read.told(), ["u:Two plus two? a:Four."]);
    assert!(
        read.refused[0].starts_with("`first2.jsonl` line 2: missing /messages: the row has `conversations`")
    );
    assert!(
        read.refused[1].starts_with("`first2.jsonl` line 3: missing /messages: the row has `instruction`")
    );
    let nan = refusal("b21/nan.jsonl", SFT);
    assert!(nan.contains("line 1: not JSON: expected value at column 104"), "{nan}");
    let surrogate = refusal("b21/surrogate.jsonl", SFT);
    assert!(surrogate.contains("line 1: not JSON: unexpected end of hex escape"), "{surrogate}");
    let images = refusal("b21/images.jsonl", SFT);
    assert!(images.contains("line 1: images at /images: models are trained on text alone"), "{images}");
    let typo = plain().column("prompt", "qestion").file(&input("b21/typo.jsonl"), PAIRS).error.unwrap();
    assert_eq!(
        typo,
        "data `d`: `columns = { prompt = \"qestion\" }` names what no row has; rows have `question`, `chosen`, \
         `rejected`"
    );
}

#[test]
fn b21_odd_conversations_are_read_or_named() {
    let read = plain().file(&input("b21/shareweird.jsonl"), SFT);
    assert_eq!(read.told(), ["u:Hi a:Yo", "a:hello u:Hi a:Yo", "u:Hi a:Yo"]);
    let reasons: Vec<&str> = read.refused.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(reasons.len(), 3, "{:?}", read.refused);
    assert!(read.refused[0].contains("line 2: ") && read.refused[0].contains("/conversations/2/value"));
    assert!(read.refused[1].ends_with("line 3: no answer"));
    assert!(read.refused[2].contains("line 6: missing /conversations: the row has `id`, `items`"));
    assert_eq!(read.warnings, ["`shareweird.jsonl`: nothing reads `/id`"]);
}

#[test]
fn b21_pairs_of_turns_and_calls() {
    let read = plain().file(&input("b21/partsdpo.jsonl"), PAIRS);
    assert_eq!(
        read.told(),
        [
            "s:Brief. u:Two plus two? > a:Four. | a:Five.",
            "s:Brief. u:Two plus two? > a:Four. | a:Five.",
            "u:Two plus two? > a!add({\"a\":2,\"b\":2}): | a:Five.",
        ]
    );
    assert_eq!(read.refused, ["`partsdpo.jsonl` line 3: prompt ends in an answer"]);
}

/// A question that is spread over keys is asked whole, or the row is refused.
#[test]
fn no_part_of_a_question_is_lost() {
    for (row, need, expected) in [
        (json!({"prompt": "q", "input": "i", "completion": "y"}), SFT, "u:q\ni > a:y"),
        (json!({"prompt": "q", "input": "i", "chosen": "y", "rejected": "n"}), PAIRS, "u:q\ni > a:y | a:n"),
        (
            json!({"prompt": "q", "history": [["a", "b"]], "completion": "y", "label": 1}),
            LABELLED,
            "u:a a:b u:q > a:y +",
        ),
        (json!({"prompt": "q", "history": "[[\"a\", \"b\"]]", "completion": "y"}), SFT, "u:a a:b u:q > a:y"),
        (json!({"prompt": "q", "history": [["a", "b"]]}), Need::Prompt, "u:a a:b u:q > "),
        (json!({"query": "q", "input": "i", "response": "y"}), SFT, "u:q\ni > a:y"),
        (
            json!({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
                   "history": [["a", "b"]], "completion": "y"}),
            SFT,
            "s:s u:a a:b u:q > a:y",
        ),
        (
            json!({"system": "s", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
                   {"role": "assistant", "content": "y"}]}),
            SFT,
            "s:s u:q a:y",
        ),
    ] {
        assert_eq!(plain().row(row.clone(), need).told(), [expected], "{row}");
    }
    let turns = json!([{"role": "system", "content": "t"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "y"}]);
    for (row, need, part) in [
        (json!({"messages": turns, "system": "s"}), SFT, "/system contradicts /messages/0"),
        (json!({"messages": turns, "input": "i"}), SFT, "/input would be lost"),
        (json!({"messages": turns, "history": [["a", "b"]]}), SFT, "/history would be lost"),
        (json!({"prompt": turns, "input": "i", "completion": "y"}), SFT, "/input would be lost"),
        (json!({"prompt": "p", "query": "q", "response": "y"}), SFT, "/prompt would be lost"),
        (
            json!({"prompt": "p", "instruction": "q", "chosen": "y", "rejected": "n"}),
            PAIRS,
            "/instruction contradicts /prompt",
        ),
        (
            json!({"prompt": "p", "completion": "y", "label": true, "kto_tag": 0}),
            LABELLED,
            "/label contradicts /kto_tag",
        ),
    ] {
        let error = plain().row(row.clone(), need).error.unwrap();
        assert!(error.contains(part), "{row}: {error}");
    }
}

#[test]
fn a_row_s_variables_of_the_template_are_kept() {
    let row = |variables: Value| json!({"prompt": "q", "completion": "y", "chat_template_kwargs": variables});
    for variables in [json!({"enable_thinking": false}), json!("{\"enable_thinking\": false}")] {
        let read = plain().row(row(variables), SFT);
        let kept = read.rows[0].chat_template_kwargs.as_ref().unwrap();
        assert_eq!(Value::Object(kept.clone()), json!({"enable_thinking": false}));
    }
    let error = plain().row(row(json!([1])), SFT).error.unwrap();
    assert!(error.contains("wrong type at /chat_template_kwargs: [1]"), "{error}");
    let error = plain().row(row(json!("yes")), SFT).error.unwrap();
    assert!(error.contains("wrong type at /chat_template_kwargs: \"yes\"; accepted: an object"), "{error}");
}

#[test]
fn pictures_and_sounds_are_refused_wherever_they_stand() {
    let talk = |content: Value| json!({"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "y"}]});
    let mut beside = talk(json!("q"));
    beside["audios"] = json!(["a.wav"]);
    for (row, part) in [
        (talk(json!("<image>q")), "`<image>` at /messages/0/content"),
        (
            talk(json!([{"type": "image"}, {"type": "text", "text": "q"}])),
            "a part of type `image` at /messages/0/content/0",
        ),
        (
            talk(json!([{"type": "text", "text": "q"}, {"image": "a.png"}])),
            "image at /messages/0/content/1/image",
        ),
        (talk(json!([{"type": "input_audio", "input_audio": {}}])), "`input_audio` at /messages/0/content/0"),
        (beside, "audios at /audios"),
        (json!({"prompt": "q", "completion": "y", "image": "a.png"}), "image at /image"),
    ] {
        let error = plain().row(row.clone(), SFT).error.unwrap();
        assert!(error.contains(part), "{row}: {error}");
    }
    // A column that a row does not use is none.
    let mut unused = talk(json!([{"type": "text", "text": "q"}]));
    unused["images"] = json!([]);
    let read = plain().row(unused, SFT);
    assert_eq!((read.told(), read.warnings), (vec!["u:q a:y".to_owned()], vec![]));
}
