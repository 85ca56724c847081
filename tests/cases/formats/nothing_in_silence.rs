//! Nothing that a row says is ignored in silence: a key that nobody knows, at any level of a row of any
//! shape, is an error or a warning that names it.

use proptest::prelude::*;
use runner::data::Need;
use serde_json::{Value, json};

use super::helper::{LABELLED, plain};

/// Rows of every shape and what reads them.
fn shapes() -> Vec<(Value, Need)> {
    let user = json!({"role": "user", "content": "q"});
    let (good, bad) =
        (json!({"role": "assistant", "content": "y"}), json!({"role": "assistant", "content": "n"}));
    let human = json!({"from": "human", "value": "q"});
    let (gpt, worse) = (json!({"from": "gpt", "value": "y"}), json!({"from": "gpt", "value": "n"}));
    let parts = json!({"role": "user", "content": [{"type": "text", "text": "q"}]});
    let tools =
        json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]);
    let call = json!({"type": "function", "function": {"name": "f", "arguments": {"a": 1}}});
    let calling = json!({"role": "assistant", "content": "", "tool_calls": [call]});
    let called = json!({"role": "tool", "content": "1"});
    let function_call = json!({"from": "function_call", "value": {"name": "f", "arguments": {}}});
    let preference = [
        json!({"prompt": "q", "chosen": "y", "rejected": "n", "system": "s", "margin": 1.0}),
        json!({"prompt": [user], "chosen": [good], "rejected": [bad]}),
        json!({"chosen": [user, good], "rejected": [user, bad]}),
        json!({"instruction": "q", "input": "i", "chosen": "y", "rejected": ["n", "m"]}),
        json!({"instruction": "q", "input": "i", "output": ["y", "n"]}),
        json!({"conversations": [human], "chosen": gpt, "rejected": worse}),
        json!({"messages": [user, good], "rejected_response": "n"}),
        json!({"messages": [user, good], "rejected_messages": [user, bad]}),
        json!({"query": "q", "response": "y", "rejected_response": "n", "history": [["a", "b"]]}),
        json!({"prompt": "q", "responses": ["y", "n"], "chosen_index": 0}),
        json!({"prompt": "q", "response_0": "y", "response_1": "n", "better_response_id": 0}),
        json!({"prompt": "q", "response_1": "y", "response_2": "n", "preference_strength": -1}),
        json!({"prompt": "q", "response_a": "y", "response_b": "n", "winner": "a"}),
        json!({"conversation_a": [user, good], "conversation_b": [user, bad], "winner": "model_a"}),
    ];
    let single = [
        json!({"messages": [parts, calling, called, good], "tools": tools}),
        json!({"conversations": [human, function_call, {"from": "observation", "value": "1"}, gpt]}),
        json!({"prompt": "q", "completion": "y"}),
        json!({"prompt": "q", "response": "y"}),
        json!({"instruction": "q", "input": "i", "output": "y", "history": [["a", "b"]]}),
        json!({"query": "q", "response": "y", "system": "s"}),
    ];
    let labelled = single.clone().map(|mut row| {
        row["label"] = json!(true);
        (row, LABELLED)
    });
    let sft = single.into_iter().chain([json!({"text": "t"})]).map(|row| (row, Need::Sft));
    let prompts = [json!({"prompt": "q", "system": "s"}), json!({"messages": [user, good]})];
    let pairs = preference.into_iter().flat_map(|row| [(row.clone(), Need::Preference), (row, Need::Sft)]);
    pairs.chain(sft).chain(labelled).chain(prompts.map(|row| (row, Need::Prompt))).collect()
}

/// Pointers to all objects of a value, but for those whose keys a template, a tool or a caller makes up.
fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.push(at.to_owned());
            for (key, inner) in map {
                if !["arguments", "parameters"].contains(&key.as_str()) {
                    objects(inner, &format!("{at}/{key}"), found);
                }
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| objects(item, &format!("{at}/{n}"), found));
        }
        _ => {}
    }
}

/// Keys of chat turns go to the template; whether it reads them is asked where it is known.
fn is_chat_turn(object: &Value) -> bool {
    object.get("role").is_some()
}

fn said(row: &Value, need: Need) -> String {
    let read = plain().row(row.clone(), need);
    let error = read.error.clone().unwrap_or_default();
    format!("{error}\n{}\n{}", read.refused.join("\n"), read.warnings.join("\n"))
}

#[test]
fn an_unknown_key_is_named_at_every_level() {
    let mut levels = 0;
    for (row, need) in shapes() {
        assert_eq!(plain().row(row.clone(), need).error, None, "{row}");
        let mut places = Vec::new();
        objects(&row, "", &mut places);
        for place in places.into_iter().filter(|at| !is_chat_turn(row.pointer(at).unwrap())) {
            let mut changed = row.clone();
            changed.pointer_mut(&place).unwrap()["surprise"] = json!("x");
            let said = said(&changed, need);
            assert!(said.contains("surprise"), "{need:?} {changed}: {said}");
            levels += 1;
        }
    }
    assert!(levels > 65, "{levels}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_unknown_key_is_named(
        which in any::<prop::sample::Index>(),
        level in any::<prop::sample::Index>(),
        key in "[a-z]{3,9}_?[a-z0-9]{3,9}x",
        value in prop_oneof![Just(json!(0)), Just(json!("q")), Just(json!([])), Just(json!({"a": 1})), Just(json!(false))],
    ) {
        let shapes = shapes();
        let (row, need) = &shapes[which.index(shapes.len())];
        let mut places = Vec::new();
        objects(row, "", &mut places);
        places.retain(|at| !is_chat_turn(row.pointer(at).unwrap()));
        let place = &places[level.index(places.len())];
        let mut changed = row.clone();
        changed.pointer_mut(place).unwrap()[&key] = value;
        let said = said(&changed, *need);
        prop_assert!(said.contains(&key), "{:?} {}: {}", need, changed, said);
    }
}
