//! The house rules as checks. A rule that nothing checks is a wish.
//!
//! A check looks at a [`Tree`], which is plain data, so that its tests can plant each fault that it
//! is there to find.

mod code;
mod dependencies;
mod documents;
mod layout;
mod limits;
mod size;
mod words;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// Folders that are not the project's: what is built, and what git keeps.
const SKIPPED: &[&str] = &["target", ".git"];

/// Each looks for one kind of fault.
const CHECKS: &[fn(&Tree) -> Vec<Finding>] = &[
    layout::top_level,
    layout::places_of_one_machine,
    layout::pure_crates_are_guarded,
    size::files,
    size::functions,
    size::lines,
    words::allowed_lints,
    words::ignored_tests,
    words::put_offs,
    words::names,
    words::printing,
    words::module_documentation,
    words::unsafe_code,
    dependencies::reasons,
    dependencies::versions_stand_in_the_root,
    dependencies::lints,
    dependencies::arrows,
    dependencies::one_crate_knows,
    dependencies::unused,
    limits::are_tested,
    documents::commands_exist,
    documents::errors_are_listed,
    documents::error_pages,
];

/// Everything that the checks look at.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Names of what lies at the top level.
    pub(crate) top: Vec<String>,
    /// Every text file, by path.
    pub(crate) files: Vec<Source>,
    pub(crate) members: Vec<Member>,
    /// What `cargo xtask` can be asked for.
    pub(crate) commands: Vec<String>,
}

/// A text file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// For Rust: the text with comments and the content of literals blanked, line for line.
    pub(crate) code: String,
}

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Relative to the root, with `/`.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Need>,
}

/// What a member's `Cargo.toml` asks for.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) package: String,
    /// What the code calls it.
    pub(crate) identifier: String,
    pub(crate) is_for_tests: bool,
}

/// A place that breaks a rule, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// From 1; 0 means the whole file.
    line: usize,
    message: String,
    pub(crate) is_error: bool,
}

/// What all checks find.
pub(crate) fn findings(tree: &Tree) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(tree)).collect()
}

impl Tree {
    /// Reads the project from the disk, whether or not git knows of it.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let mut tree = Self { members: members(workspace), ..Self::default() };
        tree.commands = crate::commands::names().into_iter().map(str::to_owned).collect();
        for entry in entries(&workspace.root)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !SKIPPED.contains(&name.as_str()) {
                read_into(&mut tree.files, &entry.path(), &name)?;
            }
            tree.top.push(name);
        }
        Ok(tree)
    }

    /// The Rust files.
    fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.is_rust())
    }

    fn file(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = if is_rust(&path) { code::blanked(&text) } else { String::new() };
        Self { path, text, code }
    }

    fn is_rust(&self) -> bool {
        is_rust(&self.path)
    }

    /// The lines of the text, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The lines of the code, numbered from 1.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }

    fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding::new(&self.path, line, message)
    }
}

impl Finding {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line, message: message.into(), is_error: true }
    }

    fn warning(self) -> Self {
        Self { is_error: false, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_error { "error" } else { "warning" };
        match self.line {
            0 => write!(formatter, "{kind}: {}: {}", self.path, self.message),
            line => write!(formatter, "{kind}: {}:{line}: {}", self.path, self.message),
        }
    }
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn members(workspace: &Workspace) -> Vec<Member> {
    let member = |package: &crate::workspace::Package| Member {
        name: package.name.clone(),
        folder: relative(&package.folder, &workspace.root),
        dependencies: package.dependencies.iter().map(need).collect(),
    };
    workspace.packages.iter().map(member).collect()
}

fn need(dependency: &crate::workspace::Dependency) -> Need {
    Need {
        package: dependency.package.clone(),
        identifier: dependency.identifier.clone(),
        is_for_tests: dependency.is_for_tests,
    }
}

fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

/// Reads a file, or all files below a folder. What is no text is left out; a symbolic link is not
/// followed.
fn read_into(files: &mut Vec<Source>, path: &Path, name: &str) -> Result<()> {
    let kind = fs::symlink_metadata(path).with_context(|| format!("cannot look at {name}"))?;
    if kind.is_dir() {
        for entry in entries(path)? {
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            read_into(files, &entry.path(), &name)?;
        }
    } else if kind.is_file() {
        let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
        files.extend(String::from_utf8(bytes).ok().map(|text| Source::new(name, text)));
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    let describe = || format!("cannot list {}", folder.display());
    let entries = fs::read_dir(folder).with_context(describe)?;
    let mut entries: Vec<fs::DirEntry> =
        entries.collect::<Result<_, _>>().with_context(describe)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

/// For the tests of the checks: a tree of these files.
#[cfg(test)]
fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(path, text)| Source::new(*path, *text)).collect();
    Tree { files, ..Tree::default() }
}

/// For the tests of the checks: what is found, as shown.
#[cfg(test)]
fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn this_very_project_is_read_whole() {
        let workspace = Workspace::find().unwrap();
        let tree = Tree::read(&workspace).unwrap();
        let myself = tree.file("host/xtask/src/tidy/mod.rs").unwrap();
        assert!(myself.code.contains("fn this_very_project_is_read_whole"));
        assert!(tree.file(".cargo/config.toml").is_some());
        assert!(tree.members.iter().any(|member| member.folder == "host/xtask"));
        assert!(!tree.files.iter().any(|file| file.path.starts_with("target/")));
    }

    #[test]
    fn a_finding_names_its_place() {
        let finding = Finding::new("host/a.rs", 3, "too long");
        assert_eq!(finding.to_string(), "error: host/a.rs:3: too long");
        let finding = Finding::new("README.md", 0, "missing").warning();
        assert_eq!(finding.to_string(), "warning: README.md: missing");
    }
}
