//! Words that Rust code of this house does not use, and the one that every module begins with.

use super::{Finding, Source, Tree};
use crate::tally::PROCESS_OF_A_TEST;

/// Put-offs in code.
const PUT_OFFS_IN_CODE: &[&str] = &["todo!", "unimplemented!"];
/// Put-offs anywhere, written in parts so that this file is checked like every other.
const PUT_OFFS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")];

/// Where compiled code is loaded.
const UNSAFE_PLACE: &str = "host/sandbox/src/precompiled.rs";

/// Who may print: the command line's one place for output, and programs for developers and tests.
const PRINTERS: &[&str] = &["host/cli/src/shell", "host/xtask/", "tests/"];
/// Folders and files of any crate that may print.
const PRINTING_PLACES: &[&str] = &["/tests/", "/examples/", "/benches/", "/build.rs"];
const PRINTING: &[&str] = &["println!", "print!", "eprintln!", "eprint!"];

/// Lints are expected with a reason and never allowed.
pub(super) fn allowed_lints(tree: &Tree) -> Vec<Finding> {
    in_code(tree, |line| {
        let is_found = is_attribute(line) && has_word(line, "allow");
        is_found.then(|| "expect a lint with a reason, never allow it".to_owned())
    })
}

/// Tests are not ignored, unless they are a process that another test starts.
pub(super) fn ignored_tests(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for ((number, code), text) in file.code_lines().zip(file.text.lines()) {
            let is_ignored = is_attribute(code) && has_word(code, "ignore");
            if is_ignored && !text.contains(PROCESS_OF_A_TEST) {
                let message = format!("a silent skip, unless its reason is `{PROCESS_OF_A_TEST}`");
                findings.push(file.finding(number, message));
            }
        }
    }
    findings
}

/// Nothing is put off.
pub(super) fn put_offs(tree: &Tree) -> Vec<Finding> {
    let mut findings = in_code(tree, |line| {
        let word = PUT_OFFS_IN_CODE.iter().find(|word| has_word(line, word))?;
        Some(format!("`{word}` puts off what the type promises"))
    });
    for file in tree.rust() {
        for (number, line) in file.lines() {
            if let Some(word) = PUT_OFFS.iter().find(|word| has_word(line, word)) {
                findings.push(file.finding(number, format!("`{word}`: do it, or open an issue")));
            }
        }
    }
    findings
}

/// What gives a thing is called like the thing.
pub(super) fn names(tree: &Tree) -> Vec<Finding> {
    in_code(tree, |line| {
        let (_, after) = line.split_once("fn get_")?;
        let name = after.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
        Some(format!("call `get_{name}` just `{name}`"))
    })
}

/// Output goes through the command line's `Shell`.
pub(super) fn printing(tree: &Tree) -> Vec<Finding> {
    let may_print = |file: &Source| {
        PRINTERS.iter().any(|prefix| file.path.starts_with(prefix))
            || PRINTING_PLACES.iter().any(|place| file.path.contains(place))
    };
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !may_print(file)) {
        for (number, line) in file.code_lines() {
            if let Some(word) = PRINTING.iter().find(|word| has_word(line, word)) {
                let message = format!("`{word}`: all output goes through the command line's shell");
                findings.push(file.finding(number, message));
            }
        }
    }
    findings
}

/// A module opens with its purpose and invariants.
pub(super) fn module_documentation(tree: &Tree) -> Vec<Finding> {
    let undocumented = tree.rust().filter(|file| !file.text.starts_with("//! "));
    undocumented.map(|file| file.finding(1, "open with `//!`: purpose, then invariants")).collect()
}

/// There is one `unsafe`: the load of compiled code, in a file of its own.
pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.code_lines().filter(|(_, line)| has_word(line, "unsafe"));
        let excepted = usize::from(file.path == UNSAFE_PLACE);
        for (number, _) in lines.skip(excepted) {
            let message = format!("the only `unsafe` is one in {UNSAFE_PLACE}");
            findings.push(file.finding(number, message));
        }
    }
    findings
}

fn is_attribute(line: &str) -> bool {
    line.contains("#[") || line.contains("#![") || line.contains("cfg_attr")
}

fn in_code(tree: &Tree, of: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (number, line) in file.code_lines() {
            findings.extend(of(line).map(|message| file.finding(number, message)));
        }
    }
    findings
}

/// Whether the line has this word, and not as a part of a longer one.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let ends = word.ends_with('!') || !after.is_some_and(is_word);
        ends && !before.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{shown, tree};
    use super::*;

    #[test]
    fn allowed_lints_are_found_and_expected_ones_are_not() {
        let tree = tree(&[(
            "a.rs",
            "#[allow(dead_code)]\n#![allow(missing_docs)]\n#[cfg_attr(test, allow(unused))]\n\
             #[expect(dead_code, reason = \"allow\")]\n// #[allow(x)]\n#[allowed]\n",
        )]);
        let findings = shown(&allowed_lints(&tree));
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert_eq!(findings[2], "error: a.rs:3: expect a lint with a reason, never allow it");
    }

    #[test]
    fn ignored_tests_are_found_and_processes_of_tests_are_not() {
        let process = format!("#[ignore = \"is run by another test, {PROCESS_OF_A_TEST}\"]");
        let text = format!("#[ignore = \"slow\"]\n#[ignore]\n{process}\nlet s = \"#[ignore]\";\n");
        let findings = shown(&ignored_tests(&tree(&[("a.rs", &text)])));
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[1].starts_with("error: a.rs:2: a silent skip"));
    }

    #[test]
    fn put_offs_are_found_in_code_and_in_comments() {
        let comment = format!("// {}: later\n", concat!("FIX", "ME"));
        let tree = tree(&[("a.rs", &format!("todo!()\nlet a = \"unimplemented!\";\n{comment}"))]);
        let findings = shown(&put_offs(&tree));
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].starts_with("error: a.rs:1: `todo!`"));
        assert!(findings[1].starts_with("error: a.rs:3: "));
    }

    #[test]
    fn a_name_that_begins_with_get_is_found() {
        let tree = tree(&[("a.rs", "pub fn get_size() {}\nfn get() {}\nfn target_get_x() {}\n")]);
        assert_eq!(shown(&names(&tree)), ["error: a.rs:1: call `get_size` just `size`"]);
    }

    #[test]
    fn printing_is_found_in_libraries_only() {
        let text = "fn a() { println!(\"x\"); }\n// println!\n";
        let tree = tree(&[
            ("host/vault/src/lib.rs", text),
            ("host/cli/src/commands/run.rs", "eprint!(\"x\");"),
            ("host/cli/src/shell.rs", text),
            ("host/vault/examples/throughput.rs", text),
            ("tests/sample/src/main.rs", text),
        ]);
        let findings = shown(&printing(&tree));
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].starts_with("error: host/vault/src/lib.rs:1: `println!`"));
        assert!(findings[1].starts_with("error: host/cli/src/commands/run.rs:1: `eprint!`"));
    }

    #[test]
    fn a_second_unsafe_is_found_and_one_elsewhere_too() {
        let tree = tree(&[
            (UNSAFE_PLACE, "#![expect(unsafe_code)]\n// unsafe\nunsafe { a() }\nunsafe { b() }\n"),
            ("host/vault/src/lib.rs", "unsafe { a() }\n"),
        ]);
        let findings = shown(&unsafe_code(&tree));
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].starts_with(&format!("error: {UNSAFE_PLACE}:4: ")));
        assert!(findings[1].starts_with("error: host/vault/src/lib.rs:1: "));
    }

    #[test]
    fn a_module_without_its_purpose_is_found() {
        let tree = tree(&[("a.rs", "//! Purpose.\n"), ("b.rs", "use x;\n//! Late.\n")]);
        assert_eq!(
            shown(&module_documentation(&tree)),
            ["error: b.rs:1: open with `//!`: purpose, then invariants"]
        );
    }
}
