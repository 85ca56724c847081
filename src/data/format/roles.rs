//! Names of roles.

use indexmap::IndexMap;

/// The role of turns that call tools. These become turns of the assistant.
pub const TOOL_CALL: &str = "tool_call";

/// Our roles and their names in data sets, in small or capital letters.
const ROLES: [(&str, &[&str]); 6] = [
    ("user", &["human", "prompter"]),
    ("assistant", &["gpt", "chatgpt", "bing", "bard", "model", "bot"]),
    ("system", &[]),
    ("developer", &[]),
    ("tool", &["observation", "ipython", "function", "function_response", "tool_response"]),
    (TOOL_CALL, &["function_call"]),
];

/// Names of roles in a data set that the recipe maps: our role → theirs.
pub type RoleMap = IndexMap<String, Vec<String>>;

/// Our role of that name, if there is one.
fn ours(name: &str) -> Option<&'static str> {
    ROLES.iter().find(|(role, _)| *role == name).map(|(role, _)| *role)
}

/// Our role for a name in a data set: as the recipe maps it, or else as the table of our roles has it. `None` if it is
/// not known.
pub fn role(name: &str, roles: &RoleMap) -> Option<&'static str> {
    let same = |known: &str| known.to_lowercase() == name.to_lowercase();
    let mapped = roles.iter().find(|(_, theirs)| theirs.iter().any(|known| same(known)));
    match mapped {
        Some((role, _)) => ours(role),
        None => ROLES
            .iter()
            .find(|(role, names)| same(role) || names.iter().any(|known| same(known)))
            .map(|(role, _)| *role),
    }
}

/// The roles that are known, for messages.
pub fn known_roles() -> String {
    let role = |(role, names): &(&str, &[&str])| match names.is_empty() {
        true => format!("`{role}`"),
        false => format!("`{role}` (`{}`)", names.join("`, `")),
    };
    format!("known are {}", ROLES.iter().map(role).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_the_recipe_s_come_first() {
        let none = RoleMap::new();
        for (name, role) in [("Human", "user"), ("GPT", "assistant"), ("Tool_Call", TOOL_CALL)] {
            assert_eq!(self::role(name, &none), Some(role), "{name}");
        }
        assert_eq!(role("customer", &none), None);
        let theirs = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mapped = RoleMap::from_iter([
            ("user".to_owned(), theirs(&["Customer", "model"])),
            ("assistant".to_owned(), theirs(&["agent"])),
        ]);
        assert_eq!(role("customer", &mapped), Some("user"));
        assert_eq!(role("model", &mapped), Some("user"));
        assert_eq!(role("Agent", &mapped), Some("assistant"));
        assert_eq!(role("gpt", &mapped), Some("assistant"));
    }
}
