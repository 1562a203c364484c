//! Texts of plugins made fit for a screen, a log and a journal. Secrets are blotted out before:
//! making a text visible changes what that looks for.

use std::borrow::Cow;

use system::redact::visible;

/// Every line made visible by itself: line ends stay, nothing else acts on a terminal.
pub(crate) fn visible_lines(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') {
        return visible(text);
    }
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(visible).collect();
    match lines.iter().all(|line| matches!(line, Cow::Borrowed(_))) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(lines.join("\n")),
    }
}

/// The beginning of a text, at most so many bytes, whole characters.
pub(crate) fn cut_end(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The end of a text, at most so many bytes, whole characters.
pub(crate) fn cut_start(text: &str, bytes_max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes_max))..]
}

#[cfg(test)]
mod tests {
    use super::{cut_end, cut_start, visible_lines};

    #[test]
    fn line_ends_stay_and_everything_else_that_acts_is_shown() {
        assert_eq!(visible_lines("one\ntwo"), "one\ntwo");
        assert_eq!(visible_lines("one\r\n\u{1b}[2Jtwo"), "one\\r\n\\u{1b}[2Jtwo");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut_end("aäb", 4), "aäb");
        assert_eq!(cut_end("aäb", 3), "aä");
        assert_eq!(cut_end("aäb", 2), "a");
        assert_eq!(cut_start("aäb", 4), "aäb");
        assert_eq!(cut_start("aäb", 3), "äb");
        assert_eq!(cut_start("aäb", 2), "b");
        assert_eq!(cut_start("aäb", 0), "");
    }
}
