//! Names of roles, and the order in which turns may come.

use crate::data::row::Message;

/// Our name of a role: ShareGPT's and others' names mapped, templates' own names kept. `None`: not
/// a role that is known.
pub fn role(name: &str) -> Option<&'static str> {
    Some(match name {
        "user" | "human" | "prompter" => "user",
        "assistant" | "gpt" | "chatgpt" | "bing" | "bard" | "model" | "bot" => "assistant",
        "system" => "system",
        "developer" => "developer",
        "tool" | "observation" | "ipython" | "function" | "function_response" => "tool",
        _ => return None,
    })
}

/// Whether turns may follow each other so: system or developer turns first, then user and assistant
/// in turn, the user first; tool results stand between two assistant turns.
pub fn alternate(messages: &[Message]) -> bool {
    let head = messages.iter().take_while(|m| matches!(m.role.as_str(), "system" | "developer"));
    let turns = &messages[head.count()..];
    turns.first().is_none_or(|first| first.role == "user")
        && turns.windows(2).all(|pair| {
            matches!(
                (pair[0].role.as_str(), pair[1].role.as_str()),
                ("user", "assistant")
                    | ("assistant", "user" | "tool")
                    | ("tool", "tool" | "assistant")
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_alternate_from_the_user_on() {
        let may = |roles: &str| {
            alternate(&roles.split(' ').map(|role| Message::new(role, "x")).collect::<Vec<_>>())
        };
        for good in [
            "user",
            "system user assistant",
            "user assistant user assistant",
            "system developer user assistant tool tool assistant user",
        ] {
            assert!(may(good), "{good}");
        }
        for bad in [
            "assistant",
            "system assistant",
            "user user",
            "user assistant assistant",
            "user system assistant",
            "user tool",
        ] {
            assert!(!may(bad), "{bad}");
        }
    }
}
