//! What a placeholder accepts.

use super::{ARGUMENT_BYTES_MAX, DIGITS_MAX, MatchContext, NAME_VALUE_BYTES_MAX};

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
            || matches!(
                c,
                '\u{ad}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
            )
    })
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
