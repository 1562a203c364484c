//! What documents promise exists: the README's commands, and a page for each error.

use std::collections::BTreeMap;

use super::{Finding, Source, Tree};

const README: &str = "README.md";
/// The README's first command and its second.
const README_COMMANDS: &[&str] = &["demo", "test"];
/// Files whose commands are looked up.
const CALLERS: &[&str] = &[README, ".ci/run"];
const CALL: &str = "cargo xtask ";

/// Where `vaultup explain` has its pages.
const PAGES: &str = "host/cli/src/explain/VU";
/// How each crate lists its errors: number and name. A library makes it public, a program need not.
const CODES: &str = "const CODES: &[(u16, &str)] = &[";
/// What makes an error one that reaches people.
const PROBLEM: &str = "impl Problem for ";

/// Every `cargo xtask …` that is written somewhere can be run.
pub(super) fn commands_exist(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| CALLERS.contains(&&*file.path)) {
        for (number, line) in file.lines() {
            for command in calls(line) {
                if !tree.commands.iter().any(|known| known == command) {
                    findings.push(file.finding(number, format!("no command `{CALL}{command}`")));
                }
            }
        }
    }
    let readme = tree.file(README).map_or("", |file| &file.text);
    for command in README_COMMANDS {
        if !readme.lines().flat_map(calls).any(|called| called == *command) {
            findings.push(Finding::new(README, 0, format!("`{CALL}{command}` is missing")));
        }
    }
    findings
}

/// A crate whose errors reach people lists them.
pub(super) fn errors_are_listed(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| file.code.contains(PROBLEM)) {
        let Some((folder, _)) = file.path.split_once("src/") else { continue };
        let is_listed = |file: &&Source| file.path.starts_with(folder) && lists_codes(&file.text);
        if !tree.rust().any(|file| is_listed(&file)) {
            findings.push(file.finding(0, format!("the crate lists no errors: `{CODES}`")));
        }
    }
    findings
}

/// Every error code has a page, and every page a code; no number has two meanings.
pub(super) fn error_pages(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names: BTreeMap<u16, &str> = BTreeMap::new();
    for file in tree.rust() {
        for (line, code, name) in codes(&file.text) {
            if let Some(other) = names.insert(code, name) {
                let message = format!("VU{code:04} `{name}` has the number of `{other}`");
                findings.push(file.finding(line, message));
            }
        }
    }
    for (code, name) in &names {
        let path = format!("{PAGES}{code:04}.md");
        let title = tree.file(&path).and_then(|page| page.text.lines().next());
        let wanted = format!("# VU{code:04}: {name}");
        if title != Some(&wanted) {
            findings.push(Finding::new(path, 1, format!("a page that begins with `{wanted}`")));
        }
    }
    for page in tree.files.iter().filter(|file| file.path.starts_with(PAGES)) {
        let number = page.path.trim_start_matches(PAGES).trim_end_matches(".md").parse::<u16>();
        if !number.is_ok_and(|number| names.contains_key(&number)) {
            findings.push(page.finding(0, "no crate's `CODES` lists this error"));
        }
    }
    findings
}

fn lists_codes(text: &str) -> bool {
    text.lines().any(|line| begins_codes(line).is_some())
}

/// What follows on the line on which a list of errors begins.
fn begins_codes(line: &str) -> Option<&str> {
    let visible = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) "));
    visible.unwrap_or(line).strip_prefix(CODES)
}

/// The commands that a line calls.
fn calls(line: &str) -> impl Iterator<Item = &str> {
    line.split(CALL).skip(1).map(|after| {
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '-';
        after.split(|character: char| !is_word(character)).next().unwrap_or_default()
    })
}

/// Line, number and name of each error that a file lists.
fn codes(text: &str) -> Vec<(usize, u16, &str)> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        let begins = begins_codes(line);
        is_inside |= begins.is_some();
        if is_inside {
            let entries = begins.unwrap_or(line).split("//").next().unwrap_or_default();
            let entries = entries.split('(').skip(1).filter_map(code);
            found.extend(entries.map(|(code, name)| (number, code, name)));
            is_inside = !line.ends_with("];");
        }
    }
    found
}

/// An entry such as `200, "lock-held")`.
fn code(entry: &str) -> Option<(u16, &str)> {
    let (number, rest) = entry.split_once(',')?;
    let name = rest.trim().strip_prefix('"')?.split('"').next()?;
    Some((number.trim().parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::super::{shown, tree};
    use super::*;

    #[test]
    fn a_command_that_does_not_exist_is_found() {
        let mut tree = tree(&[
            (README, "run `cargo xtask demo`, then\n    cargo xtask tests\n"),
            (".ci/run", "cargo xtask e2e\n"),
        ]);
        tree.commands = ["demo", "test"].map(str::to_owned).to_vec();
        assert_eq!(
            shown(&commands_exist(&tree)),
            [
                "error: README.md:2: no command `cargo xtask tests`",
                "error: .ci/run:1: no command `cargo xtask e2e`",
                "error: README.md: `cargo xtask test` is missing",
            ]
        );
    }

    #[test]
    fn a_code_without_page_a_page_without_code_and_a_number_used_twice_are_found() {
        let listed = |entries: &str| format!("//! x\n{CODES}\n{entries}];\n(9, \"no\"),\n");
        let tree = tree(&[
            ("host/a/src/error.rs", &listed("    (1, \"one\"),\n    (2, \"two\"), // why\n")),
            ("host/b/src/error.rs", &listed("    (2, \"other\"),\n    (3, \"three\"),\n")),
            ("host/cli/src/explain/VU0001.md", "# VU0001: one\n"),
            ("host/cli/src/explain/VU0003.md", "# VU0003: tree\n"),
            ("host/cli/src/explain/VU0004.md", "# VU0004: four\n"),
        ]);
        let page = |line: &str| format!("error: host/cli/src/explain/VU{line}");
        assert_eq!(
            shown(&error_pages(&tree)),
            [
                "error: host/b/src/error.rs:3: VU0002 `other` has the number of `two`".to_owned(),
                page("0002.md:1: a page that begins with `# VU0002: other`"),
                page("0003.md:1: a page that begins with `# VU0003: three`"),
                page("0004.md: no crate's `CODES` lists this error"),
            ]
        );
    }

    #[test]
    fn errors_on_one_line_are_read_too() {
        let text = format!("{CODES}(1, \"one\"), (2, \"two\")];\n(3, \"no\")\n");
        assert_eq!(codes(&text), [(1, 1, "one"), (1, 2, "two")]);
    }

    #[test]
    fn a_crate_that_lists_no_errors_is_found() {
        let implementation = "//! x\nimpl Problem for Error {}\n";
        let tree = tree(&[
            ("host/a/src/error.rs", implementation),
            ("host/a/src/codes.rs", &format!("pub {CODES}];\n")),
            ("host/b/src/error.rs", implementation),
        ]);
        let findings = shown(&errors_are_listed(&tree));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("error: host/b/src/error.rs: the crate lists no errors"));
    }
}
