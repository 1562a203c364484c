//! A journal of each format is kept for ever, and read for ever.
//!
//! `golden/format-1.*` are the files of `support::clean()` as the first release wrote them.

use std::fs;

use vaultup_journal::Journal;

use crate::common::{at, scratch};
use crate::support::{acquire, clean, file};

#[test]
fn the_golden_journal_of_format_1_is_read_and_continued() {
    let directory = scratch();
    let golden: [(&str, &[u8]); 2] = [
        ("sqlite", include_bytes!("../golden/format-1.sqlite")),
        ("anchor", include_bytes!("../golden/format-1.anchor")),
    ];
    for (name, bytes) in golden {
        fs::write(file(directory.path(), name), bytes).unwrap();
    }
    let journal = Journal::open(directory.path()).unwrap();
    let records = journal.records(None).unwrap();
    assert_eq!(records, clean().records);
    let last = records.last().unwrap();
    assert_eq!((last.sequence.0, last.epoch, last.at), (6, 2, at(6)));
    assert_eq!(last.body["argv"][0], "migrate");
    assert_eq!(
        last.hash.to_hex().as_str(),
        "c5903171cdbaee0168ec4329f1a1f2d8a658186607f8367c4841176566e2d579"
    );
    assert_eq!(acquire(&journal, 3, 20).epoch(), 3);
}
