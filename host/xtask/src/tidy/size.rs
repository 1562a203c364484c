//! How long files, functions and lines may be. Expects code as rustfmt leaves it.

use super::{Finding, Source, Tree};

const FILE_LINES_MAX: usize = 800;
/// From here on a file should be split along a seam; it is said and not refused.
const FILE_LINES_GOAL: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARACTERS_MAX: usize = 100;

/// Files have a length that can be read through.
pub(super) fn files(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_GOAL {
            let message =
                format!("{lines} lines; {FILE_LINES_GOAL} are good, {FILE_LINES_MAX} the end");
            let finding = file.finding(0, message);
            findings.push(if lines > FILE_LINES_MAX { finding } else { finding.warning() });
        }
    }
    findings
}

/// Functions fit on a screen.
pub(super) fn functions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (line, name, length) in function_lengths(file) {
            if length > FUNCTION_LINES_MAX {
                let message = format!("`{name}` has {length} lines; at most {FUNCTION_LINES_MAX}");
                findings.push(file.finding(line, message));
            }
        }
    }
    findings
}

/// Lines fit side by side. What cannot be broken is left out: an address (`://`), and a row of a
/// table in the documentation.
pub(super) fn lines(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (number, line) in file.lines() {
            let length = line.chars().count();
            if length > LINE_CHARACTERS_MAX && !is_whole(line) {
                let message = format!("{length} characters; at most {LINE_CHARACTERS_MAX}");
                findings.push(file.finding(number, message));
            }
        }
    }
    findings
}

fn is_whole(line: &str) -> bool {
    let documentation = line.trim_start();
    let is_row = documentation.starts_with("//! |") || documentation.starts_with("/// |");
    is_row || line.contains("://")
}

/// First line, name and number of lines of each function that has a body.
fn function_lengths(file: &Source) -> Vec<(usize, &str, usize)> {
    let code: Vec<&str> = file.code.lines().collect();
    let mut functions = Vec::new();
    for (index, line) in code.iter().enumerate() {
        if let Some(name) = function_name(line)
            && let Some(length) = body_end(&code[index..])
        {
            functions.push((index + 1, name, length));
        }
    }
    functions
}

/// The name, if the line begins a function.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_qualifier = |word: &str| {
        matches!(word, "pub" | "const" | "async" | "unsafe" | "extern" | "default" | "in")
            || word.starts_with("pub(")
            || word.ends_with(')')
    };
    let name = after.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    (!name.is_empty() && before.split_whitespace().all(is_qualifier)).then_some(name)
}

/// How many lines it takes until the body that begins in these lines is closed; none if a `;` comes
/// before any body.
fn body_end(lines: &[&str]) -> Option<usize> {
    let mut braces = 0_usize;
    let mut brackets = 0_usize;
    for (index, line) in lines.iter().enumerate() {
        for character in line.chars() {
            match character {
                '{' => braces += 1,
                '}' if braces == 1 => return Some(index + 1),
                '}' => braces = braces.saturating_sub(1),
                '[' | '(' => brackets += 1,
                ']' | ')' => brackets = brackets.saturating_sub(1),
                ';' if braces == 0 && brackets == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{shown, tree};
    use super::*;

    #[test]
    fn a_file_is_warned_of_past_the_goal_and_refused_past_the_limit() {
        let of = |lines: usize| files(&tree(&[("a.rs", &"x\n".repeat(lines))]));
        assert_eq!(of(FILE_LINES_GOAL), []);
        assert!(!of(FILE_LINES_GOAL + 1)[0].is_error);
        assert!(!of(FILE_LINES_MAX)[0].is_error);
        assert!(of(FILE_LINES_MAX + 1)[0].is_error);
        assert_eq!(files(&tree(&[("a.json", &"x\n".repeat(9_000))])), []);
    }

    #[test]
    fn a_function_of_the_limit_is_fine_and_one_line_more_is_not() {
        let of = |lines: usize| {
            let body = "        x();\n".repeat(lines - 2);
            let text = format!("impl A {{\n    pub(crate) async fn long() {{\n{body}    }}\n}}\n");
            shown(&functions(&tree(&[("a.rs", &text)])))
        };
        assert!(of(FUNCTION_LINES_MAX).is_empty());
        assert_eq!(of(FUNCTION_LINES_MAX + 1), ["error: a.rs:2: `long` has 71 lines; at most 70"]);
    }

    #[test]
    fn braces_in_literals_and_comments_close_no_function() {
        let padding = "    // }\n    x(\"}\", '}');\n".repeat(40);
        let text = format!("fn a(x: [u8; 4]) {{\n{padding}}}\n");
        assert_eq!(functions(&tree(&[("a.rs", &text)])).len(), 1);
    }

    #[test]
    fn a_signature_over_several_lines_counts_and_one_without_body_does_not() {
        let source = Source::new(
            "a.rs",
            "trait A {\n    fn b(x: [u8; 4]);\n    fn c();\n}\nfn d(\n    x: u8,\n) -> u8\n\
             where\n    u8: Copy,\n{\n    x\n}\nlet f: fn (u8) = g;\nfn e() {}\n",
        );
        assert_eq!(function_lengths(&source), [(5, "d", 8), (14, "e", 1)]);
    }

    #[test]
    fn a_line_of_the_limit_is_fine_and_one_character_more_is_not() {
        let of = |line: String| shown(&lines(&tree(&[("a.rs", &line)])));
        assert!(of("ä".repeat(LINE_CHARACTERS_MAX)).is_empty());
        assert_eq!(of("ä".repeat(101)), ["error: a.rs:1: 101 characters; at most 100"]);
        assert!(of(format!("// https://{}", "a".repeat(200))).is_empty());
        assert!(of(format!("    /// | a | {} |", "b".repeat(200))).is_empty());
    }
}
