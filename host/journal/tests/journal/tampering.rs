//! Damage with meaning: what somebody with SQLite at hand, or another program, could do.

use std::fs;

use model::Problem;
use vaultup_journal::{Error, Journal};

use crate::common::{append, scratch};
use crate::support::{Image, Tally, abandoned, acquire, clean, file, sql};

/// Applies SQL to the released journal and expects a refusal whose sentence contains `words`.
fn refused(statements: &str, words: &str) {
    for honest in [clean(), abandoned()] {
        let directory = scratch();
        honest.image.put(directory.path());
        sql(directory.path(), statements);
        let error = Journal::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains(words), "{statements}: {error}");
        Journal::open_read_only(directory.path()).unwrap_err();
    }
}

#[test]
fn a_record_dropped_from_the_end_is_refused() {
    refused("DELETE FROM record WHERE sequence = 6", "has lost records: it was known to reach");
    refused("DELETE FROM record", "has lost records: it was known to reach");
}

#[test]
fn a_record_dropped_from_the_middle_or_the_start_is_refused() {
    refused("DELETE FROM record WHERE sequence = 3", "record 3 is not as written");
    refused("DELETE FROM record WHERE sequence = 1", "record 1 is not as written");
}

#[test]
fn swapped_records_are_refused() {
    refused(
        "UPDATE record SET sequence = -1 WHERE sequence = 2; \
         UPDATE record SET sequence = 2 WHERE sequence = 3; \
         UPDATE record SET sequence = 3 WHERE sequence = -1;",
        "record 2 is not as written",
    );
}

#[test]
fn an_edited_field_is_refused_whichever_it_is() {
    for change in [
        "body = replace(body, 'true', 'false')",
        "run = 'run-2'",
        "kind = 'step-undone'",
        "epoch = 2",
        "at = '2020-01-01T00:00:00Z'",
        "previous = zeroblob(32)",
        "hash = zeroblob(32)",
        "hash = x''",
    ] {
        let statement = format!("UPDATE record SET {change} WHERE sequence = 3");
        refused(&statement, "record 3 is not as written");
    }
}

#[test]
fn records_outside_the_sequence_are_refused() {
    for sequence in ["0", "-9223372036854775808", "8", "9223372036854775807"] {
        let statement = format!(
            "INSERT INTO record SELECT {sequence}, run, epoch, at, kind, body, previous, hash \
             FROM record WHERE sequence = 6"
        );
        refused(&statement, "is not as written");
    }
}

/// The hash of a record as the documentation of format 1 gives it.
fn hash(sequence: u64, previous: &[u8], epoch: u64, texts: [&str; 4]) -> [u8; 32] {
    let mut input = b"vaultup journal record 1".to_vec();
    input.extend(sequence.to_le_bytes());
    input.extend(previous);
    input.extend(epoch.to_le_bytes());
    for text in texts {
        input.extend((text.len() as u64).to_le_bytes());
        input.extend(text.as_bytes());
    }
    *blake3::hash(&input).as_bytes()
}

#[test]
fn a_last_record_that_was_forged_with_its_hash_is_refused() {
    let honest = clean();
    let directory = scratch();
    honest.image.put(directory.path());
    let [before, last] = &honest.records[4..] else { panic!("six records") };
    let (at, body) = (last.at.to_string(), last.body.to_string());
    let previous = before.hash.as_bytes();
    let texts = |body| [at.as_str(), "run-1", "step-done", body];
    assert_eq!(&hash(6, previous, 2, texts(&body)), last.hash.as_bytes(), "format 1");

    let forged = body.replace("true", "false");
    let forged_hash = hash(6, previous, 2, texts(&forged));
    let connection = rusqlite::Connection::open(file(directory.path(), "sqlite")).unwrap();
    let sql = "UPDATE record SET body = ?1, hash = ?2 WHERE sequence = 6";
    connection.execute(sql, (&forged, forged_hash.as_slice())).unwrap();
    drop(connection);
    let error = Journal::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("record 6 is not the one in its anchor"), "{error}");
}

#[test]
fn an_old_copy_of_the_database_with_the_new_anchor_is_refused() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 3);
    journal.release(held).unwrap();
    let old = Image::of(directory.path());
    let held = acquire(&journal, 2, 10);
    let acquired = Image::of(directory.path());
    append(&journal, &held, 4, 4);
    drop(journal);

    for (anchor, what) in [(&acquired, "epoch 1"), (&Image::of(directory.path()), "record 3")] {
        Image([old.0[0].clone(), old.0[1].clone(), anchor.0[2].clone()]).put(directory.path());
        let error = Journal::open(directory.path()).unwrap_err();
        assert!(matches!(error, Error::RecordsLost { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_lock_that_was_edited_is_refused() {
    for statement in [
        "DELETE FROM lock",
        "UPDATE lock SET state = replace(state, '\"epoch\":2', '\"epoch\":1')",
        "UPDATE lock SET hash = zeroblob(32)",
        "PRAGMA ignore_check_constraints = ON; INSERT INTO lock SELECT 2, state, hash FROM lock",
    ] {
        let honest = clean();
        let directory = scratch();
        honest.image.put(directory.path());
        sql(directory.path(), statement);
        Journal::open(directory.path()).unwrap_err();
    }
}

#[test]
fn a_schema_that_is_not_ours_is_refused() {
    for statement in [
        "CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE INDEX i ON record (run)",
        "CREATE TABLE other (x)",
        "ALTER TABLE record ADD COLUMN extra TEXT",
        "ALTER TABLE lock RENAME TO lock2",
        "DROP TABLE record",
    ] {
        refused(statement, "its tables are not a journal's");
    }
}

#[test]
fn a_newer_format_is_refused_naming_both() {
    let directory = scratch();
    clean().image.put(directory.path());
    sql(directory.path(), "PRAGMA user_version = 2");
    let error = Journal::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found: 2, known: 1, .. }), "{error}");
    let sentence = error.to_string();
    assert!(sentence.contains("format 2") && sentence.contains("up to format 1"), "{sentence}");
    assert!(error.next().unwrap().contains("vaultup --version"));

    sql(directory.path(), "PRAGMA user_version = 0");
    let error = Journal::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn foreign_files_are_refused() {
    let directory = scratch();
    let database = file(directory.path(), "sqlite");
    clean().image.put(directory.path());
    sql(directory.path(), "PRAGMA application_id = 77");
    let error = Journal::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Foreign { application: 77, .. }), "{error}");

    fs::remove_file(&database).unwrap();
    sql(directory.path(), "CREATE TABLE theirs (x)");
    let error = Journal::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Foreign { application: 0, .. }), "{error}");

    for content in [
        "",
        "x",
        &"x".repeat(3071),
        "not a database at all\n",
        &"a text of some length ".repeat(500),
    ] {
        fs::write(&database, content).unwrap();
        let error = Journal::open(directory.path()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{content:.20}: {error}");
        assert_eq!(fs::read_to_string(&database).unwrap(), content, "it was changed");
    }
    fs::remove_file(&database).unwrap();
    fs::create_dir(&database).unwrap();
    Journal::open(directory.path()).unwrap_err();
}

#[test]
fn a_rollback_journal_is_never_played_back() {
    let directory = scratch();
    let honest = clean();
    honest.image.put(directory.path());
    fs::write(file(directory.path(), "sqlite-journal"), [0xd9; 600]).unwrap();
    let error = Journal::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("`journal.sqlite-journal` is not a journal's"), "{error}");
    fs::remove_file(file(directory.path(), "sqlite-journal")).unwrap();
    assert!(Tally::default().judge(directory.path(), &honest, "the untouched journal"));
}

#[test]
fn a_journal_without_one_of_its_files_is_refused() {
    for (missing, words) in [
        (vec!["anchor"], "its anchor is missing"),
        (vec!["sqlite"], "`journal.sqlite` is missing"),
        (vec!["sqlite", "anchor"], "its database is missing, but its log is there"),
    ] {
        let directory = scratch();
        abandoned().image.put(directory.path());
        for name in &missing {
            fs::remove_file(file(directory.path(), name)).unwrap();
        }
        let error = Journal::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{missing:?}: {error}");
        Journal::open_read_only(directory.path()).unwrap_err();
    }
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let (directory, elsewhere) = (scratch(), scratch());
    clean().image.put(elsewhere.path());
    clean().image.put(directory.path());
    let database = file(directory.path(), "sqlite");
    fs::remove_file(&database).unwrap();
    std::os::unix::fs::symlink(file(elsewhere.path(), "sqlite"), &database).unwrap();
    Journal::open(directory.path()).unwrap_err();
}
