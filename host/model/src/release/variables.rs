//! `.env.example`: the variables that a release knows, as vendors ship them.
//!
//! The format is that of the `dotenv` libraries: lines of `NAME=VALUE`, `export` before them or
//! not, comments after `#`, values in quotation marks over several lines.

use crate::error::{Error, Fault, code};
use crate::problem::Place;

/// The largest such file, in bytes.
pub const VARIABLES_BYTES_MAX: usize = 1024 * 1024;

/// Names of the variables that have no default, each once, in the order of the file. One that has a
/// value is optional: what is shown is its default.
///
/// # Errors
/// [`Error::Faults`] with each line that is no variable, or the quotation mark that does not end.
/// Values are never a part of it: somebody may have written a secret there.
pub fn without_default(text: &str, file: &str) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = Vec::new();
    let mut faults = Vec::new();
    let mut fault = |code, line: usize, message: &str, help: &str| {
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        let place = Place { file: file.to_owned(), line, column: 1 };
        faults.push(Fault { code, place, message: message.to_owned(), help: help.to_owned() });
    };
    if text.len() > VARIABLES_BYTES_MAX {
        let message = format!("the file is larger than {VARIABLES_BYTES_MAX} bytes");
        fault(code::FILE_TOO_LARGE, 1, &message, "name the file with the variables");
        return Err(Error::Faults(faults));
    }
    let mut lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| is_name(name.trim()))
        else {
            fault(code::SYNTAX, number, "this line is no variable", "write `NAME=VALUE`");
            continue;
        };
        let value = value.trim_start();
        let is_empty = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let mut rest = value[1..].to_owned();
                while end_of_quoted(&rest, quote).is_none() {
                    let Some((more, _)) = lines.next() else {
                        let help = "end the value with the quotation mark that it begins with";
                        fault(code::SYNTAX, number, "the quotation mark does not end", help);
                        return Err(Error::Faults(faults));
                    };
                    rest.push('\n');
                    rest.push_str(more);
                }
                end_of_quoted(&rest, quote) == Some(0)
            }
            first => matches!(first, None | Some('#')),
        };
        if is_empty && !names.iter().any(|known| known == name.trim()) {
            names.push(name.trim().to_owned());
        }
    }
    if faults.is_empty() { Ok(names) } else { Err(Error::Faults(faults)) }
}

/// Where the quotation mark is that ends a value, unless a backslash is before it.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, letter)| {
        let ends = letter == quote && !is_escaped;
        is_escaped = letter == '\\' && quote == '"' && !is_escaped;
        ends.then_some(at)
    })
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|next| next.is_ascii_alphanumeric() || matches!(next, '_' | '.' | '-'))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::without_default;

    #[test]
    fn variables_without_a_value_are_required_and_defaults_are_not_r8() {
        let text = "\u{feff}# Message Center\n\nMONGODB_URI=\nexport SIGNING_KEY = # ask for one\n\
                    PORT=8080\nEMPTY=\"\"\nALSO=''\nGREETING=\"two\nlines, # no comment\"\n\
                    QUOTED=\"a \\\" b\"\n#OLD=\nMONGODB_URI=\nHASH=#\n";
        let names = without_default(&text.replace('\n', "\r\n"), ".env.example").unwrap();
        assert_eq!(names, ["MONGODB_URI", "SIGNING_KEY", "EMPTY", "ALSO", "HASH"]);
        assert_eq!(without_default(text, ".env.example").unwrap(), names);
        assert!(without_default("", ".env.example").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line_and_never_shown() {
        let text = "A=1\ns3cr3t\n9B=s3cr3t\n=s3cr3t\nC=\"s3cr3t\nD=1\n";
        let error = without_default(text, ".env.example").unwrap_err();
        let places: Vec<u32> = error.faults().iter().map(|fault| fault.place.line).collect();
        assert_eq!(places, [2, 3, 4, 5]);
        assert!(!format!("{error} {error:?}").contains("s3cr3t"));
        let large = "A".repeat(super::VARIABLES_BYTES_MAX + 1);
        assert_eq!(without_default(&large, ".env.example").unwrap_err().faults().len(), 1);
    }
}
