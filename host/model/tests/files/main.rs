//! The files that people write: good ones are read, and every wrong one is refused with code,
//! place and what to write instead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

// In the workspace the package is known by this name.
extern crate vaultup_model as model;

mod any_text;
mod good;
mod lock;
mod manifest;
mod places;
mod release;
mod settings;
mod stack;

use model::{Error, Problem};

/// Stands in a wrong text right before what the error has to point to.
const MARK: char = '»';

/// One wrong text: with [`MARK`], the code, and a piece of the message or of what to do.
type Wrong = (&'static str, u16, &'static str);

/// Checks a table of wrong texts, each put behind a good beginning.
fn refuse<T: std::fmt::Debug>(
    beginning: &str,
    cases: &[Wrong],
    parse: impl Fn(&str, &str) -> Result<T, Error>,
) {
    for (marked, code, fragment) in cases {
        let marked = format!("{beginning}{marked}");
        let (before, after) = marked.split_once(MARK).unwrap_or_else(|| panic!("mark {marked}"));
        assert!(!after.contains(MARK), "two marks: {marked}");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let text = format!("{before}{after}");
        let error = match parse(&text, "the-file") {
            Err(error) => error,
            Ok(read) => panic!("accepted:\n{text}\nas {read:?}"),
        };
        let place = error.place().map(|place| place.to_string()).unwrap_or_default();
        let shown = format!("{error}\n  next: {}\n  of:\n{text}", error.next().unwrap_or_default());
        assert_eq!(place, format!("the-file:{line}:{column}"), "{shown}");
        assert_eq!(error.code().0, *code, "{shown}");
        assert_eq!(error.exit(), model::Exit::BadInput, "{shown}");
        let said = format!("{error} {}", error.next().unwrap_or_default());
        assert!(said.contains(fragment), "no `{fragment}` in: {shown}");
        for fault in error.faults() {
            let sentence = !fault.message.is_empty() && !fault.help.is_empty();
            assert!(sentence, "a fault without message or help: {shown}");
            let first = fault.message.chars().next().unwrap_or('A');
            assert!(!first.is_uppercase(), "no lower-case sentence: {shown}");
        }
    }
}
