//! Where everything of a file stands, for faults that are found only after it was read: settings
//! that a plugin's schema refuses, a release that does not fit the stack.

use std::collections::BTreeMap;

use crate::error::{Error, Fault, code};
use crate::manifest::SettingsFault;
use crate::problem::{Code, Place};
use crate::tree::{Spot, Tree, TreeValue};

/// Where the keys and values of one file stand.
///
/// A path is the keys from the top of the file, with numbers from 0 for items of lists:
/// `["components", "api", "settings", "hosts", "0"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    file: String,
    known: BTreeMap<Vec<String>, At>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    key: Spot,
    value: Spot,
}

impl Places {
    /// Knows nothing of a file but its name.
    #[must_use]
    pub fn none(file: &str) -> Self {
        Self { file: file.to_owned(), known: BTreeMap::new() }
    }

    pub(crate) fn of(tree: &Tree, file: &str) -> Self {
        let mut places = Self::none(file);
        places.add(tree, &mut Vec::new());
        places
    }

    fn add(&mut self, tree: &Tree, path: &mut Vec<String>) {
        let mut below = |name: String, key: Spot, tree: &Tree| {
            path.push(name);
            self.known.insert(path.clone(), At { key, value: tree.spot });
            self.add(tree, path);
            path.pop();
        };
        match &tree.value {
            TreeValue::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    below(index.to_string(), item.spot, item);
                }
            }
            TreeValue::Table(entries) => {
                for (key, entry) in entries {
                    below(key.clone(), entry.spot, &entry.tree);
                }
            }
            _ => {}
        }
    }

    /// Where the value of a path stands; what it lies in, if it does not stand there itself.
    #[must_use]
    pub fn value(&self, path: &[&str]) -> Place {
        self.nearest(path, |at| at.value)
    }

    /// Where the key of a path stands; what it lies in, if it does not stand there itself.
    #[must_use]
    pub fn key(&self, path: &[&str]) -> Place {
        self.nearest(path, |at| at.key)
    }

    fn nearest(&self, path: &[&str], side: impl Fn(&At) -> Spot) -> Place {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        (1..=path.len())
            .rev()
            .find_map(|length| self.known.get(&path[..length]))
            .map_or(Spot::START, side)
            .in_file(&self.file)
    }

    /// Turns what a schema refuses below `path` into faults of this file.
    #[must_use]
    pub fn settings_faults(&self, path: &[&str], faults: Vec<SettingsFault>) -> Error {
        let fault = |fault: SettingsFault| Fault {
            code: code::SETTINGS_INVALID,
            place: self.pointed(path, &fault.pointer, fault.is_key),
            message: fault.message,
            help: fault.help,
        };
        self.sorted(faults.into_iter().map(fault).collect())
    }

    /// Turns an error of [`crate::interpolate()`] below `path` into a fault of this file; any other
    /// error stays as it is.
    #[must_use]
    pub fn variable_fault(&self, path: &[&str], error: Error) -> Error {
        use crate::problem::Problem;
        let (Error::UnknownVariable { pointer, .. } | Error::BrokenVariable { pointer, .. }) =
            &error
        else {
            return error;
        };
        self.fault_at(
            error.code(),
            self.pointed(path, pointer, false),
            &error.to_string(),
            error.next().unwrap_or_default(),
        )
    }

    fn pointed(&self, path: &[&str], pointer: &str, is_key: bool) -> Place {
        let segments: Vec<String> =
            pointer.split('/').skip(1).map(|s| s.replace("~1", "/").replace("~0", "~")).collect();
        let whole: Vec<&str> =
            path.iter().copied().chain(segments.iter().map(String::as_str)).collect();
        if is_key { self.key(&whole) } else { self.value(&whole) }
    }

    fn fault_at(&self, code: Code, place: Place, message: &str, help: String) -> Error {
        Error::Faults(vec![Fault { code, place, message: message.to_owned(), help }])
    }

    pub(crate) fn sorted(&self, mut faults: Vec<Fault>) -> Error {
        faults.sort_by_key(|fault| (fault.place.line, fault.place.column));
        faults.truncate(crate::error::FAULTS_MAX);
        Error::Faults(faults)
    }
}
