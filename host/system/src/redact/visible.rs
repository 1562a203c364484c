//! Text as a person can trust it on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line of text with everything made visible that would move, hide, reorder or colour text, or
/// begin another line: it shows as `\n`, `\r`, `\t` or `\u{…}`. Text in any language stays as it
/// is.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            character if acts(character) => {
                // Writing into a string cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
            }
            character => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal does something else with it than show it.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' // soft hyphen
            | '\u{34f}' // combining grapheme joiner
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' // directions
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // invisible letters
            | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            | '\u{206a}'..='\u{206f}' // deprecated formats
            | '\u{2028}' | '\u{2029}' // line and paragraph ends
            | '\u{fff9}'..='\u{fffb}' // annotations
            | '\u{e0000}'..='\u{e0fff}' // tags, variation selectors
        )
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn escapes_and_line_ends_are_shown_rather_than_obeyed() {
        assert_eq!(visible("\u{1b}[31mred\u{9b}0m"), "\\u{1b}[31mred\\u{9b}0m");
        assert_eq!(visible("ok\nerror: forged\r"), "ok\\nerror: forged\\r");
        assert_eq!(visible("a\tb\0c\u{7f}\u{8}"), "a\\tb\\u{0}c\\u{7f}\\u{8}");
    }

    #[test]
    fn directions_and_invisible_characters_are_shown() {
        assert_eq!(visible("a\u{202e}b\u{2066}c"), "a\\u{202e}b\\u{2066}c");
        assert_eq!(visible("pass\u{200b}word\u{e0041}"), "pass\\u{200b}word\\u{e0041}");
    }

    #[test]
    fn text_in_any_language_stays_as_it_is() {
        for text in ["größer", "日本語", "עברית", "हिन्दी", "é", "🔑", "a\\nb"]
        {
            assert_eq!(visible(text), text);
        }
    }
}
