//! "did you mean": the known word nearest to one that is not known.

/// Choices up to this number are listed where none is near.
const LONGEST_LIST: usize = 12;

/// The longest word that is compared with others, in characters.
const LONGEST_WORD: usize = 200;

/// The number of candidates that are looked at: among more, nobody looks for a slip of the hand.
const CANDIDATES: usize = 1000;

/// The candidate nearest to `word`, if near enough to be a slip of the hand. Case and `-` for `_`
/// count for nothing.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let length = word.chars().take(LONGEST_WORD + 1).count();
    if length > LONGEST_WORD {
        return None;
    }
    let word = plain(word);
    let near = |candidate: &'a str| {
        let other = candidate.chars().count();
        let most = (length.min(other) / 3).max(1);
        // So many letters more or fewer are as many slips.
        if length.abs_diff(other) > most {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&word, &plain(candidate));
        (distance <= most).then_some((distance, candidate))
    };
    let nearest = candidates.into_iter().take(CANDIDATES).filter_map(near);
    nearest.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// ``did you mean `x`?``, or else what there is to choose from, if that is not too much.
pub fn help(word: &str, candidates: &[&str], noun: &str) -> Option<String> {
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => Some(format!("did you mean `{candidate}`?")),
        None if candidates.is_empty() || candidates.len() > LONGEST_LIST => None,
        None => Some(format!("{noun}: {}", quoted(candidates))),
    }
}

/// `` `a`, `b`, `c` ``
pub fn quoted<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    words.join(", ")
}

/// `a, b and c`
pub fn listed(words: &[&str], last: &str) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_mended_and_another_word_is_not() {
        let keys = ["batch_size", "beta", "learning_rate", "lora"];
        assert_eq!(nearest("leaning_rate", keys), Some("learning_rate"));
        assert_eq!(nearest("batch-size", keys), Some("batch_size"));
        assert_eq!(nearest("Beta", keys), Some("beta"));
        assert_eq!(nearest("btea", keys), Some("beta"));
        assert_eq!(nearest("momentum", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
