//! Who can read the backups.
//!
//! Backups are encrypted to age recipients. Those of the stack file always receive; the identity of
//! this user, when there is one, receives too. Without recipients an X25519 identity is made once,
//! in a file that only this user can read: **whoever loses it loses every backup that was made with
//! it**, so the screen must say when it was made and where. Proving and restoring need the
//! identity; with recipients alone, backups can be made and read back, but not proven beyond that.
//! To have
//! both, call [`Keys::load_or_create`] without recipients first.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::x25519;

use crate::durable;
use crate::error::Error;

/// How many recipients a stack may have: what its file takes, the vault takes as well.
pub use model::stack::RECIPIENTS_MAX;

/// Where the keys came from, for the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysOrigin {
    /// An identity was made now. Say where it lies and that its loss is the loss of the backups.
    Created {
        /// The file.
        identity_file: PathBuf,
        /// Its public key.
        recipient: String,
    },
    /// The identity was there.
    Existing {
        /// The file.
        identity_file: PathBuf,
        /// Its public key.
        recipient: String,
    },
    /// Only the recipients of the stack file can read; this machine cannot prove or restore.
    RecipientsOnly,
    /// There are neither recipients nor an identity, and so no backups.
    Nowhere,
}

/// The keys of a vault. Shows nothing secret when it is printed.
pub struct Keys {
    recipients: Vec<x25519::Recipient>,
    identity: Option<x25519::Identity>,
    identity_file: PathBuf,
}

impl Keys {
    /// Loads the keys, or makes an identity when there are neither recipients nor an identity.
    ///
    /// `recipients` are X25519 public keys as `age-keygen` prints them, `age1…`. Keys of hardware
    /// and hybrid post-quantum kinds are refused: this program could not prove such a backup.
    ///
    /// # Errors
    /// [`Error::Recipient`], [`Error::Exposed`] when others can read or exchange the identity,
    /// [`Error::Identity`] when the file holds none, [`Error::Io`].
    pub fn load_or_create(
        identity_file: &Path,
        recipients: &[String],
    ) -> Result<(Self, KeysOrigin), Error> {
        match Self::load(identity_file, recipients)? {
            (_, KeysOrigin::Nowhere) => {
                let (identity, created) = create(identity_file)?;
                Ok(Self::of(identity_file, Vec::new(), Some(identity), created))
            }
            loaded => Ok(loaded),
        }
    }

    /// Loads the keys that there are, where nothing will be backed up.
    ///
    /// # Errors
    /// As [`Keys::load_or_create`].
    pub fn load(identity_file: &Path, recipients: &[String]) -> Result<(Self, KeysOrigin), Error> {
        if recipients.len() > RECIPIENTS_MAX {
            return Err(Error::TooMuch {
                what: "recipients of backups",
                found: recipients.len() as u64,
                limit: RECIPIENTS_MAX as u64,
            });
        }
        let parsed = recipients.iter().map(|text| recipient(text)).collect::<Result<_, _>>()?;
        Ok(Self::of(identity_file, parsed, load(identity_file)?, false))
    }

    fn of(
        identity_file: &Path,
        mut recipients: Vec<x25519::Recipient>,
        identity: Option<x25519::Identity>,
        created: bool,
    ) -> (Self, KeysOrigin) {
        let identity_file = identity_file.to_owned();
        let own = identity.as_ref().map(x25519::Identity::to_public);
        let origin = match &own {
            None if recipients.is_empty() => KeysOrigin::Nowhere,
            None => KeysOrigin::RecipientsOnly,
            Some(own) => {
                let (identity_file, recipient) = (identity_file.clone(), own.to_string());
                match created {
                    true => KeysOrigin::Created { identity_file, recipient },
                    false => KeysOrigin::Existing { identity_file, recipient },
                }
            }
        };
        recipients.extend(own);
        recipients.sort_by_key(ToString::to_string);
        recipients.dedup_by_key(|one| one.to_string());
        (Self { recipients, identity, identity_file }, origin)
    }

    /// The public keys that new backups are encrypted to, sorted.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        self.recipients.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn encryptor(&self) -> Result<age::Encryptor, age::EncryptError> {
        age::Encryptor::with_recipients(self.recipients.iter().map(|one| one as _))
    }

    pub(crate) fn identity(&self) -> Result<&x25519::Identity, Error> {
        self.identity
            .as_ref()
            .ok_or_else(|| Error::IdentityMissing { identity_file: self.identity_file.clone() })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Keys")
            .field("recipients", &self.recipients())
            .field("identity-file", &self.identity_file)
            .finish_non_exhaustive()
    }
}

fn recipient(text: &str) -> Result<x25519::Recipient, Error> {
    x25519::Recipient::from_str(text).map_err(|reason| Error::Recipient {
        // Somebody may have put the secret half here by mistake: it is never shown.
        text: if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY") {
            "AGE-SECRET-KEY…".to_owned()
        } else {
            text.escape_debug().take(80).collect()
        },
        reason: reason.to_owned(),
    })
}

/// Reads the identity; `None` when there is no such file.
fn load(path: &Path) -> Result<Option<x25519::Identity>, Error> {
    let file = match durable::open_file(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let mode = file.metadata().map_err(Error::with("look at", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path: path.to_owned(), mode: mode & 0o777, wanted: 0o600 });
    }
    durable::private_directory(directory_of(path))?;
    let bytes = durable::read_small(file).map_err(Error::with("read", path))?;
    let unusable = |reason| Error::Identity { identity_file: path.to_owned(), reason };
    let text = str::from_utf8(&bytes).map_err(|_| unusable("it is no text"))?;
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) => x25519::Identity::from_str(line).map(Some).map_err(unusable),
        (None, _) => Err(unusable("it holds no key")),
        (Some(_), Some(_)) => Err(unusable("it holds more than one key")),
    }
}

/// Makes an identity; loads it when another process was quicker. True: it is ours.
///
/// It is written whole under a name that only this key can have, and then linked: a crash leaves
/// no identity or a whole one, and two processes agree on the first.
fn create(path: &Path) -> Result<(x25519::Identity, bool), Error> {
    let directory = durable::private_directory(directory_of(path))?;
    let identity = x25519::Identity::generate();
    let public = identity.to_public().to_string();
    let beside = directory.join(format!(".{public}.new"));
    let secret = identity.to_string();
    let text = format!(
        "# The key of vaultup's backups. Whoever loses it loses the backups: keep a copy.\n\
         # public key: {public}\n{}\n",
        secret.expose_secret()
    );
    durable::write_new(&beside, text.as_bytes()).map_err(Error::with("write", &beside))?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside).map_err(Error::with("remove", &beside))?;
    match linked {
        Ok(()) => {
            durable::sync_directory(&directory).map_err(Error::with("synchronise", &directory))?;
            Ok((identity, true))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match load(path)? {
            Some(identity) => Ok((identity, false)),
            None => Err(Error::IdentityMissing { identity_file: path.to_owned() }),
        },
        Err(error) => Err(Error::io("create", path, error)),
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::{Keys, KeysOrigin, RECIPIENTS_MAX};
    use crate::error::Error;

    fn home() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config/vaultup/identity");
        (home, file)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn an_identity_is_made_once_and_private() {
        let (_home, file) = home();
        let (first, origin) = Keys::load_or_create(&file, &[]).unwrap();
        assert!(matches!(origin, KeysOrigin::Created { .. }));
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        let (second, origin) = Keys::load_or_create(&file, &[]).unwrap();
        assert!(matches!(origin, KeysOrigin::Existing { .. }));
        assert_eq!(first.recipients(), second.recipients());
        let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn where_nothing_is_backed_up_no_identity_is_made_and_one_that_is_there_is_loaded() {
        let (_home, file) = home();
        let (none, origin) = Keys::load(&file, &[]).unwrap();
        assert_eq!((origin, none.recipients()), (KeysOrigin::Nowhere, Vec::new()));
        assert!(!file.exists() && none.encryptor().is_err());
        let (own, _) = Keys::load_or_create(&file, &[]).unwrap();
        let (loaded, origin) = Keys::load(&file, &[]).unwrap();
        assert!(matches!(origin, KeysOrigin::Existing { .. }));
        assert_eq!(loaded.recipients(), own.recipients());
    }

    #[test]
    fn many_at_once_agree_on_one_identity() {
        let (_home, file) = home();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let made: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Keys::load_or_create(&file, &[]).unwrap())).collect();
            made.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let created = |origin: &KeysOrigin| matches!(origin, KeysOrigin::Created { .. });
        assert_eq!(keys.iter().filter(|(_, origin)| created(origin)).count(), 1);
        assert!(keys.iter().all(|(one, _)| one.recipients() == keys[0].0.recipients()));
    }

    #[test]
    fn an_identity_that_others_can_read_is_refused() {
        let (_home, file) = home();
        Keys::load_or_create(&file, &[]).unwrap();
        for wide in [0o640, 0o604, 0o620] {
            set_mode(&file, wide);
            let error = Keys::load_or_create(&file, &[]).unwrap_err();
            assert!(matches!(error, Error::Exposed { wanted: 0o600, .. }), "{error:?}");
        }
        set_mode(&file, 0o400);
        Keys::load_or_create(&file, &[]).unwrap();
    }

    #[test]
    fn a_directory_in_which_others_could_exchange_the_identity_is_refused() {
        let (_home, file) = home();
        Keys::load_or_create(&file, &[]).unwrap();
        set_mode(file.parent().unwrap(), 0o770);
        let error = Keys::load_or_create(&file, &[]).unwrap_err();
        assert!(matches!(error, Error::Exposed { wanted: 0o700, .. }), "{error:?}");
    }

    #[test]
    fn recipients_alone_make_no_identity() {
        let (_home, file) = home();
        let (other, _) = Keys::load_or_create(&file.with_file_name("other"), &[]).unwrap();
        let (keys, origin) = Keys::load_or_create(&file, &other.recipients()).unwrap();
        assert_eq!(origin, KeysOrigin::RecipientsOnly);
        assert!(!file.exists());
        assert!(matches!(keys.identity(), Err(Error::IdentityMissing { .. })));
    }

    #[test]
    fn the_local_identity_receives_beside_the_recipients() {
        let (_home, file) = home();
        let (other, _) = Keys::load_or_create(&file.with_file_name("other"), &[]).unwrap();
        let (own, _) = Keys::load_or_create(&file, &[]).unwrap();
        let twice = [other.recipients(), other.recipients(), own.recipients()].concat();
        let (both, _) = Keys::load_or_create(&file, &twice).unwrap();
        let mut expected = [other.recipients(), own.recipients()].concat();
        expected.sort();
        assert_eq!(both.recipients(), expected);
    }

    #[test]
    fn what_is_no_identity_is_refused_and_left_alone() {
        let (_home, file) = home();
        Keys::load_or_create(&file, &[]).unwrap();
        let good = fs::read_to_string(&file).unwrap();
        for bad in ["", "# only a comment\n", "hello", &good[..good.len() - 5], &good.repeat(2)] {
            fs::write(&file, bad).unwrap();
            let error = Keys::load_or_create(&file, &[]).unwrap_err();
            assert!(matches!(error, Error::Identity { .. }), "{bad:?}: {error:?}");
            assert_eq!(fs::read_to_string(&file).unwrap(), bad);
        }
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_secret() {
        let (_home, file) = home();
        let (keys, origin) = Keys::load_or_create(&file, &[]).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let secret = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).unwrap();
        assert!(!format!("{keys:?} {origin:?}").contains("AGE-SECRET-KEY-1"));
        for wrong in [secret.to_owned(), secret.to_lowercase()] {
            let error = Keys::load_or_create(&file, &[wrong]).unwrap_err();
            assert!(!format!("{error} {error:?}").to_uppercase().contains("SECRET-KEY-1"));
        }
    }

    #[test]
    fn thirty_two_recipients_are_taken_and_one_more_is_not() {
        let (_home, file) = home();
        let (own, _) = Keys::load_or_create(&file, &[]).unwrap();
        let many = |count: usize| vec![own.recipients()[0].clone(); count];
        Keys::load_or_create(&file, &many(RECIPIENTS_MAX)).unwrap();
        let error = Keys::load_or_create(&file, &many(RECIPIENTS_MAX + 1)).unwrap_err();
        assert!(matches!(error, Error::TooMuch { .. }));
    }

    #[test]
    fn other_kinds_of_recipients_are_refused_by_name() {
        let (_home, file) = home();
        for text in ["", "age1", "ssh-ed25519 AAAA", "age1tagpq1qqqq", "age1yubikey1qqqq"] {
            let error = Keys::load_or_create(&file, &[text.to_owned()]).unwrap_err();
            assert!(matches!(error, Error::Recipient { .. }), "{text}: {error:?}");
        }
    }
}
