//! The command line: a command, then `--name value` or `--name=value` in any order.
//!
//! One table says which options a command takes; an option that is not in it is refused, so that a
//! misspelt option in a test never passes for one that had no effect.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use crate::failure::usage;

/// The options of `serve`, which `start` hands on to `daemon`.
const SERVE: &[&str] = &["data", "database", "key", "listen", "port-file"];
const SERVE_FLAGS: &[&str] = &["migrate-at-start", "ignore-missing", "require-region"];

/// Command, options with a value, flags without one.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const COMMANDS: &[Row] = &[
    ("install", &["into", "release", "fault"], &[]),
    ("seed", &["data", "database", "orders", "key"], &[]),
    ("add", &["data", "database", "orders"], &[]),
    ("serve", SERVE, SERVE_FLAGS),
    ("daemon", &["data", "database", "key", "listen", "port-file", "pid-file"], SERVE_FLAGS),
    (
        "start",
        &["data", "database", "key", "listen", "port-file", "pid-file", "log", "ready-timeout-ms"],
        SERVE_FLAGS,
    ),
    ("stop", &["pid-file", "timeout-ms"], &[]),
    ("status", &["pid-file", "listen"], &[]),
    ("migrate", &["data", "database"], &[]),
    ("schema", &["data"], &[]),
    ("checkpoint", &["data", "into", "key"], &[]),
    ("digest", &["data", "database"], &[]),
    ("check", &["data"], &[]),
];

/// A parsed command line.
#[derive(Debug)]
pub(crate) struct Arguments {
    command: &'static str,
    values: BTreeMap<&'static str, Vec<OsString>>,
    flags: Vec<&'static str>,
}

impl Arguments {
    /// Parses what follows the program's name.
    pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Self> {
        let mut words = words;
        let named = words.next().unwrap_or_default();
        let Some((command, options, flags)) =
            COMMANDS.iter().find(|(name, ..)| named == *name).copied()
        else {
            let known: Vec<&str> = COMMANDS.iter().map(|(name, ..)| *name).collect();
            return Err(usage(format!(
                "no command `{}`; there are: {}",
                named.display(),
                known.join(", ")
            )));
        };
        let mut parsed = Self { command, values: BTreeMap::new(), flags: Vec::new() };
        while let Some(word) = words.next() {
            parsed.take(word, &mut words, options, flags)?;
        }
        Ok(parsed)
    }

    /// The command's name.
    pub(crate) fn command(&self) -> &'static str {
        self.command
    }

    /// A path that must be given.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf> {
        self.optional_path(name).ok_or_else(|| self.missing(name))
    }

    /// A path that may be given.
    pub(crate) fn optional_path(&self, name: &str) -> Option<PathBuf> {
        self.values.get(name).and_then(|given| given.last()).map(PathBuf::from)
    }

    /// A text that must be given.
    pub(crate) fn text(&self, name: &str) -> Result<String> {
        self.optional_text(name)?.ok_or_else(|| self.missing(name))
    }

    /// A text that may be given.
    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.texts(name)?.pop())
    }

    /// Every value of an option that may be repeated, in order.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>> {
        let given = self.values.get(name).map_or(&[][..], Vec::as_slice);
        let text = |value: &OsString| {
            value
                .to_str()
                .map(str::to_owned)
                .ok_or_else(|| usage(format!("`--{name}` is not valid UTF-8: {}", value.display())))
        };
        given.iter().map(text).collect()
    }

    /// A number that may be given.
    pub(crate) fn optional_number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.optional_text(name)? else { return Ok(None) };
        let number = text.parse().map_err(|_| {
            usage(format!("`--{name}` needs a whole number that is not negative, not `{text}`"))
        })?;
        Ok(Some(number))
    }

    /// A number that must be given.
    pub(crate) fn number(&self, name: &str) -> Result<u64> {
        self.optional_number(name)?.ok_or_else(|| self.missing(name))
    }

    /// Whether a flag is given.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flags.contains(&name)
    }

    /// The words that make another command see the same options, as far as it knows them.
    pub(crate) fn words_for(&self, command: &'static str) -> Result<Vec<OsString>> {
        let (_, options, flags) = COMMANDS
            .iter()
            .find(|(name, ..)| *name == command)
            .ok_or_else(|| anyhow!("no command `{command}` to hand arguments to"))?;
        let mut words = vec![OsString::from(command)];
        for (name, values) in self.values.iter().filter(|(name, _)| options.contains(name)) {
            for value in values {
                words.extend([OsString::from(format!("--{name}")), value.clone()]);
            }
        }
        let kept = self.flags.iter().filter(|flag| flags.contains(flag));
        words.extend(kept.map(|flag| OsString::from(format!("--{flag}"))));
        Ok(words)
    }

    fn take(
        &mut self,
        word: OsString,
        rest: &mut impl Iterator<Item = OsString>,
        options: &'static [&'static str],
        flags: &'static [&'static str],
    ) -> Result<()> {
        let unknown = || usage(format!("`{}` does not take `{}`", self.command, word.display()));
        let text = word.to_str().and_then(|text| text.strip_prefix("--")).ok_or_else(unknown)?;
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text, None),
        };
        if let Some(flag) = flags.iter().find(|flag| **flag == name) {
            if inline.is_some() {
                return Err(usage(format!("`--{flag}` takes no value")));
            }
            self.flags.push(flag);
            return Ok(());
        }
        let option = options.iter().find(|option| **option == name).ok_or_else(unknown)?;
        let value = inline
            .or_else(|| rest.next())
            .ok_or_else(|| usage(format!("`--{option}` needs a value")))?;
        self.values.entry(option).or_default().push(value);
        Ok(())
    }

    fn missing(&self, name: &str) -> anyhow::Error {
        usage(format!("`{}` needs `--{name}`", self.command))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments> {
        Arguments::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn both_spellings_of_a_value_are_read() {
        let arguments = parse(&["seed", "--data", "/d", "--orders=12"]).unwrap();
        assert_eq!(arguments.path("data").unwrap(), PathBuf::from("/d"));
        assert_eq!(arguments.number("orders").unwrap(), 12);
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let error = parse(&["seed", "--date", "/d"]).unwrap_err();
        assert_eq!(error.to_string(), "`seed` does not take `--date`");
    }

    #[test]
    fn a_flag_with_a_value_and_an_option_without_one_are_refused() {
        assert!(parse(&["serve", "--migrate-at-start=yes"]).is_err());
        assert!(parse(&["serve", "--data"]).is_err());
    }

    #[test]
    fn another_command_sees_the_options_that_it_knows() {
        let start = parse(&[
            "start",
            "--data",
            "/d",
            "--log",
            "/l",
            "--pid-file",
            "/p",
            "--migrate-at-start",
        ])
        .unwrap();
        let words = start.words_for("daemon").unwrap();
        let daemon = Arguments::parse(words.into_iter()).unwrap();
        assert_eq!(daemon.path("data").unwrap(), PathBuf::from("/d"));
        assert_eq!(daemon.path("pid-file").unwrap(), PathBuf::from("/p"));
        assert_eq!(daemon.optional_path("log"), None);
        assert!(daemon.flag("migrate-at-start"));
    }
}
