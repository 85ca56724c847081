//! A stage fed the wrong thing is refused before anything is made.

use std::fs;

use crate::workspace::{Workspace, root};

/// What is wrong, by recipe in `tests/recipes/invalid`.
const WRONG: [&str; 5] = [
    "reward_is_a_policy",
    "policy_is_a_reward_model",
    "kto_on_pairs",
    "keys_of_other_kinds",
    "reward_of_another_tokenizer",
];

#[test]
fn wrong_inputs_of_stages_are_refused_by_name_and_line() {
    for name in WRONG {
        let recipe = format!("tests/recipes/invalid/{name}.toml");
        let workspace = Workspace::new(&recipe, "demo");
        let said = workspace.run(&["run"]);
        let expected = fs::read_to_string(root().join(recipe).with_extension("stderr")).unwrap();
        let here = format!("{}/", root().display());
        assert_eq!((said.code, said.err.replace(&here, "")), (Some(2), expected), "{name}");
        assert_eq!(said.out, "");
        assert_eq!(fs::read_dir(workspace.folder()).unwrap().count(), 0, "{name}: nothing is made");
    }
}
