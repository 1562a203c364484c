//! What each error says to a person and to the code that has to act on it.

use model::{Code, Exit, Problem};

use super::Error;

/// The numbers and names of this crate's errors, 350 to 399.
pub const CODES: &[(u16, &str)] = &[
    (350, "tool-not-found"),
    (351, "tool-in-open-directory"),
    (352, "program-not-started"),
    (353, "memory-limit-not-set"),
    (354, "process-input-failed"),
    (355, "process-output-failed"),
    (356, "process-output-held-open"),
    (357, "process-lost"),
    (358, "process-table-unreadable"),
    (359, "survivor-stays"),
    (360, "http-host-not-granted"),
    (361, "http-address-refused"),
    (362, "http-request-malformed"),
    (363, "http-redirect-refused"),
    (364, "http-answer-too-large"),
    (365, "http-deadline-passed"),
    (366, "http-unreachable"),
    (367, "http-authorities-missing"),
    (370, "path-malformed"),
    (371, "path-escapes"),
    (372, "path-read-only"),
    (373, "path-absent"),
    (374, "path-exists"),
    (375, "path-of-wrong-kind"),
    (376, "file-too-large"),
    (377, "directory-too-large"),
    (378, "tree-too-deep"),
    (379, "name-not-text"),
    (380, "path-not-removable"),
    (381, "link-refused"),
    (382, "file-access-failed"),
    (383, "write-not-durable"),
    (384, "directory-not-private"),
    (385, "reading-cancelled"),
    (390, "secret-unavailable"),
    (391, "secret-too-short"),
    (392, "secret-too-long"),
    (395, "places-unknown"),
];

/// What kind of failure an error is, for code that acts on it rather than shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something named does not exist.
    NotFound,
    /// The machine's own rights forbid it.
    Refused,
    /// The other side cannot be reached.
    Unreachable,
    /// The deadline passed.
    TimedOut,
    /// There is something already, or somebody else is at work.
    Conflict,
    /// No room.
    NoSpace,
    /// It is not granted, or beyond a limit of vaultup's own.
    Denied,
    /// What was given cannot be used.
    Malformed,
    /// The caller asked to stop.
    Cancelled,
    /// It ran and failed.
    Failed,
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::ToolNotFound { .. } | Self::Absent { .. } => Kind::NotFound,
            Self::NotPrivate { .. } => Kind::Refused,
            Self::HttpUnreachable { .. } | Self::HttpAuthorities { .. } => Kind::Unreachable,
            Self::HttpDeadline { .. } => Kind::TimedOut,
            Self::Exists { .. } => Kind::Conflict,
            Self::ToolInOpenDirectory { .. }
            | Self::HttpNotGranted { .. }
            | Self::HttpAddressRefused { .. }
            | Self::HttpRedirect { .. }
            | Self::HttpTooLarge { .. }
            | Self::PathEscapes { .. }
            | Self::PathReadOnly { .. }
            | Self::FileTooLarge { .. }
            | Self::TooManyEntries { .. }
            | Self::TreeTooDeep { .. }
            | Self::NotRemovable { .. }
            | Self::LinkRefused { .. } => Kind::Denied,
            Self::HttpMalformed { .. }
            | Self::PathMalformed { .. }
            | Self::WrongKind { .. }
            | Self::NameNotText { .. }
            | Self::SecretUnavailable { .. }
            | Self::SecretTooShort { .. }
            | Self::SecretTooLong { .. }
            | Self::PlacesUnknown { .. } => Kind::Malformed,
            Self::Cancelled { .. } => Kind::Cancelled,
            Self::NotStarted { source, .. }
            | Self::InputFailed { source, .. }
            | Self::OutputFailed { source, .. }
            | Self::FileFailed { source, .. }
            | Self::NotDurable { source, .. } => kind_of(source),
            Self::MemoryLimit { .. }
            | Self::OutputHeldOpen { .. }
            | Self::ProcessLost { .. }
            | Self::ProcessTable { .. }
            | Self::SurvivorStays { .. } => Kind::Failed,
        }
    }
}

impl Problem for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::ToolNotFound { .. } => 350,
            Self::ToolInOpenDirectory { .. } => 351,
            Self::NotStarted { .. } => 352,
            Self::MemoryLimit { .. } => 353,
            Self::InputFailed { .. } => 354,
            Self::OutputFailed { .. } => 355,
            Self::OutputHeldOpen { .. } => 356,
            Self::ProcessLost { .. } => 357,
            Self::ProcessTable { .. } => 358,
            Self::SurvivorStays { .. } => 359,
            Self::HttpNotGranted { .. } => 360,
            Self::HttpAddressRefused { .. } => 361,
            Self::HttpMalformed { .. } => 362,
            Self::HttpRedirect { .. } => 363,
            Self::HttpTooLarge { .. } => 364,
            Self::HttpDeadline { .. } => 365,
            Self::HttpUnreachable { .. } => 366,
            Self::HttpAuthorities { .. } => 367,
            Self::PathMalformed { .. } => 370,
            Self::PathEscapes { .. } => 371,
            Self::PathReadOnly { .. } => 372,
            Self::Absent { .. } => 373,
            Self::Exists { .. } => 374,
            Self::WrongKind { .. } => 375,
            Self::FileTooLarge { .. } => 376,
            Self::TooManyEntries { .. } => 377,
            Self::TreeTooDeep { .. } => 378,
            Self::NameNotText { .. } => 379,
            Self::NotRemovable { .. } => 380,
            Self::LinkRefused { .. } => 381,
            Self::FileFailed { .. } => 382,
            Self::NotDurable { .. } => 383,
            Self::NotPrivate { .. } => 384,
            Self::Cancelled { .. } => 385,
            Self::SecretUnavailable { .. } => 390,
            Self::SecretTooShort { .. } => 391,
            Self::SecretTooLong { .. } => 392,
            Self::PlacesUnknown { .. } => 395,
        })
    }

    fn state(&self) -> Option<String> {
        match self {
            Self::InputFailed { .. } | Self::OutputFailed { .. } => {
                Some("the program was stopped; what it had done until then stays".to_owned())
            }
            Self::OutputHeldOpen { .. } | Self::ProcessLost { .. } => {
                Some("what the program did is not known; nothing of it is believed".to_owned())
            }
            Self::SurvivorStays { .. } => {
                Some("the tool of an earlier run may still be changing things".to_owned())
            }
            Self::NotDurable { .. } => {
                Some("the file may be there after a loss of power, or not".to_owned())
            }
            _ => None,
        }
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::ToolNotFound { program, .. } => {
                format!("install `{program}`, or add its directory to PATH")
            }
            Self::ToolInOpenDirectory { directory, .. } => {
                format!("`chmod o-w {0}`, or take {0} out of PATH", directory.display())
            }
            Self::NotStarted { program, .. } => {
                format!("`ls -l {}` shows whether it is there and executable", program.display())
            }
            Self::SurvivorStays { process_id } => {
                format!("`ps -fp {process_id}` shows what it is; end it, then `vaultup resume`")
            }
            Self::OutputHeldOpen { program } => {
                format!("make {} wait for what it starts", program.display())
            }
            Self::HttpNotGranted { .. } => {
                "write the host into the setting that names it; `vaultup plugin inspect NAME` \
                 shows what a plugin may reach"
                    .to_owned()
            }
            Self::HttpAddressRefused { host, .. } => {
                format!("`getent hosts {host}` shows how the name resolves here")
            }
            Self::HttpAuthorities { .. } => {
                "install the package `ca-certificates`, or set SSL_CERT_FILE".to_owned()
            }
            Self::HttpDeadline { url, .. } | Self::HttpUnreachable { url, .. } => {
                format!("`curl -v {url}` shows what the other side says")
            }
            Self::PathEscapes { path, .. } => {
                format!("`namei -l {}` shows where the links lead", path.display())
            }
            Self::FileFailed { path, source, .. } | Self::NotDurable { path, source } => {
                match kind_of(source) {
                    super::Kind::NoSpace => format!("`df -h {}` shows the room", path.display()),
                    _ => format!("`namei -l {}` shows owners and rights", path.display()),
                }
            }
            Self::NotPrivate { path, .. } => {
                format!("`ls -ld {}`; give it to this user or name another", path.display())
            }
            Self::SecretUnavailable { name, .. } => {
                format!("check where `{name}` comes from in the stack file's [secrets]")
            }
            Self::SecretTooShort { name, .. } | Self::SecretTooLong { name, .. } => {
                format!("give `{name}` another value")
            }
            Self::PlacesUnknown { .. } => "set VAULTUP_HOME or HOME to an absolute path".to_owned(),
            _ => return None,
        })
    }

    fn exit(&self) -> Exit {
        match (self, self.kind()) {
            (Self::ProcessLost { .. }, _) => Exit::Bug,
            (Self::ToolNotFound { .. } | Self::ToolInOpenDirectory { .. }, _) => Exit::BadInput,
            (_, Kind::Malformed) => Exit::BadInput,
            _ => Exit::Failed,
        }
    }
}

fn kind_of(source: &std::io::Error) -> Kind {
    use std::io::ErrorKind;
    match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Kind::NotFound,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Kind::Refused,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Kind::NoSpace
        }
        ErrorKind::AlreadyExists
        | ErrorKind::DirectoryNotEmpty
        | ErrorKind::ResourceBusy
        | ErrorKind::ExecutableFileBusy => Kind::Conflict,
        ErrorKind::TimedOut => Kind::TimedOut,
        _ => Kind::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES, Error, Kind};
    use model::Problem;

    #[test]
    fn every_number_stands_once_within_the_range_and_has_a_name() {
        for pair in CODES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{pair:?}");
        }
        for (number, name) in CODES {
            assert!((350..400).contains(number), "{number}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
        }
    }

    #[test]
    fn the_number_of_an_error_is_in_the_table() {
        let errors = [
            Error::SurvivorStays { process_id: 7 },
            Error::SecretTooShort { name: "a".to_owned(), bytes_min: 4 },
            Error::Absent { path: "/nowhere".into() },
        ];
        for error in errors {
            assert!(CODES.iter().any(|(number, _)| *number == error.code().0), "{error}");
        }
    }

    #[test]
    fn a_full_disk_is_told_from_a_missing_right() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = |source| Error::FileFailed { path: "/a".into(), action: "written", source };
        assert_eq!(error(full).kind(), Kind::NoSpace);
        assert_eq!(error(denied).kind(), Kind::Refused);
    }
}
