//! Names that become parts of paths.
//!
//! Invariant: what passed [`SetId::parse`] or [`part_name`] is one path component that is neither
//! hidden nor a way upwards, and never collides with what the vault itself keeps beside it (those
//! begin with `.`, or are refused here).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The longest name of a set, datastore or artifact. A DNS label allows 63 bytes, and with the
/// longest suffix that the vault adds it stays far below the 255 bytes of a file name.
pub const NAME_BYTES_MAX: usize = 63;

/// The name of the description in every set: no datastore may have it.
pub(crate) const SET_FILE: &str = "set.json";

/// The id of a backup set, unique in its vault.
///
/// Accepted: `7b20-1`, `3f9c`, `nightly.2025-11-02`. Rejected: the empty text, `..`, `.hidden`,
/// `a/b`, `A`, anything with a NUL, anything longer than 63 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SetId(String);

impl SetId {
    /// Reads an id.
    ///
    /// # Errors
    /// [`Error::Name`] when the text could be anything but one plain path component.
    pub fn parse(text: &str) -> Result<Self, Error> {
        part_name("backup set", text).map(|text| Self(text.to_owned()))
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SetId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<SetId> for String {
    fn from(id: SetId) -> Self {
        id.0
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for SetId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.0)
    }
}

/// Gives `text` back when it may name a `what` (`datastore`, `artifact`).
pub(crate) fn part_name<'a>(what: &'static str, text: &'a str) -> Result<&'a str, Error> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let shape = text.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'));
    let start = text.bytes().next().is_some_and(plain);
    if shape && start && text.len() <= NAME_BYTES_MAX && text != SET_FILE {
        Ok(text)
    } else {
        // A hostile name may be long and may carry terminal escapes: it is shown short and quoted.
        Err(Error::Name { what, text: text.escape_debug().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{NAME_BYTES_MAX, SetId, part_name};

    #[test]
    fn sixty_three_bytes_are_an_id_and_one_more_are_not() {
        SetId::parse(&"a".repeat(NAME_BYTES_MAX)).unwrap();
        SetId::parse(&"a".repeat(NAME_BYTES_MAX + 1)).unwrap_err();
    }

    #[test]
    fn what_could_be_a_path_is_no_name() {
        for text in ["", ".", "..", "../x", "a/b", "/a", "a\\b", "a\0", ".a", "-a", "A", "ä", "a b"]
        {
            SetId::parse(text).unwrap_err();
            part_name("artifact", text).unwrap_err();
        }
        part_name("datastore", "set.json").unwrap_err();
    }

    #[test]
    fn a_hostile_name_is_shown_short_and_without_escapes() {
        let shown = SetId::parse(&"\u{1b}[31m".repeat(1000)).unwrap_err().to_string();
        assert!(!shown.contains('\u{1b}') && shown.len() < 300, "{shown}");
    }

    #[test]
    fn ids_of_the_usual_kinds_are_accepted() {
        for text in ["7b20", "7b20-1", "nightly.2025-11-02", "0", "a_b", "a..b"] {
            assert_eq!(SetId::parse(text).unwrap().as_str(), text);
        }
    }
}
