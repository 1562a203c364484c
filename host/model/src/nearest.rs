//! «Did you mean»: the known name that is nearest to one that is not known.

use crate::pattern::shown;

/// Longer words are not compared: nobody mistypes them, and the cost grows with the square.
const COMPARED_CHARACTERS_MAX: usize = 80;
/// The most known names that an error lists.
const LISTED_MAX: usize = 24;

/// The known name that is meant, if one is near enough: a third of the letters may differ.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let letters = word.chars().count();
    if letters > COMPARED_CHARACTERS_MAX {
        return None;
    }
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= COMPARED_CHARACTERS_MAX)
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + letters.min(candidate.len()) / 3 && *distance < letters.max(1)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean `a`? known: a, b`, as an error's help.
pub(crate) fn did_you_mean<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str> + Clone,
) -> String {
    let names: Vec<&str> = known.clone().into_iter().collect();
    let mut help = match nearest(word, known) {
        Some(name) => format!("did you mean `{}`? ", shown(name)),
        None => String::new(),
    };
    if names.is_empty() {
        help.push_str("there are none");
        return help;
    }
    let listed: Vec<String> = names.iter().take(LISTED_MAX).map(|name| shown(name)).collect();
    help.push_str("known: ");
    help.push_str(&listed.join(", "));
    if names.len() > LISTED_MAX {
        help.push_str(&format!(" and {} more", names.len() - LISTED_MAX));
    }
    help
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, nearest};

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["plugin", "settings", "needs", "waves", "within"];
        assert_eq!(nearest("wavse", known), Some("waves"));
        assert_eq!(nearest("setings", known), Some("settings"));
        assert_eq!(nearest("need", known), Some("needs"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(5000), known), None);
    }

    #[test]
    fn a_long_list_is_cut() {
        let known: Vec<String> = (0..40).map(|number| format!("name-{number}")).collect();
        let help = did_you_mean("colour", known.iter().map(String::as_str));
        assert!(help.ends_with("and 16 more"), "{help}");
    }
}
