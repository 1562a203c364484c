//! Hundreds of wrong files, flags, versions and paths through the real binary (P14): each answer
//! has a code, a place where there is one, the state and the next command; nothing panics, and
//! nothing in the folder is changed.
//!
//! The wrong files are made by rule from good ones, so that every key of them is tried: misspelt,
//! of each wrong type, twice, cut off.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use stage::{Programs, Ran, Shop, figure};

/// The fewest wrong inputs that count as having looked.
const INPUTS_MIN: usize = 200;

/// A wrong input and what its answer must name beside code, state and next command.
struct Wrong {
    what: String,
    file: Option<(PathBuf, String)>,
    arguments: Vec<String>,
    fragments: Vec<String>,
}

#[test]
fn every_wrong_input_is_answered_with_code_place_state_and_next_command() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(folder.path(), &Programs::beside_this_test().unwrap()).unwrap();
    // A running service writes to its files whenever it likes.
    shop.stop().unwrap();
    let inputs = inputs(folder.path());
    let before = shop.fingerprint().unwrap();
    let mut faults = Vec::new();
    for input in &inputs {
        let good = input.file.as_ref().map(|(path, _)| (path, fs::read(path).unwrap()));
        if let Some((path, text)) = &input.file {
            fs::write(path, text).unwrap();
        }
        let arguments: Vec<&str> = input.arguments.iter().map(String::as_str).collect();
        let ran = shop.vaultup(&arguments).unwrap();
        if let Some((path, good)) = good {
            fs::write(path, good).unwrap();
        }
        faults
            .extend(fault(&ran, &input.fragments).map(|fault| format!("{}: {fault}", input.what)));
        if shop.fingerprint().unwrap() != before {
            faults.push(format!("{}: something was changed", input.what));
            break;
        }
    }
    let (all, right) = (inputs.len(), inputs.len() - faults.len());
    figure(&format!(
        "wrong inputs answered with code, place, state and next command {right}/{all}"
    ));
    assert!(faults.is_empty(), "{} of {all}: {faults:#?}", faults.len());
    assert!(all >= INPUTS_MIN, "{all} wrong inputs are too few");
}

/// What is wrong with an answer; nothing if it is as it should be.
fn fault(ran: &Ran, fragments: &[String]) -> Option<String> {
    let shown = ran.shown();
    if !matches!(ran.status, Some(1 | 2)) {
        return Some(format!("status {:?}: {shown}", ran.status));
    }
    let always = ["error[VU", "state: ", "next: "].map(str::to_owned);
    let missing = always.iter().chain(fragments).find(|text| !shown.contains(text.as_str()));
    match missing {
        Some(text) => Some(format!("`{text}` is missing: {shown}")),
        None if shown.contains("panicked") => Some(shown),
        None => None,
    }
}

fn inputs(folder: &Path) -> Vec<Wrong> {
    let mut inputs = Vec::new();
    let check = ["check", "--to", "2.0.0"];
    for (file, place) in [
        ("vaultup.toml", "vaultup.toml"),
        ("releases/2.0.0/release.toml", "release.toml"),
        ("vaultup.lock", "vaultup.lock"),
    ] {
        let path = folder.join(file);
        let good = fs::read_to_string(&path).unwrap();
        for (what, line, text) in mutations(&good).into_iter().filter(|it| !is_allowed(file, it)) {
            inputs.push(Wrong {
                what: format!("{file}:{line}: {what}"),
                file: Some((path.clone(), text)),
                arguments: check.map(str::to_owned).to_vec(),
                fragments: vec![format!("{place}:")],
            });
        }
    }
    let usage = arguments().into_iter().map(|(arguments, fragment)| Wrong {
        what: arguments.join(" "),
        file: None,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        fragments: vec![fragment.to_owned()],
    });
    inputs.extend(usage);
    inputs
}

/// What is no mistake: a schema's version may be any text, and what TOML takes for a time is a text
/// of the operator's to a plugin.
fn is_allowed(file: &str, (what, _, text): &(&'static str, usize, String)) -> bool {
    let is_schema = file.ends_with("release.toml") && text.contains("\nschema = ");
    let is_other_schema = is_schema && !text.contains("\nschema = 2\n") && *what != "no value";
    let of_a_setting = ["releases", "current", "data", "path"]
        .iter()
        .any(|key| text.contains(&format!("\n{key} = 07:30:00")));
    (is_other_schema && ["a text", "a negative number"].contains(what)) || of_a_setting
}

/// Every way to spoil each line of a TOML file, with the number of the line.
fn mutations(good: &str) -> Vec<(&'static str, usize, String)> {
    let lines: Vec<&str> = good.lines().collect();
    let mut made = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let replaced = |by: &[String]| {
            let (before, after) = (&lines[..index], &lines[index + 1..]);
            let by: Vec<&str> = by.iter().map(String::as_str).collect();
            [before, &by, after].concat().join("\n") + "\n"
        };
        for (what, by) in spoilt(line) {
            made.push((what, index + 1, replaced(&by)));
        }
    }
    made
}

/// What takes a line's place.
fn spoilt(line: &str) -> Vec<(&'static str, Vec<String>)> {
    let line = line.to_owned();
    if line.trim().is_empty() || line.starts_with('#') {
        return Vec::new();
    }
    if line.starts_with('[') {
        let inner = line.trim_start_matches('[');
        return vec![
            ("table not closed", vec![line.trim_end_matches(']').to_owned()]),
            ("table misspelt", vec![format!("{}zz-{inner}", "[".repeat(line.len() - inner.len()))]),
        ];
    }
    let Some((key, value)) = line.split_once(" = ") else { return Vec::new() };
    let mut spoilt = vec![
        ("key misspelt", vec![format!("{key}zz = {value}")]),
        ("key twice", vec![line.clone(), line.clone()]),
        ("no equals sign", vec![format!("{key} {value}")]),
        ("no value", vec![format!("{key} =")]),
        ("a date", vec![format!("{key} = 07:30:00")]),
    ];
    let others: &[(&str, &str)] = match value.as_bytes().first() {
        Some(b'"') => &[("a number", "7"), ("a list", "[7]")],
        Some(b'[') => &[("a text", "\"text\""), ("a number", "7"), ("numbers", "[7, 8]")],
        Some(b'{') => &[("a text", "\"text\""), ("a number", "7"), ("a list", "[7]")],
        _ => &[("a text", "\"text\""), ("a negative number", "-1"), ("a fraction", "1.5")],
    };
    let others = others.iter().map(|(what, other)| (*what, vec![format!("{key} = {other}")]));
    spoilt.extend(others);
    spoilt
}

/// Wrong flags, versions, paths and names, each with a word that the answer must hold.
fn arguments() -> Vec<(Vec<&'static str>, &'static str)> {
    let mut wrong: Vec<(Vec<&str>, &str)> = vec![
        (vec!["check", "--to", "2.0.0", "--stack-file", "no.toml"], "no.toml"),
        (vec!["check", "--to", "2.0.0", "--stack-file", "data"], "data"),
        (vec!["check", "--to", "2.0.0", "--stack-file", "current/bin/vaultup-sample"], "vaultup"),
        (vec!["run", "--plan", "no.plan"], "no.plan"),
        (vec!["run", "--plan", "vaultup.toml"], "vaultup.toml"),
        (vec!["run", "--plan", "data"], "data"),
        (vec!["report", "abcdef"], "abcdef"),
        (vec!["report", "../x"], "../x"),
        (vec!["resume"], "no run"),
        (vec!["rollback"], "no run"),
        (vec!["explain", "VU9999"], "VU9999"),
        (vec!["explain", "nonsense"], "nonsense"),
        (vec!["init"], "vaultup.toml"),
        (vec!["plugin", "add", "./gone.wasm", "--yes"], "gone.wasm"),
        (vec!["plugin", "add", "./vaultup.toml", "--yes"], "vaultup.toml"),
        (vec!["plugin", "add", "./data", "--yes"], "data"),
        (vec!["plugin", "add", "hots", "--yes"], "hots"),
        (vec!["plugin", "add", "", "--yes"], "error"),
        (vec!["plugin", "inspect", "hots"], "hots"),
        (vec!["plugin", "grant", "hots", "--yes"], "hots"),
        (vec!["plugin", "revoke", "hots"], "hots"),
        (vec!["plugin", "remove", "hots"], "hots"),
        (vec!["plugin", "remove", "../host"], "../host"),
        (vec!["run", "--plugin", "hots", "--to", "2.0.0"], "hots"),
        (vec!["run", "--plugin", "Host", "--to", "2.0.0"], "Host"),
    ];
    let versions = ["2.0.1", "9", "", "../1.0.0", "/etc", "2.0.0/", "v2.0.0", "latest", "2.0.0 "];
    for version in versions {
        for command in ["check", "plan", "run"] {
            wrong.push((vec![command, "--to", version], "error"));
        }
    }
    for set in ["nothing", "../x", "/etc", "", "A B", "\u{202e}x"] {
        wrong.push((vec!["backup", "prove", set], "error"));
        wrong.push((vec!["restore", set, "--yes"], "error"));
    }
    wrong
}
