//! Texts of plugins made fit for a screen, a log and a journal.
//!
//! Threat: terminal escapes that rewrite what stands above, forged lines, and marks that reorder
//! or hide what a person reads.

use std::borrow::Cow;

/// Control characters and invisible marks written as `\u{…}`; line ends and tabs stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match is_harmless(c) {
            true => escaped.push(c),
            false => escaped.extend(c.escape_unicode()),
        }
        escaped
    });
    Cow::Owned(escaped)
}

/// As [`visible`], and in one line.
pub(crate) fn visible_line(text: &str) -> Cow<'_, str> {
    match visible(text) {
        text if text.contains(['\n', '\t']) => {
            Cow::Owned(text.replace('\n', "\\n").replace('\t', "    "))
        }
        text => text,
    }
}

/// The beginning of a text, at most so many bytes, whole characters.
pub(crate) fn cut_end(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The end of a text, at most so many bytes, whole characters.
pub(crate) fn cut_start(text: &str, bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

fn is_harmless(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        // Marks that reorder, join or hide what is shown.
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => false,
        c => !c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::{cut_end, cut_start, visible, visible_line};

    #[test]
    fn escapes_and_marks_that_reorder_are_made_visible() {
        assert_eq!(visible("a\u{1b}[2Jb\r\u{202e}c\u{9b}d"), "a\\u{1b}[2Jb\\u{d}\\u{202e}c\\u{9b}d");
        assert_eq!(visible("größer\n\tja"), "größer\n\tja");
        assert_eq!(visible_line("one\ntwo\tthree"), "one\\ntwo    three");
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
