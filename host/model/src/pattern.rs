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

use std::fmt;

use serde::{Deserialize, Serialize};

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
}

/// One element of a [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// What the argument begins with, or all of it if there is no placeholder.
    pub literal: String,
    /// What follows the literal.
    pub placeholder: Option<Placeholder>,
    /// How often it may stand there.
    pub repeat: Repeat,
}

/// A part of an argument that the plugin fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// What people read.
    pub label: String,
    /// What it may be.
    pub kind: Kind,
}

/// How often an element may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Exactly once.
    Once,
    /// Once or not at all (`?`).
    Optional,
    /// Any number of times, none too (`*`).
    Any,
}

/// What a placeholder accepts. Alone in its argument, none accepts what begins with `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `[A-Za-z0-9][A-Za-z0-9._:/@+-]*`, at most 253 bytes, no `..` between slashes: an
    /// identifier, image or version, never a script. Accepted: `shop`, `a.example/b:1@sha256:0f`.
    /// Rejected: `-n`, `a b`, `a/../b`, `a;b`, `a=b`.
    Name,
    /// Decimal digits, at most 20.
    Number,
    /// Digits and one of `ms`, `s`, `m`, `h`. Accepted: `90s`. Rejected: `1h30m`, `90`.
    Duration,
    /// An absolute path without `..` that was granted. Accepted: `/srv/app/values.yaml`, if
    /// granted. Rejected: `values.yaml`, `/srv/../etc/passwd`.
    Path,
    /// Exactly a text that stands in the subject's settings or release entry.
    Setting,
    /// Exactly one of the manifest's literals.
    Literal,
    /// Any text without control characters other than line ends and tabs. Only in `change`
    /// patterns.
    Text,
    /// `key=value`. Only in `change` patterns. Accepted: `image.tag=2.5.0`, `a[0]=`. Rejected:
    /// `=x`, `-a=b`, `a`.
    Assignment,
    /// The path of a short-lived file that holds a granted secret; never text of the plugin's.
    SecretFile,
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

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Name,
        Self::Number,
        Self::Duration,
        Self::Path,
        Self::Setting,
        Self::Literal,
        Self::Text,
        Self::Assignment,
        Self::SecretFile,
    ];

    /// Its name in a manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Number => "number",
            Self::Duration => "duration",
            Self::Path => "path",
            Self::Setting => "setting",
            Self::Literal => "literal",
            Self::Text => "text",
            Self::Assignment => "assignment",
            Self::SecretFile => "secret-file",
        }
    }

    /// Whether a plugin may make its value up, so that only `change` patterns may have it.
    #[must_use]
    pub fn is_free(self) -> bool {
        matches!(self, Self::Text | Self::Assignment)
    }

    /// What it accepts, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Name => "a name of letters, digits and `._:/@+-`",
            Self::Number => "a number",
            Self::Duration => "a duration such as `90s`",
            Self::Path => "an absolute path that was granted",
            Self::Setting => "a text that stands in the settings or the release",
            Self::Literal => "one of the manifest's literals",
            Self::Text => "a text",
            Self::Assignment => "`key=value`",
            Self::SecretFile => "the file of a granted secret",
        }
    }

    /// Whether a value after a literal prefix is of this kind. [`Kind::SecretFile`] is never text.
    #[must_use]
    pub fn accepts(self, text: &str, context: &dyn MatchContext) -> bool {
        if text.is_empty() || text.len() > ARGUMENT_BYTES_MAX || text.contains('\0') {
            return false;
        }
        match self {
            Self::Name => is_name(text),
            Self::Number => is_number(text),
            Self::Duration => is_duration(text),
            Self::Path => is_plain_path(text) && context.is_granted_path(text),
            Self::Setting => context.is_setting(text),
            Self::Literal => context.is_literal(text),
            Self::Text => is_plain_text(text),
            Self::Assignment => is_assignment(text),
            Self::SecretFile => false,
        }
    }

    /// Whether an argument of its own is of this kind: as [`Kind::accepts`], and nothing that could
    /// be taken for a flag.
    #[must_use]
    pub fn accepts_alone(self, text: &str, context: &dyn MatchContext) -> bool {
        !begins_like_a_flag(text) && self.accepts(text, context)
    }
}

/// Whether a text is a [`Kind::Name`]; values of `${name}` variables in commands of the settings
/// and of the release are checked with this too.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"._:/@+-".contains(&b);
    text.len() <= NAME_VALUE_BYTES_MAX
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(inner)
        && !text.split('/').any(|part| part == "..")
}

/// Whether a text begins with `-` or with a character that is easily taken for it.
#[must_use]
pub fn begins_like_a_flag(text: &str) -> bool {
    text.starts_with(|c: char| {
        c == '-'
            || ('\u{2010}'..='\u{2015}').contains(&c)
            || matches!(c, '\u{ad}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
    })
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
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn is_number(text: &str) -> bool {
    (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_duration(text: &str) -> bool {
    ["ms", "s", "m", "h"].iter().any(|unit| text.strip_suffix(unit).is_some_and(is_number))
}

fn is_plain_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.chars().any(char::is_control)
        && !text.split('/').any(|part| part == "..")
}

fn is_plain_text(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

fn is_assignment(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@[]".contains(&b);
    text.split_once('=').is_some_and(|(key, value)| {
        key.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
            && key.bytes().all(inner)
            && is_plain_text(value)
    })
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.literal)?;
        if let Some(Placeholder { label, kind }) = &self.placeholder {
            match kind {
                Kind::Name => write!(formatter, "{{{label}}}")?,
                kind => write!(formatter, "{{{label}:{}}}", kind.as_str())?,
            }
        }
        formatter.write_str(match self.repeat {
            Repeat::Once => "",
            Repeat::Optional => "?",
            Repeat::Any => "*",
        })
    }
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
        Ok(Self { elements: parsed })
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
        for (position, argument) in arguments.iter().enumerate() {
            let mut next = vec![false; end + 1];
            for (index, element) in self.elements.iter().enumerate() {
                if reached[index] && element.takes(argument, context) {
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

impl Element {
    fn parse(text: &str, is_tool: bool) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an element of a pattern is empty".to_owned());
        }
        if text.len() > ELEMENT_BYTES_MAX {
            return Err(format!(
                "an element of a pattern has {} bytes, {ELEMENT_BYTES_MAX} are allowed",
                text.len()
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("`{}` has a control character", shown(text)));
        }
        let (body, repeat) = match text.strip_suffix(['*', '?']) {
            Some(body) if text.ends_with('*') => (body, Repeat::Any),
            Some(body) => (body, Repeat::Optional),
            None => (text, Repeat::Once),
        };
        let element = Self::parse_body(text, body, repeat)?;
        let name = &element.literal;
        let plain = !name.contains('/') && !name.starts_with('-') && name != "." && name != "..";
        if is_tool && (element.placeholder.is_some() || repeat != Repeat::Once || !plain) {
            return Err(format!("`{text}` is no tool: a program name without a slash stands first"));
        }
        Ok(element)
    }

    fn parse_body(text: &str, body: &str, repeat: Repeat) -> Result<Self, String> {
        let Some((literal, rest)) = body.split_once('{') else {
            if body.contains('}') {
                return Err(format!("`{text}` has a `}}` without `{{`"));
            }
            if body.is_empty() || body.ends_with(['*', '?']) {
                return Err(format!("`{text}` is a wildcard: name each argument"));
            }
            return Ok(Self { literal: body.to_owned(), placeholder: None, repeat });
        };
        let Some((inside, after)) = rest.split_once('}') else {
            return Err(format!("`{text}` has a `{{` without `}}`"));
        };
        if !after.is_empty() {
            return Err(format!(
                "`{text}` goes on after its placeholder: it must end the element (a text with \
                 braces belongs under `[literals]`)"
            ));
        }
        if literal.contains('}') || inside.contains('{') {
            return Err(format!(
                "`{text}` has braces within braces (a text with braces belongs under `[literals]`)"
            ));
        }
        if !literal.is_empty() && !literal.ends_with('=') {
            return Err(format!(
                "`{text}` has text before its placeholder: write `--flag={{label}}`, or two elements"
            ));
        }
        let placeholder = Some(Placeholder::parse(text, inside)?);
        Ok(Self { literal: literal.to_owned(), placeholder, repeat })
    }

    /// Whether it takes one argument.
    fn takes(&self, argument: &Argument, context: &dyn MatchContext) -> bool {
        match (argument, &self.placeholder) {
            (Argument::Text(text), None) => *text == self.literal,
            (Argument::Text(text), Some(placeholder)) if self.literal.is_empty() => {
                placeholder.kind.accepts_alone(text, context)
            }
            (Argument::Text(text), Some(placeholder)) => text
                .strip_prefix(&self.literal)
                .is_some_and(|value| placeholder.kind.accepts(value, context)),
            (Argument::SecretFile { prefix, name }, Some(placeholder)) => {
                placeholder.kind == Kind::SecretFile
                    && *prefix == self.literal
                    && context.is_granted_secret(name)
            }
            (Argument::SecretFile { .. }, None) => false,
        }
    }

    fn described(&self) -> String {
        match &self.placeholder {
            Some(placeholder) => format!("`{self}` ({})", placeholder.kind.words()),
            None => format!("`{self}`"),
        }
    }
}

impl Placeholder {
    fn parse(text: &str, inside: &str) -> Result<Self, String> {
        let (label, kind) = match inside.split_once(':') {
            Some((label, kind)) => (label, kind),
            None => (inside, Kind::Name.as_str()),
        };
        let shape = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if label.is_empty() || label.len() > LABEL_BYTES_MAX || !shape {
            return Err(format!(
                "`{text}` needs a label of 1 to {LABEL_BYTES_MAX} lower-case letters, digits and `-`"
            ));
        }
        let Some(kind) = Kind::ALL.into_iter().find(|known| known.as_str() == kind) else {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            return Err(format!("`{text}` has no known kind: use one of {}", known.join(", ")));
        };
        Ok(Self { label: label.to_owned(), kind })
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
