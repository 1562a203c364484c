//! One element of a pattern: reading, showing, and what it takes.

use std::fmt;

use super::{Argument, ELEMENT_BYTES_MAX, Kind, LABEL_BYTES_MAX, MatchContext, shown};

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

impl Element {
    pub(super) fn parse(text: &str, is_tool: bool) -> Result<Self, String> {
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
            return Err(format!(
                "`{text}` is no tool: a program name without a slash stands first"
            ));
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
                "`{text}` has text before its placeholder: write `--flag={{label}}`, or two \
                 elements"
            ));
        }
        let placeholder = Some(Placeholder::parse(text, inside)?);
        Ok(Self { literal: literal.to_owned(), placeholder, repeat })
    }

    /// Whether it takes one argument.
    pub(super) fn takes(&self, argument: &Argument, context: &dyn MatchContext) -> bool {
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

    pub(super) fn described(&self) -> String {
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
        let shape =
            label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if label.is_empty() || label.len() > LABEL_BYTES_MAX || !shape {
            return Err(format!(
                "`{text}` needs a label of 1 to {LABEL_BYTES_MAX} lower-case letters, digits \
                 and `-`"
            ));
        }
        let Some(kind) = Kind::ALL.into_iter().find(|known| known.as_str() == kind) else {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            return Err(format!("`{text}` has no known kind: use one of {}", known.join(", ")));
        };
        Ok(Self { label: label.to_owned(), kind })
    }
}
