//! The way on from a damaged journal.

use std::fs;
use std::path::Path;

use serde_json::json;
use vaultup_journal::{Error, Journal, set_aside};

use crate::common::{append, at, owner, scratch};
use crate::support::{FILES, Image, abandoned, acquire, clean, file, sql};

/// Sets the damaged journal aside and returns the first epoch of the new one.
fn epoch_after(directory: &Path) -> u64 {
    Journal::open(directory).unwrap_err();
    let aside = set_aside(directory, at(100)).unwrap();
    let name = aside.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("journal.damaged-2026-05-28T20-28-20Z"), "{name}");
    let journal = Journal::open(directory).unwrap();
    assert_eq!(journal.records(None).unwrap(), []);
    assert_eq!(journal.holder().unwrap(), None);
    let held = acquire(&journal, 5, 100);
    append(&journal, &held, 1, 1);
    held.epoch()
}

#[test]
fn a_damaged_journal_is_kept_and_a_new_one_begun() {
    let directory = scratch();
    abandoned().image.put(directory.path());
    sql(directory.path(), "DELETE FROM record WHERE sequence = 6");
    let damaged = fs::read(file(directory.path(), "sqlite")).unwrap();
    assert!(epoch_after(directory.path()) > 2);
    let aside = directory.path().join("journal.damaged-2026-05-28T20-28-20Z");
    assert_eq!(fs::read(file(&aside, "sqlite")).unwrap(), damaged);
    assert!(file(&aside, "anchor").is_file());
}

#[test]
fn the_new_epochs_are_greater_whatever_is_left_to_read() {
    let large = u64::try_from(at(100).as_millisecond()).unwrap() * 2;
    for unreadable in [vec![], vec!["sqlite"], vec!["anchor"], vec!["sqlite", "anchor"]] {
        // A first setting aside far in the future lifts the epochs above what the clock gives.
        let directory = scratch();
        let path = directory.path();
        clean().image.put(path);
        fs::write(file(path, "sqlite"), "damaged").unwrap();
        let future = jiff::Timestamp::from_millisecond(large.cast_signed()).unwrap();
        set_aside(path, future).unwrap();
        let journal = Journal::open(path).unwrap();
        let held = acquire(&journal, 1, 0);
        assert_eq!(held.epoch(), large + 1);
        append(&journal, &held, 1, 3);
        let former = held.epoch();
        journal.release(held).unwrap();
        drop(journal);

        sql(path, "UPDATE record SET body = '{}' WHERE sequence = 3");
        for name in &unreadable {
            fs::write(file(path, name), "unreadable").unwrap();
        }
        let epoch = epoch_after(path);
        // With nothing readable, the anchor kept with the first damaged journal and the clock
        // are all there is, and that clock was set back: the documented exception.
        let exception = unreadable.len() == 2;
        assert!(epoch > former || exception, "{unreadable:?}: {epoch} after {former}");
        assert!(epoch > at(100).as_millisecond().cast_unsigned(), "{epoch}");
    }
}

#[test]
fn a_holder_of_the_journal_that_was_set_aside_is_fenced() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 2);
    let image = Image::of(directory.path());
    fs::write(file(directory.path(), "anchor"), "damaged").unwrap();
    set_aside(directory.path(), at(1)).unwrap();
    let error = journal.fence(&held).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    journal.append(&held, "run-1", "step-done", &json!({}), at(2)).unwrap_err();

    // The same proof shown to the new journal, through a new handle.
    let journal = Journal::open(directory.path()).unwrap();
    let error = journal.fence(&held).unwrap_err();
    assert!(matches!(error, Error::Fenced(_)), "{error}");
    assert!(error.to_string().contains("the journal was set aside"), "{error}");
    assert_eq!(image.0.len(), FILES.len());
}

#[test]
fn a_sound_or_newer_journal_is_not_set_aside() {
    let directory = scratch();
    clean().image.put(directory.path());
    let error = set_aside(directory.path(), at(0)).unwrap_err();
    assert!(matches!(error, Error::Sound { .. }), "{error}");
    sql(directory.path(), "PRAGMA user_version = 2");
    let error = set_aside(directory.path(), at(0)).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { .. }), "{error}");
}

#[test]
fn setting_aside_that_was_interrupted_is_finished_by_the_next() {
    // What a crash leaves after each step: the new anchor in place of the old one, then one
    // file after the other gone.
    let honest = abandoned();
    let finished = scratch();
    honest.image.put(finished.path());
    fs::write(file(finished.path(), "sqlite"), "damaged").unwrap();
    set_aside(finished.path(), at(0)).unwrap();
    let anchor = fs::read(file(finished.path(), "anchor")).unwrap();
    let floor = Journal::open(finished.path()).map(|new| acquire(&new, 1, 0).epoch()).unwrap();

    for moved in [vec![], vec!["sqlite"]] {
        let directory = scratch();
        honest.image.put(directory.path());
        fs::write(file(directory.path(), "anchor"), &anchor).unwrap();
        for name in &moved {
            fs::remove_file(file(directory.path(), name)).unwrap();
        }
        assert!(epoch_after(directory.path()) > floor, "{moved:?}");
    }
    let directory = scratch();
    fs::write(file(directory.path(), "anchor"), &anchor).unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(acquire(&journal, 1, 0).epoch(), floor, "all moved, only the database missing");
}

#[test]
fn two_journals_set_aside_in_one_second_have_two_places() {
    let directory = scratch();
    let mut places = Vec::new();
    for _ in 0..3 {
        drop(Journal::open(directory.path()).unwrap());
        fs::write(file(directory.path(), "anchor"), "damaged").unwrap();
        places.push(set_aside(directory.path(), at(0)).unwrap());
    }
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 3);
    assert!(places.iter().all(|place| file(place, "sqlite").is_file()));
    let journal = Journal::open(directory.path()).unwrap();
    journal.break_lock(at(1), &owner(1)).unwrap();
}
