//! Every command that an error, a page or a help text tells a person to type is one that exists,
//! with flags that can be parsed. What stands in capitals is for the person to fill in.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use crate::arguments::Arguments;
use crate::explain::PAGES;

const MARK: &str = "`vaultup";

/// How exactly a command must be spelt out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelt {
    /// It can be typed as it stands.
    Whole,
    /// It is spoken of: what it needs may be missing.
    Mentioned,
}

/// The commands in backticks, each a line of words.
fn commands(text: &str) -> Vec<String> {
    let starts = text.match_indices(MARK).map(|(at, _)| &text[at + 1..]);
    let whole = starts.filter_map(|rest| Some(rest.split_once('`')?.0.to_owned()));
    let is_command = |text: &String| text == "vaultup" || text.starts_with("vaultup ");
    whole.filter(|text| is_command(text) && !text.contains('…')).collect()
}

/// What stands in braces is filled in by the program.
fn filled(command: &str) -> Vec<String> {
    let mut text = String::new();
    let mut inside = false;
    for character in command.chars() {
        match character {
            '{' => inside = true,
            '}' => {
                inside = false;
                text.push('1');
            }
            _ if inside => {}
            other => text.push(other),
        }
    }
    let word = |word: &str| if word == "COMMAND" { "status" } else { word }.to_owned();
    text.split_whitespace().map(word).collect()
}

fn fault(command: &str, spelt: Spelt) -> Option<String> {
    let error = Arguments::try_parse_from(filled(command)).err()?;
    let fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::InvalidValue => spelt == Spelt::Mentioned,
        _ => false,
    };
    (!fine).then(|| format!("`{command}`: {}", error.to_string().lines().next().unwrap_or("")))
}

/// The code of a source file that reaches people: no comments, no tests, long texts in one line.
fn told(source: &str) -> String {
    let code = source.split("\n#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut text = String::new();
    let mut continued = false;
    for line in lines {
        let line = if continued { line.trim_start() } else { line };
        continued = line.ends_with('\\');
        text.push_str(line.trim_end_matches('\\'));
        if !continued {
            text.push('\n');
        }
    }
    text
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|its| its == "rs") => found.push(path),
            false => {}
        }
    }
}

#[test]
fn every_command_in_an_error_or_help_text_can_be_typed() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for name in
        ["cli", "runner", "engine", "journal", "vault", "sandbox", "registry", "system", "model"]
    {
        sources(&host.join(name).join("src"), &mut files);
    }
    let own = |path: &PathBuf| !path.ends_with("spoken.rs");
    let (mut tried, mut faults) = (0, Vec::new());
    for path in files.iter().filter(|path| own(path)) {
        for command in commands(&told(&fs::read_to_string(path).unwrap_or_default())) {
            tried += 1;
            let named = fault(&command, Spelt::Whole);
            faults.extend(named.map(|fault| format!("{}: {fault}", path.display())));
        }
    }
    assert!(tried > 50, "only {tried} commands were found");
    assert_eq!(faults, [""; 0]);
}

#[test]
fn every_command_of_a_page_exists_and_what_it_says_to_do_can_be_typed() {
    let (mut tried, mut faults) = (0, Vec::new());
    for (code, page) in PAGES {
        let (before, advice) = page.split_once("\n## What to do\n").unwrap_or((page, ""));
        for (text, spelt) in [(before, Spelt::Mentioned), (advice, Spelt::Whole)] {
            let text = text.lines().map(str::trim_start).collect::<Vec<_>>().join(" ");
            for command in commands(&text) {
                tried += 1;
                let named = fault(&command, spelt);
                faults.extend(named.map(|fault| format!("VU{code:04}: {fault}")));
            }
        }
    }
    assert!(tried > 200, "only {tried} commands were found");
    assert_eq!(faults, [""; 0]);
}

#[test]
fn the_help_of_every_command_has_an_example_that_can_be_typed() {
    let mut open: Vec<(String, clap::Command)> = vec![("vaultup".to_owned(), Arguments::command())];
    let mut faults = Vec::new();
    while let Some((path, command)) = open.pop() {
        let below = command.get_subcommands().filter(|its| !its.is_hide_set());
        let below: Vec<_> =
            below.map(|its| (format!("{path} {}", its.get_name()), its.clone())).collect();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> =
            help.lines().map(str::trim).filter(|line| line.starts_with("vaultup ")).collect();
        if below.is_empty() && examples.is_empty() {
            faults.push(format!("{path}: no example"));
        }
        for example in examples {
            let example = example.split(['|', '>', '&']).next().unwrap_or_default();
            let example = example.split("  ").next().unwrap_or_default();
            faults.extend(fault(example, Spelt::Whole).map(|fault| format!("{path}: {fault}")));
        }
        open.extend(below);
    }
    assert_eq!(faults, [""; 0]);
}
