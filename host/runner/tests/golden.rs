//! Journals of real runs, one folder for each release of vaultup that wrote them, are kept for ever
//! in `tests/golden` and replayed through today's engine (P7).
//!
//! Replaying asks the engine at every record what it would do now: the effect that the record says
//! was begun, the decision and the ending must be exactly those.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

extern crate vaultup_runner as runner;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use engine::machine::{Event, Machine, Request};
use journal::{Journal, Record};
use runner::record::{Beginning, Ended, Intent, body, replay};
use serde_json::{Value, to_value};

/// Release, run, and the state in which it ended.
const RUNS: [(&str, &str, &str); 2] =
    [("0.1.0", "upgraded", "upgraded"), ("0.1.0", "rolled-back", "rolled back")];

#[test]
fn runs_of_earlier_releases_replay_as_they_were() {
    let (mut records, mut divergences) = (0, Vec::new());
    for (release, run, state) in RUNS {
        let scratch = copy_of(&golden().join(release).join(run));
        let journal = Journal::open(scratch.path()).unwrap();
        let last = journal.last_run().unwrap().unwrap();
        let kept = journal.records(Some(&last.id)).unwrap();
        records += kept.len();
        let found = differences(&kept);
        divergences.extend(found.into_iter().map(|how| format!("{release}/{run}: {how}")));
        let replayed = replay(&kept).unwrap().unwrap();
        assert_eq!(replayed.machine.state(), state, "{release}/{run}");
    }
    figure(&format!(
        "golden runs {}, records replayed {records}, divergences {}",
        RUNS.len(),
        divergences.len()
    ));
    assert!(divergences.is_empty(), "{divergences:#?}");
}

#[test]
fn every_golden_run_is_replayed() {
    let listed = |path: &Path| {
        let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
    };
    for release in listed(&golden()) {
        for run in listed(&golden().join(&release)) {
            let is_replayed = RUNS.iter().any(|(of, name, _)| *of == release && *name == run);
            assert!(is_replayed, "tests/golden/{release}/{run} is not in the table");
        }
    }
}

#[test]
fn a_record_that_differs_is_a_divergence() {
    let scratch = copy_of(&golden().join("0.1.0/rolled-back"));
    let journal = Journal::open(scratch.path()).unwrap();
    let last = journal.last_run().unwrap().unwrap();
    let good = journal.records(Some(&last.id)).unwrap();
    for kind in ["begun", "decided", "ended"] {
        let mut records = good.clone();
        let changed = records.iter_mut().rev().find(|record| record.kind == kind).unwrap();
        changed.body = serde_json::json!({ "effect": 99, "key": "other", "what": "else" });
        assert!(!differences(&records).is_empty(), "{kind}");
    }
}

/// Where today's engine would do something else than stands in the records.
fn differences(records: &[Record]) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |record: &Record, now: &Value| {
        if record.body != *now {
            let (number, kind) = (record.sequence.0, &record.kind);
            differences.push(format!("record {number}, {kind}: {} is now {now}", record.body));
        }
    };
    let beginning: Beginning = body(&records[0]).unwrap();
    differ(&records[0], &to_value(&beginning).unwrap());
    let (mut machine, _) = Machine::begin(beginning.plan);
    for record in &records[1..] {
        let event = match record.kind.as_str() {
            "begun" => {
                differ(record, &intent(&machine, &record.run));
                body::<Intent>(record).map(|intent| Event::Begun { effect: intent.effect })
            }
            "finished" => body::<Ended>(record)
                .map(|ended| Event::Finished { effect: ended.effect, outcome: ended.outcome }),
            "asked" => body::<Request>(record).map(Event::Asked),
            "decided" => {
                differ(record, &to_value(machine.decision()).unwrap());
                continue;
            }
            "ended" => {
                differ(record, &to_value(machine.ending()).unwrap());
                continue;
            }
            _ => continue,
        };
        let handled = event.map(|event| machine.handle(event, record.at).map(drop));
        if !matches!(handled, Ok(Ok(()))) {
            let number = record.sequence.0;
            differences.push(format!("record {number} is refused: {handled:?}"));
            break;
        }
    }
    differences
}

/// What the engine would do now, as the journal has it.
fn intent(machine: &Machine, run: &str) -> Value {
    let intent = machine.in_flight().map(|effect| Intent {
        effect: effect.number,
        key: format!("{run}.{}", effect.key),
        what: format!("{} {}", effect.step.act.phase(), effect.step.act),
    });
    to_value(intent).unwrap()
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

/// A copy, because opening a journal may write.
fn copy_of(directory: &Path) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), scratch.path().join(entry.file_name())).unwrap();
    }
    scratch
}

/// Publishes a figure where `cargo xtask test` collects them.
fn figure(text: &str) {
    let Some(path) = std::env::var_os("VAULTUP_FIGURES") else { return };
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(format!("{text}\n").as_bytes()).unwrap();
}
