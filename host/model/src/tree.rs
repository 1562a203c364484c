//! A file as a tree in which every key and value knows where it stands.
//!
//! Two things make such trees: TOML text ([`Tree::parse`]), and `--set` flags. What reads them
//! ([`crate::read`]) does not know which, so flags and files have the same rules and errors.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::error::{Fault, code};
use crate::problem::Place;

/// The most syntax errors that are shown: one slip causes many.
const SYNTAX_FAULTS_MAX: usize = 10;

/// Line and column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Spot {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    pub(crate) fn in_file(self, file: &str) -> Place {
        Place { file: file.to_owned(), line: self.line, column: self.column }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) spot: Spot,
    pub(crate) value: TreeValue,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum TreeValue {
    Text(String),
    Integer(i64),
    /// A whole number outside of 64 bits.
    OutOfRange(String),
    Number(f64),
    Truth(bool),
    /// A date or time.
    Moment(String),
    List(Vec<Tree>),
    Table(BTreeMap<String, Entry>),
}

/// What stands under a key.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where the key stands.
    pub(crate) spot: Spot,
    pub(crate) tree: Tree,
}

impl TreeValue {
    /// What it is, as errors say it.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) | Self::OutOfRange(_) => "a whole number",
            Self::Number(_) => "a number",
            Self::Truth(_) => "true or false",
            Self::Moment(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Tree {
    /// Reads TOML.
    ///
    /// # Errors
    /// What is no TOML, with places.
    pub(crate) fn parse(text: &str, file: &str, bytes_max: usize) -> Result<Self, Vec<Fault>> {
        if text.len() > bytes_max {
            return Err(vec![Fault {
                code: code::FILE_TOO_LARGE,
                place: Spot::START.in_file(file),
                message: format!("`{file}` has {} bytes, {bytes_max} are allowed", text.len()),
                help: "check that this is the right file".to_owned(),
            }]);
        }
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let root = DeValue::Table(table.into_inner());
            return Ok(Self { spot: Spot::START, value: convert(&root, &lines) });
        }
        let mut errors: Vec<_> =
            errors.iter().map(|e| (e.span().unwrap_or(0..0), e.message())).collect();
        errors.sort_by_key(|(span, _)| span.start);
        let mut faults: Vec<Fault> = Vec::new();
        for (span, message) in errors {
            let place = lines.spot(span.start).in_file(file);
            // What follows a slip in the same line is caused by it.
            if faults.last().is_none_or(|known| known.place.line != place.line) {
                let message = syntax_message(message, text.get(span));
                let help = "correct the TOML here".to_owned();
                faults.push(Fault { code: code::SYNTAX, place, message, help });
            }
        }
        faults.truncate(SYNTAX_FAULTS_MAX);
        Err(faults)
    }
}

fn syntax_message(message: &str, at: Option<&str>) -> String {
    match (message, at) {
        ("duplicate key", Some(key)) => {
            format!("the key `{}` stands here a second time", crate::pattern::shown(key))
        }
        // The parser's sentences name what it expected, never the text that stands there: that
        // could be a password.
        (message, _) => format!("this is no TOML: {message}"),
    }
}

fn convert(value: &DeValue<'_>, lines: &Lines<'_>) -> TreeValue {
    match value {
        DeValue::String(text) => TreeValue::Text(text.clone().into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => TreeValue::Integer(number),
            Err(_) => TreeValue::OutOfRange(number.to_string()),
        },
        DeValue::Float(number) => TreeValue::Number(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => TreeValue::Truth(*truth),
        DeValue::Datetime(moment) => TreeValue::Moment(moment.to_string()),
        DeValue::Array(items) => TreeValue::List(
            items
                .iter()
                .map(|item| Tree {
                    spot: lines.spot(item.span().start),
                    value: convert(item.get_ref(), lines),
                })
                .collect(),
        ),
        DeValue::Table(table) => TreeValue::Table(
            table
                .iter()
                .map(|(key, item)| {
                    let tree = Tree {
                        spot: lines.spot(item.span().start),
                        value: convert(item.get_ref(), lines),
                    };
                    let spot = lines.spot(key.span().start);
                    (key.get_ref().clone().into_owned(), Entry { spot, tree })
                })
                .collect(),
        ),
    }
}

/// Finds line and column of a byte in constant time, so that one long line costs no more than
/// many short ones.
struct Lines<'t> {
    bytes: &'t [u8],
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
    /// How many characters begin before each block.
    characters: Vec<u32>,
}

/// Bytes for which [`Lines`] keeps one count.
const BLOCK_BYTES: usize = 64;

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(index, _)| index + 1)).collect();
        let mut characters = vec![0];
        let mut count = 0;
        for block in bytes.chunks(BLOCK_BYTES) {
            count += characters_begun(block);
            characters.push(count);
        }
        Self { bytes, starts, characters }
    }

    fn spot(&self, offset: usize) -> Spot {
        let offset = offset.min(self.bytes.len());
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.characters_before(offset) - self.characters_before(start) + 1;
        Spot { line: u32::try_from(line).unwrap_or(u32::MAX), column }
    }

    fn characters_before(&self, offset: usize) -> u32 {
        let block = offset / BLOCK_BYTES;
        let counted = self.characters.get(block).copied().unwrap_or(0);
        let rest = self.bytes.get(block * BLOCK_BYTES..offset).unwrap_or(&[]);
        counted + characters_begun(rest)
    }
}

fn characters_begun(bytes: &[u8]) -> u32 {
    let count = bytes.iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use proptest::prelude::{any, proptest};

    use super::{Lines, Spot, Tree};
    use crate::error::code;

    fn counted(text: &str, offset: usize) -> Spot {
        let before = &text[..offset];
        let line = u32::try_from(before.matches('\n').count() + 1).unwrap();
        let last = before.rsplit('\n').next().unwrap_or("");
        Spot { line, column: u32::try_from(last.chars().count() + 1).unwrap() }
    }

    proptest! {
        #[test]
        fn lines_and_columns_are_those_that_counting_gives(text in "[a-zäß→\\n ]{0,300}") {
            let lines = Lines::of(&text);
            for (offset, _) in text.char_indices().chain([(text.len(), ' ')]) {
                assert_eq!(lines.spot(offset), counted(&text, offset));
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = Tree::parse(&text, "f", 1000);
        }
    }

    #[test]
    fn a_file_at_the_limit_is_read_and_one_byte_more_is_refused() {
        let text = "a = 1 ";
        Tree::parse(text, "f", text.len()).unwrap();
        let faults = Tree::parse(text, "f", text.len() - 1).unwrap_err();
        assert_eq!(faults[0].code, code::FILE_TOO_LARGE);
    }

    #[test]
    fn what_stands_in_a_broken_line_is_not_repeated() {
        for text in ["password = hunter2\n", "password = 'hunter2\n", "hunter2\n"] {
            let faults = Tree::parse(text, "f", 1000).unwrap_err();
            assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
        }
    }
}
