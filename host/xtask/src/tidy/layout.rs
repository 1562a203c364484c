//! What lies where: the top level, paths of one machine, and the guards of the pure crates.

use super::{Finding, Tree};

/// What the top level may hold besides dotfiles.
const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "host",
    "plugins",
    "sdk",
    "target",
    "tests",
    "wit",
];
/// What of these is only there once something was built.
const MADE: &str = "target";

/// Crates without effects, which a `clippy.toml` of their own keeps so.
const PURE: &[&str] = &["host/engine", "host/model"];

/// Paths that exist on a machine where the project was once written, and not where it is used.
/// Written in parts, so that this file is checked like every other.
const MACHINE: &[&str] = &[
    concat!("/", "work"),
    concat!("/", "root"),
    concat!("../", "shared"),
    concat!(".", "library"),
];

/// The top level holds what the layout has, all of it and nothing else.
pub(super) fn top_level(tree: &Tree) -> Vec<Finding> {
    let extra = tree.top.iter().filter(|name| !name.starts_with('.') && !TOP.contains(&&***name));
    let extra = extra.map(|name| Finding::new(name, 0, "the top level has no place for this"));
    let missing = TOP.iter().filter(|name| **name != MADE && !tree.top.iter().any(|n| n == *name));
    let missing = missing.map(|name| Finding::new(*name, 0, "missing at the top level"));
    extra.chain(missing).collect()
}

/// No file names a path that exists on one machine only.
pub(super) fn places_of_one_machine(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (number, line) in file.lines() {
            for place in MACHINE.iter().filter(|place| names_place(line, place)) {
                findings.push(file.finding(number, format!("`{place}` is not everywhere")));
            }
        }
    }
    findings
}

/// Each pure crate has a deny list for clippy.
pub(super) fn pure_crates_are_guarded(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in PURE {
        let path = format!("{folder}/clippy.toml");
        let text = tree.file(&path).map_or("", |file| &file.text);
        for list in ["disallowed-methods", "disallowed-types"] {
            if !text.lines().any(|line| line.starts_with(list)) {
                let message = format!("`{list}` is missing, which keeps effects out of this crate");
                findings.push(Finding::new(&path, 0, message));
            }
        }
    }
    findings
}

/// Whether a line has this path as a whole: neither inside of another nor as part of a longer word.
fn names_place(line: &str, place: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || "_-.}".contains(character);
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + place.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(|c| c.is_alphanumeric() || c == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::super::{shown, tree};
    use super::*;

    #[test]
    fn a_stranger_at_the_top_and_a_missing_part_are_found() {
        let mut names: Vec<&str> = TOP.iter().copied().filter(|n| *n != "wit").collect();
        names.extend([".github", "docs"]);
        let tree = Tree { top: names.into_iter().map(str::to_owned).collect(), ..Tree::default() };
        assert_eq!(
            shown(&top_level(&tree)),
            [
                "error: docs: the top level has no place for this",
                "error: wit: missing at the top level"
            ]
        );
    }

    #[test]
    fn a_project_that_was_never_built_is_whole() {
        let top = TOP.iter().filter(|name| **name != MADE).map(|name| (*name).to_owned());
        assert_eq!(top_level(&Tree { top: top.collect(), ..Tree::default() }), []);
    }

    #[test]
    fn paths_of_one_machine_are_found_in_every_kind_of_file() {
        let home = concat!("/", "root");
        let tree = tree(&[
            ("a.md", &format!("fine\nin {home}/x")),
            ("b.rs", &format!("let p = \"{home}\";")),
            ("c.toml", &format!("x = \"{home}stock\" # and y{home}, ${{x}}{home}")),
        ]);
        assert_eq!(
            shown(&places_of_one_machine(&tree)),
            [
                format!("error: a.md:2: `{home}` is not everywhere"),
                format!("error: b.rs:1: `{home}` is not everywhere"),
            ]
        );
    }

    #[test]
    fn a_pure_crate_without_both_lists_is_found() {
        let whole = "disallowed-methods = []\ndisallowed-types = []\n";
        let tree = tree(&[
            ("host/engine/clippy.toml", "disallowed-methods = []"),
            ("host/model/clippy.toml", whole),
        ]);
        let findings = shown(&pure_crates_are_guarded(&tree));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("error: host/engine/clippy.toml: `disallowed-types`"));
    }
}
