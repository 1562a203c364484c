//! Every limit that a crate of the host makes public is named by one of its tests.
//!
//! A limit is a constant whose name ends in `_MAX`. Naming it does not prove that the test reaches
//! it and goes one past it; a limit that no test names is certainly not tested.

use super::{Finding, Source, Tree};

const CRATES: &str = "host/";
const ENDING: &str = "_MAX";
/// From here on a file holds tests.
const TESTS_BEGIN: &str = "#[cfg(test)]";

/// Each public limit stands in a test of its crate.
pub(super) fn are_tested(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| crate_of(file).is_some() && !is_test(file)) {
        for (line, name) in limits(file) {
            let is_tested = tree
                .rust()
                .filter(|other| crate_of(other) == crate_of(file))
                .any(|other| names(tests_of(other), name));
            if !is_tested {
                findings.push(file.finding(line, format!("no test names the limit `{name}`")));
            }
        }
    }
    findings
}

/// The public limits of a file, outside of its tests, with their lines.
fn limits(file: &Source) -> impl Iterator<Item = (usize, &str)> {
    let before_tests = file.code_lines().take_while(|(_, line)| !line.contains(TESTS_BEGIN));
    before_tests.filter_map(|(number, line)| {
        let rest = line.trim_start().strip_prefix("pub const ")?;
        let (name, _) = rest.split_once(':')?;
        name.ends_with(ENDING).then_some((number, name))
    })
}

/// The part of a file that is tests.
fn tests_of(file: &Source) -> &str {
    match (is_test(file), file.code.find(TESTS_BEGIN)) {
        (true, _) => &file.code,
        (false, Some(start)) => &file.code[start..],
        (false, None) => "",
    }
}

/// Whether the whole file is tests.
fn is_test(file: &Source) -> bool {
    file.path.contains("/tests/") || file.path.ends_with("/tests.rs")
}

/// The folder of the crate of the host that a file belongs to, such as `host/vault`.
fn crate_of(file: &Source) -> Option<&str> {
    let name = file.path.strip_prefix(CRATES)?.split('/').next()?;
    file.path.get(..CRATES.len() + name.len())
}

/// Whether a word stands in the code, and not only as a part of a longer one.
fn names(code: &str, word: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{shown, tree};
    use super::are_tested;

    const LIMIT: &str = "pub const THINGS_MAX: usize = 3;\n";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        shown(&are_tested(&tree(files)))
    }

    #[test]
    fn a_limit_that_no_test_names_is_found() {
        let limit = ("host/vault/src/lib.rs", LIMIT);
        let expected = ["error: host/vault/src/lib.rs:1: no test names the limit `THINGS_MAX`"];
        assert_eq!(found(&[limit]), expected);
        // Another crate's test, a longer name, a comment and production code are no tests of it.
        for (path, text) in [
            ("host/model/tests/a.rs", "THINGS_MAX"),
            ("host/vault/tests/a.rs", "MORE_THINGS_MAX; THINGS_MAX_2 // THINGS_MAX"),
            ("host/vault/src/use.rs", "fn f() { THINGS_MAX }"),
        ] {
            assert_eq!(found(&[limit, (path, text)]), expected, "{path}");
        }
    }

    #[test]
    fn a_limit_that_a_test_names_is_well() {
        let limit = ("host/vault/src/lib.rs", LIMIT);
        for (path, text) in [
            ("host/vault/tests/all/a.rs", "(0..THINGS_MAX)"),
            ("host/vault/src/b.rs", "#[cfg(test)]\nmod tests { use super::THINGS_MAX; }"),
            ("host/vault/src/c/tests.rs", "THINGS_MAX + 1"),
        ] {
            assert!(found(&[limit, (path, text)]).is_empty(), "{path}");
        }
    }

    #[test]
    fn private_limits_and_those_of_tests_are_left_alone() {
        let private = "const A_MAX: u8 = 1;\n#[cfg(test)]\nmod tests { pub const B_MAX: u8 = 1; }";
        let files = [
            ("host/vault/src/lib.rs", private),
            ("plugins/host/src/lib.rs", "pub const C_MAX: u8 = 1;"),
            ("host/vault/tests/d.rs", "pub const D_MAX: u8 = 1;"),
        ];
        assert!(found(&files).is_empty());
    }
}
