//! Names of stacks, components, datastores, plugins and secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name. Names become parts of file names, database names and labels; 40 bytes leave
/// room for a suffix in the 63 bytes that DNS labels and PostgreSQL allow.
pub const NAME_BYTES_MAX: usize = 40;

/// A name: lower-case letters, digits and `-`, beginning with a letter, 1 to 40 bytes.
///
/// Accepted: `core-admin`, `mongo2`. Rejected: `Core`, `2mongo`, `a_b`, the empty text, `../x`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a name: use 1 to {NAME_BYTES_MAX} lower-case letters, digits and `-`, \
     beginning with a letter"
)]
pub struct NotAName {
    text: String,
}

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// [`NotAName`] when the text is anything else.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let shape = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let start = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if shape && start && text.len() <= NAME_BYTES_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAName { text: text.chars().take(80).collect() })
        }
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;
    fn try_from(text: String) -> Result<Self, NotAName> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{NAME_BYTES_MAX, Name};

    #[test]
    fn forty_bytes_are_a_name_and_one_more_are_not() {
        Name::parse(&"a".repeat(NAME_BYTES_MAX)).unwrap();
        Name::parse(&"a".repeat(NAME_BYTES_MAX + 1)).unwrap_err();
    }

    #[test]
    fn what_could_be_a_path_or_a_flag_is_no_name() {
        for text in ["", "-a", "..", "a/b", "A", "2a", "a_b", "a b", "ä", "a\0"] {
            Name::parse(text).unwrap_err();
        }
    }
}
