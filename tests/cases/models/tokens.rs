//! Tokens without a row in the embedding.

use serde_json::json;

use super::commands::{check, run};
use super::folder::{Copy, EMBEDDING, HEAD, MODELS};

fn shrink(copy: &Copy, rows: usize) {
    copy.config(json!({ "vocab_size": rows, "pad_token_id": null }));
    copy.weights(|weights| {
        for name in [EMBEDDING, HEAD] {
            if let Some(table) = weights.get_mut(name) {
                *table = table.rows(rows);
            }
        }
    });
}

#[test]
fn rows_that_use_tokens_without_a_row_in_the_embedding_are_refused_with_token_and_remedy() {
    for model in MODELS {
        let copy = Copy::of(model);
        shrink(&copy, 500);
        for said in [check(&copy, "sft"), run(&copy, "sft")] {
            assert_eq!(said.code, Some(2), "{model}: {}", said.err);
            for words in ["data `d`", "500 rows", "resize_token_embeddings", "token `"] {
                assert!(said.err.contains(words), "{model}: {}", said.err);
            }
        }
    }
}

#[test]
fn tokens_that_no_row_uses_are_told_of() {
    // Of the golden models' tokens, 511 pads and stands in no row.
    let copy = Copy::of("llama3");
    shrink(&copy, 511);
    for said in [check(&copy, "sft"), run(&copy, "sft")] {
        assert_eq!(said.code, Some(0), "{}", said.err);
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains("warning") && all.contains("(511)"), "{all}");
    }
}

#[test]
fn a_padding_token_past_the_embedding_is_refused() {
    let copy = Copy::of("llama3");
    shrink(&copy, 511);
    copy.config(json!({ "pad_token_id": 511 }));
    let said = check(&copy, "sft");
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("pad_token_id") && said.err.contains("511 rows"), "{}", said.err);
}
