//! What can be wrong with files that people write.
//!
//! A file is read to its end: [`Error::Faults`] holds everything that is wrong with it, so that a
//! person corrects it once. The first fault, by place, gives the error its code.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manifest::ContractVersion;
use crate::name::Name;
use crate::problem::{Code, Exit, Place, Problem};

/// The most faults of one file that are kept; after so many, the first are what matters.
pub const FAULTS_MAX: usize = 100;

/// The numbers of this crate's errors. Each has a page: `vaultup explain VU0003`.
pub mod code {
    use crate::problem::Code;

    /// A file is larger than anything that people write.
    pub const FILE_TOO_LARGE: Code = Code(1);
    /// It is no TOML.
    pub const SYNTAX: Code = Code(2);
    /// A key that nobody knows.
    pub const UNKNOWN_KEY: Code = Code(3);
    /// A key that must be there is not.
    pub const MISSING_KEY: Code = Code(4);
    /// A text where a number is expected, and the like.
    pub const WRONG_TYPE: Code = Code(5);
    /// The right type, but not such a value.
    pub const WRONG_VALUE: Code = Code(6);
    /// `format` is not one that this vaultup reads.
    pub const FORMAT_UNSUPPORTED: Code = Code(7);
    /// One name for two things.
    pub const DUPLICATE_NAME: Code = Code(8);
    /// A name that nothing has.
    pub const UNKNOWN_NAME: Code = Code(9);
    /// Components that need each other in a circle.
    pub const CIRCULAR_NEEDS: Code = Code(10);
    /// Waves that do not grow to everything.
    pub const WAVES: Code = Code(11);
    /// A secret that is not declared.
    pub const UNKNOWN_SECRET: Code = Code(12);
    /// `${…}` with a name that has no value.
    pub const UNKNOWN_VARIABLE: Code = Code(13);
    /// `${` that does not end, or too much of it.
    pub const BROKEN_VARIABLE: Code = Code(14);
    /// Settings that the plugin's schema refuses.
    pub const SETTINGS_INVALID: Code = Code(15);
    /// A `--set` that cannot be understood.
    pub const FLAG_INVALID: Code = Code(16);
    /// Keys of which exactly one must be there.
    pub const ONE_OF: Code = Code(17);
    /// A stack without a component or datastore.
    pub const EMPTY_STACK: Code = Code(18);
    /// A release that speaks of what the stack does not have.
    pub const RELEASE_DOES_NOT_FIT: Code = Code(19);
    /// More of something than the limit.
    pub const TOO_MANY: Code = Code(20);
    /// A grant in the lock that does not belong to the needs beside it.
    pub const LOCK_EDITED: Code = Code(21);

    /// A plugin that needs a newer contract.
    pub const CONTRACT_TOO_NEW: Code = Code(100);
    /// A plugin that was made for another major version of the contract.
    pub const CONTRACT_OTHER_MAJOR: Code = Code(101);
    /// An element of an argument pattern that cannot be understood.
    pub const PATTERN_INVALID: Code = Code(102);
    /// A pattern whose program is not under `[[tools]]`.
    pub const TOOL_UNDECLARED: Code = Code(103);
    /// A `read` pattern that takes text which the plugin makes up.
    pub const READ_TAKES_FREE_TEXT: Code = Code(104);
    /// A settings schema that is no JSON Schema, or one that could hang.
    pub const SCHEMA_INVALID: Code = Code(105);
    /// An environment variable that no plugin may set.
    pub const ENVIRONMENT_FORBIDDEN: Code = Code(106);
    /// A setting named by a need that the schema does not have.
    pub const SETTING_NOT_IN_SCHEMA: Code = Code(107);
    /// A `literal` placeholder in a manifest without literals.
    pub const LITERAL_MISSING: Code = Code(108);
}

/// Every error of this crate: number and name.
pub const CODES: &[(u16, &str)] = &[
    (1, "file-too-large"),
    (2, "syntax"),
    (3, "unknown-key"),
    (4, "missing-key"),
    (5, "wrong-type"),
    (6, "wrong-value"),
    (7, "format-unsupported"),
    (8, "duplicate-name"),
    (9, "unknown-name"),
    (10, "circular-needs"),
    (11, "waves"),
    (12, "unknown-secret"),
    (13, "unknown-variable"),
    (14, "broken-variable"),
    (15, "settings-invalid"),
    (16, "flag-invalid"),
    (17, "one-of"),
    (18, "empty-stack"),
    (19, "release-does-not-fit"),
    (20, "too-many"),
    (21, "lock-edited"),
    (100, "contract-too-new"),
    (101, "contract-other-major"),
    (102, "pattern-invalid"),
    (103, "tool-undeclared"),
    (104, "read-takes-free-text"),
    (105, "schema-invalid"),
    (106, "environment-forbidden"),
    (107, "setting-not-in-schema"),
    (108, "literal-missing"),
];

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// Which error.
    pub code: Code,
    /// Where.
    pub place: Place,
    /// A lower-case sentence: what is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// What can be wrong with what people write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file with at least one fault, sorted by place.
    #[error("{}", Listed(.0))]
    Faults(Vec<Fault>),

    /// A plugin needs a newer contract than this host offers.
    #[error(
        "plugin `{plugin}` {version} needs contract {needed}, and this vaultup offers {offered}"
    )]
    ContractTooNew {
        /// The plugin.
        plugin: Name,
        /// Its version.
        version: semver::Version,
        /// The contract that it needs.
        needed: ContractVersion,
        /// The contract that is offered.
        offered: ContractVersion,
    },

    /// A plugin was made for another major version of the contract.
    #[error(
        "plugin `{plugin}` {version} was made for contract {needed}, and this vaultup offers \
         {offered}: their major versions differ"
    )]
    ContractOtherMajor {
        /// The plugin.
        plugin: Name,
        /// Its version.
        version: semver::Version,
        /// The contract that it needs.
        needed: ContractVersion,
        /// The contract that is offered.
        offered: ContractVersion,
    },

    /// `${…}` with a name that has no value.
    #[error("`${{{name}}}` has no value here")]
    UnknownVariable {
        /// The name, escaped and cut.
        name: String,
        /// JSON pointer to the text within the value that was interpolated.
        pointer: String,
        /// The nearest known name and all of them.
        help: String,
    },

    /// `${` without `}`, or a text that grows past the limit.
    #[error("{reason}")]
    BrokenVariable {
        /// JSON pointer to the text within the value that was interpolated.
        pointer: String,
        /// A sentence.
        reason: String,
    },
}

/// Shows the first fault and, below it, the others with their places.
struct Listed<'a>(&'a [Fault]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.0.split_first() else {
            return formatter.write_str("the file cannot be used");
        };
        formatter.write_str(&first.message)?;
        for fault in others {
            write!(formatter, "\n  {}: {}", fault.place, fault.message)?;
            if !fault.help.is_empty() {
                write!(formatter, " ({})", fault.help)?;
            }
        }
        Ok(())
    }
}

impl Error {
    /// The same error of a value that lies deeper, below this JSON pointer.
    pub(crate) fn below(mut self, above: &str) -> Self {
        if let Self::UnknownVariable { pointer, .. } | Self::BrokenVariable { pointer, .. } =
            &mut self
        {
            pointer.insert_str(0, above);
        }
        self
    }

    /// The faults of a file; empty for an error that is not about a file.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Faults(faults) => faults,
            _ => &[],
        }
    }
}

impl Problem for Error {
    fn code(&self) -> Code {
        match self {
            Self::Faults(faults) => faults.first().map_or(code::SYNTAX, |fault| fault.code),
            Self::ContractTooNew { .. } => code::CONTRACT_TOO_NEW,
            Self::ContractOtherMajor { .. } => code::CONTRACT_OTHER_MAJOR,
            Self::UnknownVariable { .. } => code::UNKNOWN_VARIABLE,
            Self::BrokenVariable { .. } => code::BROKEN_VARIABLE,
        }
    }

    fn place(&self) -> Option<Place> {
        self.faults().first().map(|fault| fault.place.clone())
    }

    fn next(&self) -> Option<String> {
        let text = match self {
            Self::Faults(faults) => faults.first().map_or(String::new(), |f| f.help.clone()),
            Self::ContractTooNew { plugin, .. } => format!(
                "install a newer vaultup, or an older plugin from its file: `vaultup plugin add \
                 ./{plugin}.wasm`"
            ),
            Self::ContractOtherMajor { plugin, .. } => format!(
                "get the plugin as it is made for this vaultup: `vaultup plugin add \
                 ./{plugin}.wasm`"
            ),
            Self::UnknownVariable { help, .. } => help.clone(),
            Self::BrokenVariable { .. } => {
                "close it with `}`, or write `$${` for the characters themselves".to_owned()
            }
        };
        (!text.is_empty()).then_some(text)
    }

    fn exit(&self) -> Exit {
        Exit::BadInput
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CODES;

    #[test]
    fn every_code_lies_in_this_crates_ranges_and_is_used_once() {
        let numbers: BTreeSet<u16> = CODES.iter().map(|(number, _)| *number).collect();
        let names: BTreeSet<&str> = CODES.iter().map(|(_, name)| *name).collect();
        assert_eq!(numbers.len(), CODES.len());
        assert_eq!(names.len(), CODES.len());
        assert!(numbers.iter().all(|n| (1..=99).contains(n) || (100..=109).contains(n)));
    }
}
