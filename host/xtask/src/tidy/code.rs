//! Rust text with everything blanked that is not code: comments, and the content of literals.
//!
//! Lines and columns stay where they are. A check that searches the result is misled neither by a
//! comment nor by a fixture in a test.

/// The text with comments and literals replaced by spaces, line for line.
pub(super) fn blanked(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = opaque_end(&characters, at).unwrap_or(at);
        let blank = |character: &char| if *character == '\n' { '\n' } else { ' ' };
        code.extend(characters[at..end].iter().map(blank));
        at = end;
        if let Some(character) = characters.get(at)
            && opaque_end(&characters, at).is_none()
        {
            code.push(*character);
            at += 1;
        }
    }
    code
}

/// Where the comment or literal ends that begins here; none if none begins here.
fn opaque_end(characters: &[char], at: usize) -> Option<usize> {
    match &characters[at..] {
        ['/', '/', ..] => Some(find(characters, at, |rest| rest.starts_with(&['\n']))),
        ['/', '*', ..] => Some(block_comment_end(characters, at)),
        ['"', ..] => Some(string_end(characters, at + 1)),
        ['r', '"' | '#', ..] if begins_word(characters, at) => raw_string_end(characters, at + 1),
        ['\'', '\\', _, ..] => {
            let end = find(characters, at + 3, |rest| rest.starts_with(&['\'']));
            Some((end + 1).min(characters.len()))
        }
        ['\'', _, '\'', ..] => Some(at + 3),
        _ => None,
    }
}

/// Whether the `r` here is a prefix (`r"`, `br"`) and not the end of a word.
fn begins_word(characters: &[char], at: usize) -> bool {
    let is_word = |index: usize| characters[index].is_alphanumeric() || characters[index] == '_';
    match at {
        0 => true,
        1 => matches!(characters[0], 'b' | 'c') || !is_word(0),
        _ if matches!(characters[at - 1], 'b' | 'c') => !is_word(at - 2),
        _ => !is_word(at - 1),
    }
}

fn block_comment_end(characters: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < characters.len() {
        match &characters[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(characters: &[char], start: usize) -> usize {
    let mut at = start;
    while at < characters.len() {
        match characters[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    characters.len()
}

/// None if what follows the `r` is a raw identifier such as `r#type`.
fn raw_string_end(characters: &[char], start: usize) -> Option<usize> {
    let hashes = characters[start..].iter().take_while(|character| **character == '#').count();
    if characters.get(start + hashes) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"').chain((0..hashes).map(|_| '#')).collect();
    let end = find(characters, start + hashes + 1, |rest| rest.starts_with(&closing));
    Some((end + closing.len()).min(characters.len()))
}

/// The first index from `start` on where the rest is as wanted, else the end.
fn find(characters: &[char], start: usize, is_wanted: impl Fn(&[char]) -> bool) -> usize {
    let mut indices = start..characters.len();
    indices.find(|index| is_wanted(&characters[*index..])).unwrap_or(characters.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(text: &str) -> String {
        let code = blanked(text);
        assert_eq!(code.lines().count(), text.lines().count());
        assert_eq!(code.chars().count(), text.chars().count());
        code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_blanked_nested_ones_too() {
        assert_eq!(visible("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(visible("a /* not closed"), "a");
    }

    #[test]
    fn strings_are_blanked_with_their_escapes() {
        assert_eq!(visible(r#"a("b \" // c"); d"#), "a( ); d");
        assert_eq!(visible("a(\"two\nlines\") b"), "a( ) b");
        assert_eq!(visible(r#"b"bytes" x"#), "b x");
    }

    #[test]
    fn raw_strings_end_at_their_own_mark() {
        assert_eq!(visible("x(r#\"a \" b \\\"#) y"), "x( ) y");
        assert_eq!(visible("x(br\"a\\\") y"), "x(b ) y");
        assert_eq!(visible("r#type r#\"unclosed"), "r#type");
    }

    #[test]
    fn characters_are_blanked_and_lifetimes_are_not() {
        assert_eq!(visible("f('{', '\\'', '\\u{7b}') g"), "f( , , ) g");
        assert_eq!(visible("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn a_word_that_ends_in_r_begins_no_raw_string() {
        assert_eq!(visible("for\"x\" y"), "for y");
        assert_eq!(visible("var#\"x\" y"), "var# y");
    }
}
