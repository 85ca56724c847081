//! Preferences: Alpaca's, those of several rejected answers, those told by an index, a winner or a sign.

use runner::data::Need;
use serde_json::json;

use super::helper::{LABELLED, plain, refusal};

const PAIRS: Need = Need::Preference;

/// ms-swift #6830.
#[test]
fn alpaca_pairs_ask_all_that_they_hold() {
    let pairs = [
        "s:Be brief. u:Sort the words.\nlamp, apple > a:apple, lamp | a:lamp, apple",
        "u:Say hello. > a:Hello! | a:Bye.",
    ];
    let read = plain().case("a09/pairs.json", PAIRS);
    assert_eq!(read.told(), pairs);
    assert_eq!(read.warnings, ["`pairs.json`: nothing reads `/id`"]);
    assert_eq!(plain().column("prompt", "instruction").case("a09/pairs.json", PAIRS).told(), pairs);
}

/// LLaMA-Factory #4108, #6994, #6509, #1913.
#[test]
fn alpaca_pairs_of_either_form_are_read() {
    let pairs = ["u:Translate to French.\ngood morning > a:bonjour | a:hello", "u:Say hi. > a:Hi! | a:No."];
    assert_eq!(plain().case("b02/ranking.json", PAIRS).told(), pairs);
    assert_eq!(plain().column("prompt", "instruction").case("b02/ranking.json", PAIRS).told(), pairs);
    assert_eq!(plain().case("b02/old.json", PAIRS).told(), pairs[..1]);
    let sft = "u:Translate to French.\ngood morning > a:bonjour";
    assert_eq!(plain().case("b02/old.json", Need::Sft).told(), [sft]);
    let three = json!({"instruction": "q", "output": ["a", "b", "c"]});
    let refused = plain().row(three, PAIRS).error.unwrap();
    assert!(refused.contains("none of 1 rows can be used (wrong type: 1)"), "{refused}");
}

/// ms-swift #7184, #7314, #2055, #2968.
#[test]
fn rejected_answers_may_be_several_and_of_turns() {
    assert_eq!(plain().case("a10/list.jsonl", PAIRS).told(), ["u:What is it? > a:a cat | a:a dog"]);
    let many = plain().case("a10/many.jsonl", PAIRS);
    assert_eq!(many.told(), ["u:What is it? > a:a cat | a:a dog", "u:What is it? > a:a cat | a:a fish"]);
    assert_eq!(many.warnings, ["`many.jsonl`: 1 rows have several rejected answers: 2 pairs"]);
    assert_eq!(many.rows[0].origin, many.rows[1].origin);
    // By its chosen side the row is one.
    assert_eq!(plain().case("a10/many.jsonl", Need::Sft).told(), ["u:What is it? > a:a cat"]);
    assert_eq!(
        plain().case("a10/mixed.jsonl", PAIRS).told(),
        [
            "u:Add one. a:two u:Again. a:two and a bit u:And now? > a:three | a:four",
            "u:Add one. > a:two | a:one",
            "s:Be brief. u:Add one. > a:two | a:one",
            "u:Add one. > a:two | a:one",
        ]
    );
    let tools = plain().case("a10/tools.jsonl", PAIRS);
    assert_eq!(
        tools.told(),
        ["s:Use tools. u:Add one and two. a!add({\"a\":1,\"b\":2}): t:3 > a:three | a:four"]
    );
    assert_eq!(tools.rows[0].tools.as_ref().unwrap()[0]["function"]["name"], "add");
}

#[test]
fn a_list_of_two_texts_is_two_answers_and_no_turn() {
    let row = json!({"prompt": "Which river?", "chosen": "Volga", "rejected": ["assistant", "Danube"]});
    assert_eq!(
        plain().row(row, PAIRS).told(),
        ["u:Which river? > a:Volga | a:assistant", "u:Which river? > a:Volga | a:Danube"]
    );
    let lists = json!([[{"role": "assistant", "content": "n"}], [{"from": "gpt", "value": "m"}]]);
    let row = json!({"conversations": [{"from": "human", "value": "q"}], "chosen": "y", "rejected": lists});
    assert_eq!(plain().row(row, PAIRS).told(), ["u:q > a:y | a:n", "u:q > a:y | a:m"]);
    // One of them is no worse: that pair is dropped, the other is kept.
    let row = json!({"prompt": "q", "chosen": "y", "rejected": ["y", "n"]});
    let read = plain().row(row, PAIRS);
    assert_eq!(read.told(), ["u:q > a:y | a:n"]);
    assert_eq!(read.refused, ["`rows.jsonl` line 1: chosen equals rejected"]);
    let row = json!({"prompt": "q", "chosen": ["y", "z"], "rejected": "n"});
    let error = plain().row(row, PAIRS);
    assert!(error.error.is_some());
}

/// UltraFeedback, PKU-SafeRLHF, HelpSteer2, Arena and Skywork.
#[test]
fn the_better_answer_is_told_in_many_ways() {
    assert_eq!(
        plain().case("b09/saferlhf.jsonl", PAIRS).told(),
        [
            "u:How do I pick a lock? > a:Ask a locksmith. | a:Break it.",
            "u:How do I bake? > a:With flour. | a:No idea."
        ]
    );
    assert_eq!(
        plain().case("b09/helpsteer2.jsonl", PAIRS).told(),
        ["u:Name a colour. > a:Blue. | a:No.", "u:Name a bird. > a:Crow. | a:Cup."]
    );
    for case in ["b09/arena.jsonl", "b09/skywork.jsonl"] {
        assert_eq!(plain().case(case, PAIRS).told(), ["u:Name a colour. > a:Blue. | a:No."], "{case}");
    }
    let helpsteer = plain().case("b09/helpsteer.jsonl", Need::Sft);
    assert_eq!(helpsteer.told(), ["u:Name a colour. > a:Blue."]);
    assert_eq!(
        helpsteer.warnings,
        [
            "`helpsteer.jsonl`: nothing reads `/helpfulness`, `/correctness`, `/coherence`, `/complexity`, `/verbosity`"
        ]
    );
    let scores = refusal("b09/helpsteer.jsonl", PAIRS);
    assert!(scores.contains("no known format: the row has `prompt`, `response`, `helpfulness`"), "{scores}");
    assert!(scores.contains("`response_0`, `response_1` and `better_response_id`"), "{scores}");
}

#[test]
fn an_index_tells_the_best_of_a_list() {
    let row = |index| json!({"prompt": "q", "responses": ["a", "b", "c"], "chosen_index": index});
    assert_eq!(plain().row(row(json!(1)), PAIRS).told(), ["u:q > a:b | a:a", "u:q > a:b | a:c"]);
    assert_eq!(plain().row(row(json!("2")), Need::Sft).told(), ["u:q > a:c"]);
    let mut two = row(json!(0));
    two["rejected_index"] = json!(2);
    assert_eq!(plain().row(two, PAIRS).told(), ["u:q > a:a | a:c"]);
    for index in [json!(3), json!(-1), json!("best")] {
        assert!(plain().row(row(index.clone()), PAIRS).error.is_some(), "{index}");
    }
}

#[test]
fn ties_are_dropped_with_their_reason() {
    let talk =
        |answer: &str| json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]);
    let arena =
        |winner: &str| json!({"conversation_a": talk("y"), "conversation_b": talk("n"), "winner": winner});
    let rows = [arena("model_b"), arena("tie (bothbad)"), arena("b"), arena("tie")];
    let read = plain().rows(&rows, PAIRS);
    assert_eq!(read.told(), ["u:q > a:n | a:y", "u:q > a:n | a:y"]);
    assert_eq!(
        read.refused,
        [
            "`rows.jsonl` line 2: tie: `winner` is `tie (bothbad)`",
            "`rows.jsonl` line 4: tie: `winner` is `tie`"
        ]
    );
    let strength = |strength: i64| json!({"prompt": "q", "response_1": "y", "response_2": "n", "preference_strength": strength});
    let read = plain().rows(&[strength(0), strength(1)], PAIRS);
    assert_eq!(read.told(), ["u:q > a:n | a:y"]);
    assert_eq!(read.refused, ["`rows.jsonl` line 1: tie: `preference_strength` is 0"]);
    // A question is one, whoever answered it better.
    assert_eq!(plain().rows(&rows, Need::Prompt).told(), ["u:q > "; 4]);
    let read = plain().rows(&[arena("model_a"), arena("c")], PAIRS);
    assert!(
        read.refused[0].contains("wrong type at /winner: \"c\"; accepted: `a`, `model_a`"),
        "{:?}",
        read.refused
    );
}

/// LLaMA-Factory #3066: whole conversations beside a prompt of text, which TRL does not read.
#[test]
fn whole_conversations_have_their_prompt_in_them() {
    let talk = |answer: &str| {
        json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "w"},
               {"role": "user", "content": "r"}, {"role": "assistant", "content": answer}])
    };
    let row = |prompt: &str| json!({"prompt": prompt, "chosen": talk("y"), "rejected": talk("n")});
    let rendering = plain().row(row("<|user|>q<|assistant|>w<|user|>r"), PAIRS);
    assert_eq!(rendering.told(), ["u:q a:w u:r > a:y | a:n"]);
    assert_eq!(rendering.warnings, [] as [&str; 0]);
    let other = plain().row(row("something else"), PAIRS);
    assert_eq!(other.told(), ["u:q a:w u:r > a:y | a:n"]);
    assert_eq!(other.warnings, ["`rows.jsonl`: nothing reads `/prompt`"]);
    let apart = json!({"chosen": talk("y"), "rejected": [{"role": "user", "content": "s"}, {"role": "assistant", "content": "n"}]});
    let usable = json!({"prompt": "q", "chosen": "y", "rejected": "n"});
    assert_eq!(
        plain().rows(&[apart, usable], PAIRS).refused,
        ["`rows.jsonl` line 1: no common prompt: chosen begins with `user: q`, rejected with `user: s`"]
    );
}

/// As TRL's `extract_prompt`, but never within a word.
#[test]
fn texts_without_a_prompt_have_their_common_words_for_one() {
    let row = json!({"chosen": "Two and two is four.", "rejected": "Two and two is five."});
    assert_eq!(plain().row(row, PAIRS).told(), ["u:Two and two is > a:four. | a:five."]);
    let named = json!({"question": "Two and two?", "chosen": "It is four.", "rejected": "It is five."});
    let error = plain().row(named, PAIRS).error.unwrap();
    assert!(error.contains("none of 1 rows can be used (missing key: 1)"), "{error}");
}

/// ms-swift #1513, #2941.
#[test]
fn labels_are_read_in_all_their_spellings_or_refused_with_what_is_accepted() {
    let read = plain().file(&super::helper::input("a08/rows.jsonl"), LABELLED);
    let told = read.told();
    let labels: String = told.iter().map(|row| &row[row.len() - 1..]).collect();
    assert_eq!(labels, "+-+-+-+-+-");
    let accepted = "accepted: `true`, `false`, `1`, `0`, `-1`, `\"true\"`, `\"false\"`, `\"True\"`, `\"False\"`, \
                    `\"1\"`, `\"0\"` or `\"-1\"`";
    assert_eq!(
        read.refused,
        [
            "`rows.jsonl` line 11: missing /label: the row has `messages`; if one of them is it, say so: `columns = \
             { label = \"…\" }`"
                .to_owned(),
            "`rows.jsonl` line 12: missing /label: the row has `messages`; if one of them is it, say so: `columns = \
             { label = \"…\" }`"
                .to_owned(),
            "`rows.jsonl` line 13: wrong type at /label: -1; accepted: `true` or 1, and one way to write the \
             opposite: `false`, 0 or -1; this file has both 0 and -1, and one of them may mean neither"
                .to_owned(),
            format!("`rows.jsonl` line 14: wrong type at /label: 2; {accepted}"),
            format!("`rows.jsonl` line 15: wrong type at /label: \"bad\"; {accepted}"),
            "`rows.jsonl` line 16: /label contradicts /kto_tag: one says that the answer is desirable, the other that \
             it is not"
                .to_owned(),
        ]
    );
    assert_eq!(
        plain().case("a08/labels.csv", LABELLED).told(),
        ["u:A? > a:a +", "u:B? > a:b -", "u:C? > a:c +", "u:D? > a:d -"]
    );
    let signs = [1, -1].map(|label| json!({"prompt": "q", "completion": "y", "label": label}));
    assert_eq!(plain().rows(&signs, LABELLED).told(), ["u:q > a:y +", "u:q > a:y -"]);
    // What is marked as bad in any spelling is nothing to imitate.
    let spelled = [json!("False"), json!(0), json!(-1), json!(true)];
    let rows = spelled.map(|label| json!({"prompt": "q", "completion": "y", "label": label}));
    assert_eq!(plain().rows(&rows, Need::Sft).told().len(), 1);
}

#[test]
fn b21_kto_rows_of_two_shapes_and_of_odd_labels_are_named() {
    let read = plain().file(&super::helper::input("b21/kto.jsonl"), LABELLED);
    assert_eq!(read.told(), ["u:Two plus two? > a:Four. +", "u:Two plus two? > a:Five. -"]);
    assert_eq!(read.refused.len(), 1);
    assert!(read.refused[0].starts_with("`kto.jsonl` line 3: missing /prompt: the row has `instruction`"));
    let odd = refusal("b21/kto2.jsonl", LABELLED);
    assert!(odd.contains("line 1: wrong type at /label: \"good\"; accepted: `true`"), "{odd}");
    let mixed = refusal("b21/kto3.jsonl", LABELLED);
    assert!(mixed.contains("line 3: wrong type at /label: 0"), "{mixed}");
}
