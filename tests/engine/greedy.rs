//! Greedy generation with the cache of keys and values, token for token as transformers' `generate`.

use runner::model::artifact::Artifact;
use runner::model::generate::greedy;
use runner::model::policy::Models;

use super::trace::{golden, ids, json};

#[test]
fn greedy_answers_equal_those_of_transformers() {
    for (model, cases) in json("traces/greedy.json").as_object().unwrap() {
        let decoder = Models::default()
            .frozen(&Artifact { base: golden(&format!("models/{model}")), ..Artifact::default() })
            .unwrap();
        let cases = cases.as_array().unwrap();
        let prompts: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["prompt_ids"])).collect();
        let expected: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["greedy"])).collect();
        let length = expected[0].len();
        assert_eq!(greedy(&decoder, &prompts, length, &[]).unwrap(), expected, "{model}");

        // an end token cuts one answer short and leaves the others alone
        let end = expected[0][3];
        let cut = greedy(&decoder, &prompts, length, &[end]).unwrap();
        for (cut, whole) in cut.iter().zip(&expected) {
            let stop = whole.iter().position(|t| *t == end).map_or(length, |i| i + 1);
            assert_eq!(cut, &whole[..stop], "{model}");
        }
    }
}

#[test]
fn nothing_to_say_is_said_at_once() {
    let decoder =
        Models::default().frozen(&Artifact { base: golden("models/qwen2"), ..Artifact::default() }).unwrap();
    assert_eq!(greedy(&decoder, &[vec![], vec![5]], 0, &[]).unwrap(), vec![Vec::<u32>::new(); 2]);
    let answers = greedy(&decoder, &[vec![], vec![5]], 2, &[]).unwrap();
    assert_eq!((answers[0].len(), answers[1].len()), (0, 2));
}
