//! Argument patterns: which commands a plugin may run, shape by shape.
//!
//! A pattern is a list of elements; a command matches when its arguments, one by one, match the
//! elements in order. There is no wildcard that takes a flag: a flag that is not written in the
//! pattern cannot be passed.
//!
//! # One element
//! | written | matches |
//! |---|---|
//! | `upgrade`, `--wait` | exactly this argument |
//! | `{release}` | one argument that is a [`Kind::Name`] |
//! | `{chart:path}` | one argument of the kind [`Kind::Path`] |
//! | `--values={values:path}` | one argument: this prefix, then a value of that kind |
//! | `--wait?` | this argument, or nothing |
//! | `--values={values:path}*` | any number of such arguments, none too |
//!
//! The first element is the tool: a literal program name without a slash. A literal prefix ends
//! in `=`. A literal that needs `{`, `}` or ends in `*` or `?` (a Go template, SQL) belongs under
//! `[literals]` of the manifest and is passed through a `{name:literal}` placeholder.
//!
//! # What is accepted and what is not
//! With `["helm", "upgrade", "{release}", "{chart:path}", "--values={values:path}*", "--wait?"]`:
//! - accepted: `helm upgrade shop /srv/chart`
//! - accepted: `helm upgrade shop /srv/chart --values=/srv/a.yaml --values=/srv/b.yaml --wait`
//! - rejected: `helm upgrade shop /srv/chart --post-renderer=/bin/sh` (no element takes it)
//! - rejected: `helm upgrade --wait /srv/chart` (a placeholder never begins with `-`)
//! - rejected: `helm upgrade shop chart` (a path is absolute)
//! - rejected: `helm upgrade shop /srv/../etc` (a path has no `..`)
//! - rejected: `helm upgrade shop /srv/chart --values /srv/a.yaml` (two arguments, not one)
//!
//! Labels only tell people what stands there: two placeholders of one label may differ.
//!
//! # Invariants
//! - No argument that begins with `-`, or with a character that looks like it, is accepted by a
//!   placeholder that stands alone, whatever its kind.
//! - No placeholder accepts the empty text, and none a NUL.
//! - Matching takes at most elements × arguments steps; both are limited.

mod element;
mod kind;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use element::{Element, Placeholder, Repeat};
pub use kind::{Kind, begins_like_a_flag, is_name};

/// The most elements that a pattern may have. The longest real ones (`helm upgrade`) have thirty.
pub const ELEMENTS_MAX: usize = 256;
/// The most bytes of one element: room for a long flag and a placeholder.
pub const ELEMENT_BYTES_MAX: usize = 1024;
/// The most arguments of one command.
pub const ARGUMENTS_MAX: usize = 4096;
/// The most bytes of one argument: Linux refuses longer ones (`MAX_ARG_STRLEN`).
pub const ARGUMENT_BYTES_MAX: usize = 128 * 1024;
/// The most bytes of all arguments together: Linux' usual `ARG_MAX`.
pub const ARGUMENTS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest [`Kind::Name`], as for a DNS name.
pub const NAME_VALUE_BYTES_MAX: usize = 253;
/// The most digits of a [`Kind::Number`] and of a [`Kind::Duration`]: enough for 64 bits.
pub const DIGITS_MAX: usize = 20;
/// The longest label of a placeholder.
pub const LABEL_BYTES_MAX: usize = 40;
/// The longest piece of an argument that an error shows, in characters.
pub const SHOWN_CHARACTERS_MAX: usize = 200;

/// Argument lists of one shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Pattern {
    elements: Vec<Element>,
    /// For each element the first one that takes the same arguments, so that a long argument is
    /// looked at once for all of them.
    same_as: Vec<usize>,
}

/// An argument as a plugin gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Text as it is.
    Text(String),
    /// `prefix` followed by the path of a short-lived file that holds the secret.
    SecretFile {
        /// What stands before the path, such as `--config=`; may be empty.
        prefix: String,
        /// The secret's name.
        name: String,
    },
}

/// What the caller knows of the operation that wants to run something.
pub trait MatchContext {
    /// Whether this very text stands somewhere in the subject's settings or release entry.
    fn is_setting(&self, text: &str) -> bool;
    /// Whether this very text is one of the manifest's literals.
    fn is_literal(&self, text: &str) -> bool;
    /// Whether this absolute path was granted. Called only for paths without `..`.
    fn is_granted_path(&self, path: &str) -> bool;
    /// Whether the secret of this name was granted.
    fn is_granted_secret(&self, name: &str) -> bool;
}

/// Why a command does not match a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argument {position}: expected {expected}, got {got}")]
pub struct Mismatch {
    /// Which argument, from 0 (the tool). One past the last: an argument is missing.
    pub position: usize,
    /// What the pattern has there.
    pub expected: String,
    /// What was given, escaped and cut.
    pub got: String,
}

/// Why texts are no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotAPattern {
    /// Which element, from 0.
    pub element: usize,
    /// A sentence.
    pub reason: String,
}

/// A text as errors show it: control characters escaped, cut at [`SHOWN_CHARACTERS_MAX`].
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARACTERS_MAX)
        .flat_map(|c| if is_visible(c) { vec![c] } else { c.escape_unicode().collect() })
        .collect();
    if text.chars().nth(SHOWN_CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn is_visible(c: char) -> bool {
    // Besides control characters: marks that reorder or hide what a terminal shows.
    let is_mark = matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}')
        || ('\u{200b}'..='\u{200f}').contains(&c)
        || ('\u{2028}'..='\u{202e}').contains(&c)
        || ('\u{2060}'..='\u{2069}').contains(&c);
    !c.is_control() && !is_mark
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, element) in self.elements.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" ")?;
            }
            write!(formatter, "{element}")?;
        }
        Ok(())
    }
}

impl From<Pattern> for Vec<String> {
    fn from(pattern: Pattern) -> Self {
        pattern.elements.iter().map(ToString::to_string).collect()
    }
}

impl TryFrom<Vec<String>> for Pattern {
    type Error = NotAPattern;
    fn try_from(elements: Vec<String>) -> Result<Self, NotAPattern> {
        Self::parse(&elements)
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`NotAPattern`] naming the element and what is wrong with it.
    pub fn parse<S: AsRef<str>>(elements: &[S]) -> Result<Self, NotAPattern> {
        let fault = |element, reason: String| Err(NotAPattern { element, reason });
        if elements.is_empty() {
            return fault(0, "a pattern is empty: begin with the tool".to_owned());
        }
        if elements.len() > ELEMENTS_MAX {
            let reason =
                format!("a pattern has {} elements, {ELEMENTS_MAX} are allowed", elements.len());
            return fault(ELEMENTS_MAX, reason);
        }
        let mut parsed = Vec::with_capacity(elements.len());
        for (index, text) in elements.iter().enumerate() {
            match Element::parse(text.as_ref(), index == 0) {
                Ok(element) => parsed.push(element),
                Err(reason) => return fault(index, reason),
            }
        }
        let same = |element: &Element| {
            let takes_the_same = |other: &Element| {
                other.literal == element.literal
                    && other.placeholder.as_ref().map(|p| p.kind)
                        == element.placeholder.as_ref().map(|p| p.kind)
            };
            parsed.iter().position(takes_the_same).unwrap_or_default()
        };
        let same_as = parsed.iter().map(same).collect();
        Ok(Self { elements: parsed, same_as })
    }

    /// The elements; at least one, the first is a literal.
    #[must_use]
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// The program, a name without a slash.
    #[must_use]
    pub fn tool(&self) -> &str {
        self.elements.first().map_or("", |element| &element.literal)
    }

    /// The first element whose value the plugin may make up; only `change` patterns have any.
    #[must_use]
    pub fn free_element(&self) -> Option<(usize, &Element)> {
        self.elements
            .iter()
            .enumerate()
            .find(|(_, element)| element.placeholder.as_ref().is_some_and(|p| p.kind.is_free()))
    }

    /// Whether a command is of this shape.
    ///
    /// # Errors
    /// [`Mismatch`] at the first argument that no reading of the pattern takes.
    pub fn matches(
        &self,
        arguments: &[Argument],
        context: &dyn MatchContext,
    ) -> Result<(), Mismatch> {
        check_limits(arguments)?;
        // `reached[i]`: the arguments so far can be read so that element `i` is next.
        let end = self.elements.len();
        let mut reached = vec![false; end + 1];
        reached[0] = true;
        self.skip_what_may_be_absent(&mut reached);
        let mut taken: Vec<Option<bool>> = vec![None; end];
        for (position, argument) in arguments.iter().enumerate() {
            let mut next = vec![false; end + 1];
            taken.fill(None);
            for (index, element) in self.elements.iter().enumerate() {
                let takes = &mut taken[self.same_as[index]];
                if reached[index] && *takes.get_or_insert_with(|| element.takes(argument, context))
                {
                    let stays = element.repeat == Repeat::Any;
                    next[if stays { index } else { index + 1 }] = true;
                }
            }
            self.skip_what_may_be_absent(&mut next);
            if !next.contains(&true) {
                return Err(self.mismatch(position, &reached, argument.shown()));
            }
            reached = next;
        }
        if reached[end] {
            Ok(())
        } else {
            Err(self.mismatch(arguments.len(), &reached, "the end".to_owned()))
        }
    }

    fn skip_what_may_be_absent(&self, reached: &mut [bool]) {
        for (index, element) in self.elements.iter().enumerate() {
            if reached[index] && element.repeat != Repeat::Once {
                reached[index + 1] = true;
            }
        }
    }

    fn mismatch(&self, position: usize, reached: &[bool], got: String) -> Mismatch {
        /// More alternatives than this only hide the one that was meant.
        const NAMED_MAX: usize = 6;
        let open = self.elements.iter().enumerate().filter(|(index, _)| reached[*index]);
        let mut names: Vec<String> =
            open.take(NAMED_MAX).map(|(_, element)| element.described()).collect();
        if reached[self.elements.len()] {
            names.push("the end".to_owned());
        }
        Mismatch { position, expected: names.join(" or "), got }
    }
}

impl Argument {
    /// As errors show it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("`{}`", shown(text)),
            Self::SecretFile { prefix, name } => {
                format!("`{}` and the file of the secret `{}`", shown(prefix), shown(name))
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::SecretFile { prefix, name } => prefix.len() + name.len(),
        }
    }
}

fn check_limits(arguments: &[Argument]) -> Result<(), Mismatch> {
    if arguments.len() > ARGUMENTS_MAX {
        let expected = format!("at most {ARGUMENTS_MAX} arguments");
        let got = format!("{}", arguments.len());
        return Err(Mismatch { position: ARGUMENTS_MAX, expected, got });
    }
    let mut total = 0_usize;
    for (position, argument) in arguments.iter().enumerate() {
        let bytes = argument.bytes();
        if bytes > ARGUMENT_BYTES_MAX {
            let expected = format!("at most {ARGUMENT_BYTES_MAX} bytes");
            return Err(Mismatch { position, expected, got: format!("{bytes} bytes") });
        }
        total += bytes;
        if total > ARGUMENTS_BYTES_MAX {
            let expected = format!("at most {ARGUMENTS_BYTES_MAX} bytes of arguments");
            return Err(Mismatch { position, expected, got: format!("{total} bytes and more") });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
