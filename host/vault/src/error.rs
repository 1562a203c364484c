//! What can go wrong with backups, each with what to do next.
//!
//! Damage is told apart from failure: [`Error::Damaged`] says that the bytes on disk are not what
//! was backed up, everything else says that something could not be done.

use std::io;
use std::path::{Path, PathBuf};

use model::contract::ProofLevel;
use model::{Code, Exit, Problem};

use crate::name::SetId;
use crate::record::Digest;

/// Why something could not be done with a backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name could be a path trick, or is too long.
    #[error(
        "`{text}` cannot name a {what}: use 1 to 63 of a-z, 0-9, `.`, `_` and `-`, beginning with \
         a letter or digit"
    )]
    Name {
        /// `backup set`, `datastore` or `artifact`.
        what: &'static str,
        /// What was given, shortened and escaped.
        text: String,
    },
    /// A published set has this id.
    #[error("backup set {set} exists already")]
    SetExists {
        /// Its id.
        set: SetId,
    },
    /// A crash left a set with this id half written.
    #[error("backup set {set} was begun and never finished")]
    Unfinished {
        /// Its id.
        set: SetId,
    },
    /// Somebody holds the set open for writing.
    #[error("backup set {set} is being written")]
    BeingWritten {
        /// Its id.
        set: SetId,
    },
    /// No set has this id.
    #[error("there is no backup set {set} in {}", root.display())]
    NoSet {
        /// The id that was asked for.
        set: SetId,
        /// Where was looked.
        root: PathBuf,
    },
    /// The set exists, but holds no such thing.
    #[error("backup set {set} holds no {what}")]
    NotInSet {
        /// Its id.
        set: SetId,
        /// What it does not hold, for example "datastore `orders`".
        what: String,
    },
    /// What lies on disk is not what was backed up.
    #[error("backup set {set} is damaged: {what}: {damage}")]
    Damaged {
        /// Its id, or the name of its directory.
        set: String,
        /// The file within the set.
        what: String,
        /// How it shows.
        damage: Damage,
    },
    /// No room.
    #[error("{} has no room{}", path.display(), room(*needed_bytes, *available_bytes))]
    NoSpace {
        /// The file or directory that was written.
        path: PathBuf,
        /// Bytes that were to be written, where known.
        needed_bytes: Option<u64>,
        /// Bytes that are free, where known.
        available_bytes: Option<u64>,
    },
    /// The key that reads backups is not here.
    #[error("the identity that decrypts backups is missing: {}", identity_file.display())]
    IdentityMissing {
        /// Where it was looked for.
        identity_file: PathBuf,
    },
    /// The identity file cannot be used.
    #[error("{} is not an identity that vaultup can use: {reason}", identity_file.display())]
    Identity {
        /// The file.
        identity_file: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// Others can read or replace what must be private.
    #[error(
        "{} has mode {mode:03o}: others could {}",
        path.display(),
        if *mode & 0o022 == 0 { "read it" } else { "change it" }
    )]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits that are right.
        wanted: u32,
    },
    /// A recipient of the stack file cannot be used.
    #[error("`{text}` is not a recipient that vaultup can encrypt to: {reason}")]
    Recipient {
        /// What was given, shortened.
        text: String,
        /// Why not.
        reason: String,
    },
    /// The identity does not belong to the set.
    #[error("backup set {set} was encrypted to another key than the one of this identity file")]
    WrongKey {
        /// Its id.
        set: SetId,
        /// The recipients that it was encrypted to.
        recipients: Vec<String>,
    },
    /// A backup without content is not a backup.
    #[error("`{datastore}` gave nothing to back up as `{artifact}`: 0 bytes")]
    Empty {
        /// The datastore.
        datastore: String,
        /// The artifact.
        artifact: String,
    },
    /// What was to be published is not what was written.
    #[error("backup set {set} cannot be published: {reason}")]
    NotPublishable {
        /// Its id.
        set: SetId,
        /// What is missing, unfinished or different.
        reason: String,
    },
    /// The medium gave back other bytes than were written.
    #[error(
        "{} read back differently from what was written: wrote {wrote}, read {read}",
        path.display()
    )]
    ReadBack {
        /// The file.
        path: PathBuf,
        /// Digest of what was written.
        wrote: Digest,
        /// Digest of what was read.
        read: Digest,
    },
    /// The proof that was asked for is not recorded.
    #[error(
        "the backup of `{datastore}` in set {set} is proven at level {reached}, and level {wanted} \
         is needed"
    )]
    NotProven {
        /// The set.
        set: SetId,
        /// The datastore.
        datastore: String,
        /// The best recorded level.
        reached: ProofLevel,
        /// The level that was asked for.
        wanted: ProofLevel,
    },
    /// The set belongs to something else.
    #[error("backup set {set} is of {what} `{found}`, not of `{wanted}`")]
    Foreign {
        /// The set.
        set: SetId,
        /// `run`, `stack` or `purpose`.
        what: &'static str,
        /// What the set says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// A proof shows other figures than the backup recorded.
    #[error("the proof of `{datastore}` in set {set} shows other data: {difference}")]
    Figures {
        /// The set.
        set: SetId,
        /// The datastore.
        datastore: String,
        /// Which figure differs, and how.
        difference: String,
    },
    /// A proof says that every byte was read, and this process did not see it.
    #[error(
        "a proof of level 2 or 3 was given for `{datastore}` in set {set}, but `{artifact}` was \
         not read to its end"
    )]
    NotRead {
        /// The set.
        set: SetId,
        /// The datastore.
        datastore: String,
        /// The artifact.
        artifact: String,
    },
    /// A newer vaultup wrote this.
    #[error("{} has format {found}; this vaultup reads format 1", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format that it says it has.
        found: u32,
    },
    /// Something is larger than the vault takes.
    #[error("{what}: {found} exceeds the limit of {limit}")]
    TooMuch {
        /// What is limited.
        what: &'static str,
        /// How much it was.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The file system refused.
    #[error("cannot {act} {}", path.display())]
    Io {
        /// What was tried, for example `write`.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// Compression or encryption failed while writing; the artifact is discarded.
    #[error("cannot {act} the backup of {}", path.display())]
    Pipeline {
        /// What was tried, for example `compress`.
        act: &'static str,
        /// The artifact's file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How damage shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file is not there.
    #[error("it is missing")]
    Missing,
    /// The file is shorter or longer than recorded.
    #[error("it has {found} bytes, and {expected} were recorded")]
    Length {
        /// Recorded bytes.
        expected: u64,
        /// Bytes on disk.
        found: u64,
    },
    /// The stored bytes are not the recorded ones.
    #[error("its stored bytes have hash {found}, and {expected} was recorded")]
    Stored {
        /// The recorded hash.
        expected: Digest,
        /// The hash of what lies on disk.
        found: Digest,
    },
    /// The encryption does not authenticate.
    #[error("it cannot be decrypted: {0}")]
    Encryption(String),
    /// The compressed stream cannot be read.
    #[error("it cannot be decompressed: {0}")]
    Compression(String),
    /// The content is not the recorded one.
    #[error("its content is not what was backed up")]
    Content,
    /// A record is not what was written.
    #[error("{0}")]
    Record(String),
}

/// Every error code of this crate, with its kebab-case name.
pub const CODES: &[(u16, &str)] = &[
    (300, "backup-name"),
    (301, "backup-set-exists"),
    (302, "backup-set-unfinished"),
    (303, "backup-set-being-written"),
    (304, "backup-set-not-found"),
    (305, "backup-part-not-found"),
    (306, "backup-damaged"),
    (307, "backup-no-space"),
    (308, "identity-missing"),
    (309, "identity-unusable"),
    (310, "permissions-too-wide"),
    (311, "recipient-unusable"),
    (312, "identity-wrong"),
    (313, "backup-empty"),
    (314, "backup-not-publishable"),
    (315, "backup-read-back-differs"),
    (316, "backup-not-proven"),
    (317, "backup-foreign"),
    (318, "proof-figures-differ"),
    (319, "proof-without-reading"),
    (320, "backup-format-newer"),
    (321, "backup-limit"),
    (322, "backup-io"),
    (323, "backup-pipeline"),
];

impl Problem for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Name { .. } => 300,
            Self::SetExists { .. } => 301,
            Self::Unfinished { .. } => 302,
            Self::BeingWritten { .. } => 303,
            Self::NoSet { .. } => 304,
            Self::NotInSet { .. } => 305,
            Self::Damaged { .. } => 306,
            Self::NoSpace { .. } => 307,
            Self::IdentityMissing { .. } => 308,
            Self::Identity { .. } => 309,
            Self::Exposed { .. } => 310,
            Self::Recipient { .. } => 311,
            Self::WrongKey { .. } => 312,
            Self::Empty { .. } => 313,
            Self::NotPublishable { .. } => 314,
            Self::ReadBack { .. } => 315,
            Self::NotProven { .. } => 316,
            Self::Foreign { .. } => 317,
            Self::Figures { .. } => 318,
            Self::NotRead { .. } => 319,
            Self::NewerFormat { .. } => 320,
            Self::TooMuch { .. } => 321,
            Self::Io { .. } => 322,
            Self::Pipeline { .. } => 323,
        })
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::Name { what, .. } => format!("give the {what} another name"),
            Self::SetExists { set } => format!("`vaultup backup list` shows {set}; use another id"),
            Self::Unfinished { .. } | Self::BeingWritten { .. } => {
                "`vaultup status` says whether a run still writes it; `vaultup resume` goes on"
                    .into()
            }
            Self::NoSet { .. } | Self::NotInSet { .. } | Self::Foreign { .. } => {
                "`vaultup backup list` shows what there is".into()
            }
            Self::Damaged { .. } => "`vaultup backup list` shows the other sets; this one is kept \
                 as it is and never restored from"
                .into(),
            Self::NoSpace { .. } => {
                "`vaultup backup prune` removes sets that are no longer needed; or make room".into()
            }
            Self::IdentityMissing { identity_file } => format!(
                "put the identity that made the backups back at {}, with mode 0600",
                identity_file.display()
            ),
            Self::Identity { identity_file, .. } => {
                format!("restore {} from a copy; do not delete it", identity_file.display())
            }
            Self::Exposed { path, wanted, .. } => format!("chmod {wanted:o} {}", path.display()),
            Self::Recipient { .. } => {
                "use recipients as `age-keygen -y` prints them: age1… (X25519)".into()
            }
            Self::WrongKey { recipients, .. } => {
                format!("use the identity of one of: {}", recipients.join(", "))
            }
            Self::Empty { .. } | Self::NotPublishable { .. } | Self::Pipeline { .. } => {
                "`vaultup backup create` takes a new one".into()
            }
            Self::ReadBack { .. } => "check the disk, then `vaultup backup create`".into(),
            Self::NotProven { set, .. } | Self::NotRead { set, .. } => {
                format!("`vaultup backup prove {set}`")
            }
            Self::Figures { .. } => "do not restore from it; `vaultup backup create` takes a new \
                 one"
            .into(),
            Self::NewerFormat { .. } => "use the vaultup that wrote it, or a newer one".into(),
            Self::TooMuch { .. } => "split what is backed up into several datastores".into(),
            Self::Io { path, .. } => {
                format!("check that {} can be read and written", path.display())
            }
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Name { .. }
            | Self::NoSet { .. }
            | Self::NotInSet { .. }
            | Self::Recipient { .. } => Exit::BadInput,
            _ => Exit::Failed,
        }
    }
}

impl Error {
    /// The file system's refusal, told apart from a full disk and from an error of this crate that
    /// only passed through an [`io::Error`].
    pub(crate) fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        let source = match Self::from_io(source) {
            Ok(error) => return error,
            Err(source) => source,
        };
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace {
                path: path.to_owned(),
                needed_bytes: None,
                available_bytes: crate::durable::available_bytes(path).ok(),
            },
            _ => Self::Io { act, path: path.to_owned(), source },
        }
    }

    /// For `map_err`.
    pub(crate) fn with(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::io(act, path, source)
    }

    /// A set that was made at another time, by another run or for another purpose.
    pub(crate) fn foreign(set: &SetId, what: &'static str, found: &str, wanted: &str) -> Self {
        Self::Foreign { set: set.clone(), what, found: found.to_owned(), wanted: wanted.to_owned() }
    }

    /// As an [`io::Error`] whose inner error is this one; [`Error::from_io`] takes it out again.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::NoSpace { .. } => io::ErrorKind::StorageFull,
            Self::Io { source, .. } => source.kind(),
            Self::Pipeline { .. } => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }

    /// Takes the vault's own error out of an [`io::Error`] that an [`crate::ArtifactReader`] or
    /// [`crate::ArtifactWriter`] gave.
    ///
    /// # Errors
    /// Gives the error back when it holds none.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}

fn room(needed_bytes: Option<u64>, available_bytes: Option<u64>) -> String {
    match (needed_bytes, available_bytes) {
        (Some(needed), Some(available)) => {
            format!(": {needed} bytes are needed, {available} are free")
        }
        (Some(needed), None) => format!(": {needed} bytes are needed"),
        (None, Some(available)) => format!(": {available} bytes are free"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn every_variant_has_one_code_and_every_code_a_name() {
        let arms = include_str!("error.rs").lines().filter_map(|line| {
            let (variant, code) = line.trim().strip_prefix("Self::")?.split_once(" { .. } => ")?;
            Some((variant, code.strip_suffix(',')?.parse::<u16>().ok()?))
        });
        let arms: Vec<(&str, u16)> = arms.collect();
        let codes: Vec<u16> = arms.iter().map(|(_, code)| *code).collect();
        let listed: Vec<u16> = CODES.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, listed);
        assert_eq!(codes, (300..300 + codes.len() as u16).collect::<Vec<_>>());
        let mut names: Vec<&str> = CODES.iter().map(|(_, name)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CODES.len());
    }
}
