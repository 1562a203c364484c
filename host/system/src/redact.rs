//! Blots out secrets, and makes what a terminal would act on visible.
//!
//! Threats: a tool that prints a password, as it is or encoded; a limit that cuts a secret in two,
//! so that neither half is recognised; a log line with escapes, a right-to-left override or a line
//! end in it, which shows something else than what happened.
//!
//! A secret is found raw, in base64 (standard and URL-safe, also in the middle of something larger
//! and broken into lines), in hexadecimal digits, percent-encoded, quoted for JSON or a shell; of
//! a value with several lines, also each line by itself. A long one is found by its pieces, so
//! that a line break or a cut within it does not hide the rest.
//!
//! Blot out first, make visible afterwards: the second changes what the first looks for.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError};

use crate::error::Error;

mod encodings;
mod visible;

use encodings::{Needle, needles};
pub use visible::visible;

/// Shortest secret. A shorter one would blot out ordinary words, and say by that what it is.
pub const SECRET_BYTES_MIN: usize = 4;

/// Longest secret: a key file or a kubeconfig, not data.
pub const SECRET_BYTES_MAX: usize = 64 << 10;

/// Fewest bytes of a secret at the border of a cut text that are blotted out.
pub const FRAGMENT_BYTES_MIN: usize = 4;

/// Blots out the values that it was told.
#[derive(Default)]
pub struct Redactor {
    labels: Vec<String>,
    needles: Vec<Needle>,
    search: Option<Search>,
}

struct Search {
    automaton: AhoCorasick,
    /// For each pattern of the automaton: which needle it is a piece of, and from which byte on.
    pieces: Vec<(usize, usize)>,
}

impl Redactor {
    /// One that knows no secret yet and changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that knows these secrets, each with its name. What is blotted out shows as
    /// `{secret:NAME}`.
    ///
    /// # Errors
    /// [`Error::SecretTooShort`] and [`Error::SecretTooLong`].
    pub fn knowing<'a>(
        secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Error> {
        let mut redactor = Self::new();
        for (name, value) in secrets {
            redactor.learn(name, value)?;
        }
        redactor.prepare()?;
        Ok(redactor)
    }

    /// Tells it one more secret.
    ///
    /// # Errors
    /// [`Error::SecretTooShort`] and [`Error::SecretTooLong`].
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        self.learn(name, value)?;
        self.prepare()
    }

    /// The text without secrets.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, self.found(text.as_bytes()))
    }

    /// The text without secrets, when it is a piece of something longer: a line that was cut, the
    /// end of a log. What may be the end of a secret at its beginning, or the beginning of one at
    /// its end, is blotted out as well.
    #[must_use]
    pub fn fragment<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let bytes = text.as_bytes();
        let mut found = self.found(bytes);
        for needle in &self.needles {
            // A longer overlap holds a whole piece, and is found by that.
            let longest = needle.bytes.len().saturating_sub(1).min(2 * needle.piece_bytes);
            let lengths = || (FRAGMENT_BYTES_MIN..=longest.min(bytes.len())).rev();
            let end = needle.bytes.len();
            let tail = lengths().find(|length| bytes.starts_with(&needle.bytes[end - length..]));
            let head = lengths().find(|length| bytes.ends_with(&needle.bytes[..*length]));
            found.extend(tail.map(|length| (0..length, needle.label)));
            found.extend(head.map(|length| (bytes.len() - length..bytes.len(), needle.label)));
        }
        self.replace(text, found)
    }

    fn learn(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let name = || name.to_owned();
        if value.len() < SECRET_BYTES_MIN {
            return Err(Error::SecretTooShort { name: name(), bytes_min: SECRET_BYTES_MIN });
        }
        if value.len() > SECRET_BYTES_MAX {
            return Err(Error::SecretTooLong { name: name(), bytes_max: SECRET_BYTES_MAX });
        }
        let label = self.labels.len();
        self.labels.push(format!("{{secret:{}}}", name()));
        self.needles.extend(needles(value, label));
        Ok(())
    }

    fn prepare(&mut self) -> Result<(), Error> {
        let mut patterns = Vec::new();
        let mut pieces = Vec::new();
        for (index, needle) in self.needles.iter().enumerate() {
            for start in needle.piece_starts() {
                patterns.push(&needle.bytes[start..start + needle.piece_bytes]);
                pieces.push((index, start));
            }
        }
        // Only more patterns than there are numbers for make this fail.
        let automaton = AhoCorasick::new(patterns).map_err(|error: BuildError| {
            let reason = format!("too many secrets to look for: {error}");
            Error::SecretUnavailable { name: String::new(), reason }
        })?;
        self.search = Some(Search { automaton, pieces });
        Ok(())
    }

    /// Where secrets stand, and whose.
    fn found(&self, text: &[u8]) -> Vec<(Range<usize>, usize)> {
        let Some(search) = &self.search else { return Vec::new() };
        let mut found: Vec<(Range<usize>, usize)> = Vec::new();
        for hit in search.automaton.find_overlapping_iter(text) {
            let (index, start) = search.pieces[hit.pattern().as_usize()];
            let needle = &self.needles[index];
            // The pieces of one secret in a row: all but the first are inside already.
            let inside = found.last().is_some_and(|(range, label)| {
                *label == needle.label && range.start <= hit.start() && hit.end() <= range.end
            });
            if !inside {
                found.push((needle.grow(text, hit.range(), start), needle.label));
            }
        }
        found
    }

    fn replace<'a>(&self, text: &'a str, mut found: Vec<(Range<usize>, usize)>) -> Cow<'a, str> {
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut merged: Vec<(Range<usize>, usize)> = Vec::new();
        for (range, label) in found {
            // A piece of a secret may begin or end within a character.
            let start = text.floor_char_boundary(range.start);
            let end = text.ceil_char_boundary(range.end);
            match merged.last_mut() {
                Some((last, _)) if start <= last.end => last.end = last.end.max(end),
                _ => merged.push((start..end, label)),
            }
        }
        let mut result = String::with_capacity(text.len());
        let mut done = 0;
        for (range, label) in merged {
            result.push_str(&text[done..range.start]);
            result.push_str(&self.labels[label]);
            done = range.end;
        }
        result.push_str(&text[done..]);
        Cow::Owned(result)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<&String> = self.labels.iter().collect();
        formatter.debug_tuple("Redactor").field(&names).finish()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{Redactor, SECRET_BYTES_MAX, SECRET_BYTES_MIN};
    use crate::error::Error;

    fn knowing(value: &str) -> Redactor {
        Redactor::knowing([("db", value.as_bytes())]).unwrap()
    }

    #[test]
    fn a_secret_of_the_least_length_is_blotted_out_and_a_shorter_one_is_refused() {
        assert_eq!(knowing("abcd").redact("xabcdx"), "x{secret:db}x");
        let short = Redactor::knowing([("db", &b"abc"[..])]);
        assert!(matches!(short, Err(Error::SecretTooShort { bytes_min: SECRET_BYTES_MIN, .. })));
    }

    #[test]
    fn a_secret_of_the_greatest_length_is_blotted_out_and_a_longer_one_is_refused() {
        let pattern = (0..SECRET_BYTES_MAX).map(|index| char::from(b'!' + (index % 89) as u8));
        let long: String = pattern.collect();
        let redactor = knowing(&long);
        assert_eq!(redactor.redact(&format!("<{long}>")), "<{secret:db}>");
        Redactor::knowing([("db", format!("{long}x").as_bytes())]).unwrap_err();
    }

    #[test]
    fn text_without_secrets_is_given_back_as_it_is() {
        assert!(matches!(knowing("hunter22").redact("hunter 22"), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn two_secrets_side_by_side_or_over_each_other_are_both_gone() {
        let redactor =
            Redactor::knowing([("a", &b"swordfish"[..]), ("b", &b"fishbone"[..])]).unwrap();
        assert_eq!(redactor.redact("swordfishbone"), "{secret:a}");
        assert_eq!(redactor.redact("swordfish fishbone"), "{secret:a} {secret:b}");
    }

    #[test]
    fn each_line_of_a_secret_is_one_by_itself() {
        let redactor = knowing("user: admin\r\n  token: 5f1c9e\n}\n");
        assert_eq!(redactor.redact("got token: 5f1c9e, }"), "got {secret:db}, }");
    }

    /// Tools show a password of an address without the rest of it, and decoded.
    #[test]
    fn the_password_of_an_address_is_one_by_itself() {
        let redactor = knowing("uri: mongodb://shop:s%40lt+mine@db:27017/shop?tls=true\n");
        assert_eq!(
            redactor.redact("user shop, password s@lt+mine"),
            "user shop, password {secret:db}"
        );
        assert_eq!(redactor.redact("s%40lt+mine at db"), "{secret:db} at db");
        assert_eq!(redactor.redact("no shop at db:27017"), "no shop at db:27017");
    }

    #[test]
    fn a_cut_line_keeps_neither_the_beginning_nor_the_end_of_a_secret() {
        let redactor = knowing("correct horse battery staple");
        for cut in 4..28 {
            let secret = "correct horse battery staple";
            let head = format!("password is {}", &secret[..cut]);
            assert_eq!(redactor.fragment(&head), "password is {secret:db}");
            let tail = format!("{} was it", &secret[secret.len() - cut..]);
            assert_eq!(redactor.fragment(&tail), "{secret:db} was it");
        }
    }

    #[test]
    fn any_piece_of_a_long_secret_that_is_long_enough_is_blotted_out() {
        let secret: String = (0..40).map(|index| format!("{:02x}", index * 97 % 256)).collect();
        let redactor = knowing(&secret);
        for start in 0..secret.len() - 31 {
            let text = format!("[{}]", &secret[start..start + 31]);
            assert_eq!(redactor.redact(&text), "[{secret:db}]", "from {start}");
        }
    }

    #[test]
    fn pieces_that_end_within_a_character_blot_out_the_whole_character() {
        let redactor = knowing(&"pässwörter-üben-".repeat(5));
        let text = format!("ö{}ö", "pässwörter-üben-".repeat(5));
        assert_eq!(redactor.redact(&text), "ö{secret:db}ö");
        assert_eq!(redactor.fragment(&text[..text.len() / 2 + 1]), "ö{secret:db}");
    }

    #[test]
    fn what_it_knows_is_not_shown_by_itself() {
        assert_eq!(format!("{:?}", knowing("swordfish")), "Redactor({\"{secret:db}\"})");
    }
}
