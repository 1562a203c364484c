//! What a database is measured by: rows of every table, digests of those that are not too long,
//! and how many of everything else its schema has.

use serde::Deserialize;
use vaultup_sdk::{Error, Figure};

use crate::connection::{Connection, read};
use crate::{State, trouble};

/// The most answers that an operator's check may give to be kept whole, in characters.
const ANSWER_CHARACTERS_MAX: usize = 4096;

#[derive(Deserialize)]
struct Measured {
    name: String,
    count: u64,
    digest: Option<String>,
}

/// A line of the measuring session.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Figure(Measured),
    Moment { snapshot: String, process: u32 },
    Measured { measured: bool },
}

/// What a line of the session that holds a moment says.
#[derive(Debug, PartialEq)]
pub(crate) enum Told {
    /// The moment's name, for `pg_dump`, and the server's process that holds it.
    Moment(String, u32),
    /// Something that was measured at that moment.
    Figure(Figure),
    /// Everything is measured.
    Measured,
}

/// Understands a line of the session that holds a moment.
pub(crate) fn told(line: &str) -> Result<Told, Error> {
    Ok(match read(line)? {
        Line::Figure(measured) => Told::Figure(measured.figure()),
        Line::Moment { snapshot, process } => Told::Moment(snapshot, process),
        Line::Measured { measured: true } => Told::Measured,
        Line::Measured { measured: false } => return Err(Error::corrupt("nothing was measured")),
    })
}

impl Measured {
    fn figure(self) -> Figure {
        let Self { name, count, digest } = self;
        Figure { count: Some(count), digest, ..Figure::named(name) }
    }
}

/// Measures a database.
pub(crate) fn measure(
    connection: Connection<'_>,
    database: &str,
    rows: u64,
) -> Result<Vec<Figure>, Error> {
    let output = connection.figures(database, rows)?;
    let mut figures = Vec::new();
    for line in output.lines().filter(|line| !line.is_empty()) {
        match told(line)? {
            Told::Figure(figure) => figures.push(figure),
            Told::Measured => return Ok(figures),
            Told::Moment(..) => {}
        }
    }
    Err(Error::corrupt("`psql` ended before everything was measured").with_platform(output))
}

/// Measures a restored copy as the backup was measured; there must be as many figures, so that
/// nothing is there that was not backed up.
pub(crate) fn measure_copy(
    connection: Connection<'_>,
    database: &str,
    state: &State,
) -> Result<Vec<Figure>, Error> {
    let figures = measure(connection, database, state.digest_rows)?;
    let (taken, found) = (state.figures, figures.len());
    if taken == found {
        return Ok(figures);
    }
    Err(Error::corrupt(format!("{taken} figures were taken of the database, {found} of its copy")))
}

/// What the operator's queries answer of a restored copy. One that answers nothing asks nothing.
pub(crate) fn answers(
    connection: Connection<'_>,
    database: &str,
    queries: &[String],
) -> Result<Vec<String>, Error> {
    let asked = |query: &String| {
        let answer = connection.ask_own(database, query);
        let answer = answer.map_err(|error| trouble::read("psql", error).while_doing("a check"))?;
        if answer.is_empty() {
            let message = "a query of `check` answered nothing: let it answer with a row";
            return Err(Error::failed(message).with_platform(query));
        }
        Ok(answer.chars().take(ANSWER_CHARACTERS_MAX).collect())
    };
    queries.iter().map(asked).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn the_lines_of_a_held_moment_are_told_apart() {
        let moment = told(r#"{"snapshot" : "00000003-00000005-1", "process" : 7}"#).unwrap();
        assert_eq!(moment, Told::Moment("00000003-00000005-1".to_owned(), 7));
        let figure = told(r#"{"name":"public.a","count":2,"digest":null}"#).unwrap();
        assert!(matches!(figure, Told::Figure(Figure { count: Some(2), digest: None, .. })));
        assert_eq!(told(r#"{"measured":true}"#).unwrap(), Told::Measured);
        assert!(told(r#"{"measured":false}"#).is_err());
        assert!(told("NOTICE: something").is_err());
    }
}
