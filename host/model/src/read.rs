//! Reads a [`Tree`] key by key, and notes everything that is wrong instead of stopping.
//!
//! Each method answers `None` when it has noted a fault; what was asked for and what it is called
//! make the messages, so that all files complain alike.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Number, Value};

use crate::duration::parse_duration;
use crate::error::{Error, FAULTS_MAX, Fault, code};
use crate::name::Name;
use crate::nearest::did_you_mean;
use crate::pattern::shown;
use crate::problem::Code;
use crate::size::parse_size;
use crate::tree::{Entry, Spot, Tree, TreeValue};

/// The only format of every file so far.
const FORMAT: i64 = 1;

/// Collects the faults of one file.
pub(crate) struct Reader<'f> {
    file: &'f str,
    faults: Vec<Fault>,
}

/// A value and its dotted path in the file.
pub(crate) struct Node<'t> {
    pub(crate) tree: &'t Tree,
    pub(crate) path: String,
}

/// A table under reading: knows which keys were asked for.
pub(crate) struct Table<'t> {
    pub(crate) path: String,
    pub(crate) spot: Spot,
    entries: &'t BTreeMap<String, Entry>,
    known: Vec<&'static str>,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(file: &'f str) -> Self {
        Self { file, faults: Vec::new() }
    }

    /// Notes a fault.
    pub(crate) fn fault(
        &mut self,
        code: Code,
        spot: Spot,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let place = spot.in_file(self.file);
        self.faults.push(Fault { code, place, message: message.into(), help: help.into() });
    }

    /// Ends the reading.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Error> {
        if let (Some(value), true) = (value, self.faults.is_empty()) {
            return Ok(value);
        }
        self.faults.sort_by_key(|fault| (fault.place.line, fault.place.column));
        self.faults.truncate(FAULTS_MAX);
        Err(Error::Faults(self.faults))
    }

    /// The top of a file. With another `format`, nothing else of it means anything.
    pub(crate) fn root<'t>(&mut self, tree: &'t Tree) -> Option<Table<'t>> {
        let mut root = Node { tree, path: String::new() }.table(self)?;
        let format = root.required("format", self)?;
        let number = format.integer(self, i64::MIN, i64::MAX)?;
        if number == FORMAT {
            return Some(root);
        }
        self.fault(
            code::FORMAT_UNSUPPORTED,
            format.tree.spot,
            format!("`{}` has format {number}, and this vaultup reads format {FORMAT}", self.file),
            format!("write `format = {FORMAT}`, or use the vaultup that the file was written for"),
        );
        None
    }
}

impl<'t> Table<'t> {
    /// What stands under a key, if anything.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<Node<'t>> {
        self.known.push(key);
        self.entries.get(key).map(|entry| self.node(key, entry))
    }

    /// What stands under a key that must be there.
    pub(crate) fn required(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<Node<'t>> {
        let node = self.optional(key);
        if node.is_none() {
            let message = match self.path.as_str() {
                "" => format!("`{key}` is missing"),
                path => format!("`{key}` is missing in `{path}`"),
            };
            // An unknown key nearby is more likely a slip than a second wish.
            let written = self.entries.keys().map(String::as_str);
            let help = match crate::nearest::nearest(key, written) {
                Some(name) => format!("did you mean `{key}` where `{}` stands?", shown(name)),
                None => format!("add `{key} = …`"),
            };
            reader.fault(code::MISSING_KEY, self.spot, message, help);
        }
        node
    }

    /// Everything, in the order of the keys.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'t str, Spot, Node<'t>)> {
        let path = self.path.clone();
        self.entries.iter().map(move |(key, entry)| {
            let node = Node { tree: &entry.tree, path: joined(&path, key) };
            (key.as_str(), entry.spot, node)
        })
    }

    /// Where the value of a key stands; the table itself if it does not.
    pub(crate) fn spot_of(&self, key: &str) -> Spot {
        self.entries.get(key).map_or(self.spot, |entry| entry.tree.spot)
    }

    /// Of these keys exactly one must be there: that one.
    pub(crate) fn exactly_one(
        &mut self,
        keys: &[&'static str],
        reader: &mut Reader<'_>,
    ) -> Option<(&'static str, Node<'t>)> {
        let mut found = None;
        let mut count = 0;
        for key in keys {
            if let Some(node) = self.optional(key) {
                count += 1;
                found.get_or_insert((*key, node));
            }
        }
        if count == 1 {
            return found;
        }
        let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        let list = quoted.join(", ");
        let message = match count {
            0 => format!("`{}` has none of {list}", self.path),
            _ => format!("`{}` has more than one of {list}", self.path),
        };
        reader.fault(code::ONE_OF, self.spot, message, format!("write exactly one of {list}"));
        None
    }

    /// Notes every key that was not asked for.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        for (key, entry) in self.entries {
            if !self.known.contains(&key.as_str()) {
                let place = match self.path.as_str() {
                    "" => "at the top of the file".to_owned(),
                    path => format!("in `{path}`"),
                };
                let message = format!("unknown key `{}` {place}", shown(key));
                let help = did_you_mean(key, self.known.iter().copied());
                reader.fault(code::UNKNOWN_KEY, entry.spot, message, help);
            }
        }
    }

    fn node(&self, key: &str, entry: &'t Entry) -> Node<'t> {
        Node { tree: &entry.tree, path: joined(&self.path, key) }
    }
}

impl<'t> Node<'t> {
    /// Notes that something else was expected.
    pub(crate) fn wrong_type(&self, reader: &mut Reader<'_>, expected: &str, help: &str) {
        let got = self.tree.value.words();
        let message = match self.path.as_str() {
            "" => format!("expected {expected}, got {got}"),
            path => format!("expected {expected} in `{path}`, got {got}"),
        };
        let help = if help.is_empty() { format!("write {expected}") } else { help.to_owned() };
        reader.fault(code::WRONG_TYPE, self.tree.spot, message, help);
    }

    /// Notes that the value cannot be used.
    pub(crate) fn wrong_value(
        &self,
        reader: &mut Reader<'_>,
        reason: impl std::fmt::Display,
        help: impl Into<String>,
    ) {
        let message = format!("{reason}, in `{}`", self.path);
        reader.fault(code::WRONG_VALUE, self.tree.spot, message, help);
    }

    pub(crate) fn table(&self, reader: &mut Reader<'_>) -> Option<Table<'t>> {
        let TreeValue::Table(entries) = &self.tree.value else {
            self.wrong_type(reader, "a table", "");
            return None;
        };
        Some(Table { path: self.path.clone(), spot: self.tree.spot, entries, known: Vec::new() })
    }

    /// A list's items, at most so many.
    pub(crate) fn list(&self, reader: &mut Reader<'_>, items_max: usize) -> Option<Vec<Node<'t>>> {
        let TreeValue::List(items) = &self.tree.value else {
            self.wrong_type(reader, "a list", "write `[…]`");
            return None;
        };
        if items.len() > items_max {
            let message =
                format!("`{}` has {} items, {items_max} are allowed", self.path, items.len());
            reader.fault(code::TOO_MANY, self.tree.spot, message, "write fewer");
            return None;
        }
        let item = |(index, tree)| Node { tree, path: format!("{}[{index}]", self.path) };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// One table, or a list of tables.
    pub(crate) fn tables(&self, reader: &mut Reader<'_>, max: usize) -> Option<Vec<Table<'t>>> {
        if let TreeValue::Table(_) = self.tree.value {
            return self.table(reader).map(|table| vec![table]);
        }
        let TreeValue::List(_) = self.tree.value else {
            self.wrong_type(reader, "a table or a list of tables", "");
            return None;
        };
        all(self.list(reader, max)?.iter().map(|item| item.table(reader)))
    }

    pub(crate) fn text(&self, reader: &mut Reader<'_>) -> Option<&'t str> {
        match &self.tree.value {
            TreeValue::Text(text) => Some(text),
            TreeValue::Integer(_) | TreeValue::Number(_) | TreeValue::Truth(_) => {
                self.wrong_type(reader, "a text", "write it in quotes");
                None
            }
            _ => {
                self.wrong_type(reader, "a text", "");
                None
            }
        }
    }

    /// A text in which something stands, without control characters, of at most so many bytes.
    pub(crate) fn line(&self, reader: &mut Reader<'_>, bytes_max: usize) -> Option<String> {
        let text = self.text(reader)?;
        if text.trim().is_empty() {
            self.wrong_value(reader, "the text is empty", "write something, or leave the key out");
            None
        } else if text.chars().any(char::is_control) {
            self.wrong_value(reader, "the text has a control character", "write it in one line");
            None
        } else if text.len() > bytes_max {
            let reason = format!("the text has {} bytes, {bytes_max} are allowed", text.len());
            self.wrong_value(reader, reason, "write less");
            None
        } else {
            Some(text.to_owned())
        }
    }

    pub(crate) fn truth(&self, reader: &mut Reader<'_>) -> Option<bool> {
        let TreeValue::Truth(truth) = self.tree.value else {
            self.wrong_type(reader, "true or false", "");
            return None;
        };
        Some(truth)
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn integer(&self, reader: &mut Reader<'_>, least: i64, most: i64) -> Option<i64> {
        match &self.tree.value {
            TreeValue::Integer(number) if (least..=most).contains(number) => Some(*number),
            TreeValue::Integer(number) => {
                let reason = format!("{number} is out of range");
                self.wrong_value(reader, reason, format!("write a number from {least} to {most}"));
                None
            }
            TreeValue::OutOfRange(number) => {
                let reason = format!("{} is out of range", shown(number));
                self.wrong_value(reader, reason, format!("write a number from {least} to {most}"));
                None
            }
            _ => {
                self.wrong_type(reader, "a whole number", "write it without quotes");
                None
            }
        }
    }

    pub(crate) fn number(&self, reader: &mut Reader<'_>, least: u32, most: u32) -> Option<u32> {
        let number = self.integer(reader, i64::from(least), i64::from(most))?;
        u32::try_from(number).ok()
    }

    pub(crate) fn name(&self, reader: &mut Reader<'_>) -> Option<Name> {
        let text = self.text(reader)?;
        self.parsed(reader, Name::parse(text), "use lower-case letters, digits and `-`")
    }

    /// Names without repetition, each with its place.
    pub(crate) fn names(&self, reader: &mut Reader<'_>, max: usize) -> Option<Vec<(Name, Spot)>> {
        let mut names: Vec<(Name, Spot)> = Vec::new();
        let mut good = true;
        for item in self.list(reader, max)? {
            match item.name(reader) {
                Some(name) if names.iter().any(|(known, _)| *known == name) => {
                    let message = format!("`{name}` stands twice in `{}`", self.path);
                    reader.fault(code::DUPLICATE_NAME, item.tree.spot, message, "write it once");
                    good = false;
                }
                Some(name) => names.push((name, item.tree.spot)),
                None => good = false,
            }
        }
        good.then_some(names)
    }

    /// A duration longer than nothing.
    pub(crate) fn within(&self, reader: &mut Reader<'_>) -> Option<Duration> {
        let duration = self.duration(reader)?;
        if duration.is_zero() {
            self.wrong_value(reader, "nothing is done within no time", "write such as \"5m\"");
            return None;
        }
        Some(duration)
    }

    pub(crate) fn duration(&self, reader: &mut Reader<'_>) -> Option<Duration> {
        let help = "write a number with ms, s, m, h or d, such as \"30s\" or \"1h30m\"";
        let TreeValue::Text(text) = &self.tree.value else {
            self.wrong_type(reader, "a duration in quotes", help);
            return None;
        };
        self.parsed(reader, parse_duration(text), help)
    }

    /// A number of bytes.
    pub(crate) fn size(&self, reader: &mut Reader<'_>) -> Option<u64> {
        let help = "write a number with kB, MB, GB, TB or KiB, MiB, GiB, TiB, such as \"10GB\"";
        let TreeValue::Text(text) = &self.tree.value else {
            self.wrong_type(reader, "a size in quotes", help);
            return None;
        };
        self.parsed(reader, parse_size(text), help)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        reader: &mut Reader<'_>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(reader)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let help = did_you_mean(text, choices.iter().map(|(word, _)| *word));
            self.wrong_value(reader, format!("`{}` is no choice", shown(text)), help);
        }
        found
    }

    /// A list of texts: program and arguments.
    pub(crate) fn command(&self, reader: &mut Reader<'_>) -> Option<Vec<String>> {
        let help = "write a list such as [\"./check.sh\", \"--all\"]; there is no shell";
        let TreeValue::List(_) = self.tree.value else {
            self.wrong_type(reader, "a command as a list of texts", help);
            return None;
        };
        let items = self.list(reader, crate::pattern::ARGUMENTS_MAX)?;
        let mut words = Vec::with_capacity(items.len());
        for item in &items {
            let text = item.text(reader)?;
            if text.contains('\0') {
                item.wrong_value(reader, "an argument has a NUL", help);
                return None;
            }
            words.push(text.to_owned());
        }
        if words.first().is_none_or(|program| program.trim().is_empty()) {
            self.wrong_value(reader, "the command has no program", help);
            return None;
        }
        Some(words)
    }

    /// What another type's reader made of the text.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &self,
        reader: &mut Reader<'_>,
        result: Result<T, E>,
        help: &str,
    ) -> Option<T> {
        result.map_err(|error| self.wrong_value(reader, error, help)).ok()
    }

    /// The value as JSON. Dates become texts.
    pub(crate) fn json(&self, reader: &mut Reader<'_>) -> Option<Value> {
        match &self.tree.value {
            TreeValue::Text(text) | TreeValue::Moment(text) => Some(Value::String(text.clone())),
            TreeValue::Integer(number) => Some(Value::from(*number)),
            TreeValue::Truth(truth) => Some(Value::Bool(*truth)),
            TreeValue::Number(number) => match Number::from_f64(*number) {
                Some(number) => Some(Value::Number(number)),
                None => {
                    self.wrong_value(reader, "the number is not finite", "write a finite number");
                    None
                }
            },
            TreeValue::OutOfRange(_) => {
                let reason = "the number does not fit in 64 bits";
                self.wrong_value(reader, reason, "write it in quotes");
                None
            }
            TreeValue::List(items) => {
                let item = |(index, tree)| Self { tree, path: format!("{}[{index}]", self.path) };
                let items: Vec<Self> = items.iter().enumerate().map(item).collect();
                all(items.iter().map(|item| item.json(reader))).map(Value::Array)
            }
            TreeValue::Table(_) => {
                let table = self.table(reader)?;
                let pairs = table
                    .each()
                    .map(|(key, _, node)| node.json(reader).map(|value| (key.to_owned(), value)));
                all(pairs).map(|pairs| Value::Object(pairs.into_iter().collect()))
            }
        }
    }

    /// A table as a JSON object.
    pub(crate) fn object(&self, reader: &mut Reader<'_>) -> Option<Value> {
        self.table(reader)?;
        self.json(reader)
    }
}

/// Reads a table whose keys are names: each with the place of its key and its value.
pub(crate) fn named<'t>(
    table: &Table<'t>,
    what: &str,
    most: usize,
    reader: &mut Reader<'_>,
) -> Vec<(Name, Spot, Node<'t>)> {
    let mut parts = Vec::new();
    for (key, spot, node) in table.each() {
        match Name::parse(key) {
            Ok(name) => parts.push((name, spot, node)),
            Err(error) => reader.fault(
                code::WRONG_VALUE,
                spot,
                format!("{error}, in `{}`", table.path),
                "rename it",
            ),
        }
    }
    if parts.len() > most {
        let message = format!("there are {} {what}, {most} are allowed", parts.len());
        reader.fault(code::TOO_MANY, table.spot, message, "make several stacks of it");
        parts.truncate(most);
    }
    parts
}

/// All of them, or nothing after every one was read: unlike `collect`, which stops at the first
/// `None` and would hide the faults behind it.
pub(crate) fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let mut values = Some(Vec::new());
    for item in items {
        match (item, &mut values) {
            (Some(item), Some(values)) => values.push(item),
            _ => values = None,
        }
    }
    values
}

fn joined(path: &str, key: &str) -> String {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let key = if plain && !key.is_empty() { shown(key) } else { format!("\"{}\"", shown(key)) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
