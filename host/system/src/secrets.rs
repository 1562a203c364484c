//! Secrets: had from where the operator keeps them, usable, and not shown.
//!
//! Threats: a value in an error, a log or a `{:?}`; a value that stays in freed memory; a file
//! with a secret that is left behind by a killed process, or that another user can read.
//!
//! Invariants: [`Secret`] has neither `Display` nor `Serialize`, its `Debug` gives the name only,
//! it cannot be cloned, and its bytes are wiped when it goes. Nothing here prints what a secret's
//! command wrote.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::stack::SecretSource;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::process::{self, Command, Input, Output, OutputLimits};
pub use crate::redact::{SECRET_BYTES_MAX, SECRET_BYTES_MIN};

mod file;

pub use file::{SecretFile, short_lived_file, sweep};

/// How long a secret's command may take: long enough for a person to type a passphrase.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// A secret and its name.
pub struct Secret {
    name: String,
    value: Zeroizing<Vec<u8>>,
}

impl Secret {
    /// A secret with this value.
    ///
    /// # Errors
    /// [`Error::SecretTooShort`] and [`Error::SecretTooLong`]: what cannot be blotted out is not
    /// used.
    pub fn new(name: &str, value: Vec<u8>) -> Result<Self, Error> {
        let value = Zeroizing::new(value);
        let name = name.to_owned();
        if value.len() < SECRET_BYTES_MIN {
            return Err(Error::SecretTooShort { name, bytes_min: SECRET_BYTES_MIN });
        }
        if value.len() > SECRET_BYTES_MAX {
            return Err(Error::SecretTooLong { name, bytes_max: SECRET_BYTES_MAX });
        }
        Ok(Self { name, value })
    }

    /// Its name in the stack file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value. For an environment variable, standard input, a header or a private file; never
    /// for an argument, a log or a plugin.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.value
    }

    /// Its value as that of an environment variable.
    ///
    /// # Errors
    /// [`Error::SecretUnavailable`] when it contains a NUL, which no variable can.
    pub fn expose_variable(&self) -> Result<OsString, Error> {
        if self.value.contains(&0) {
            return Err(unavailable(&self.name, "it contains a NUL and fits into no variable"));
        }
        Ok(OsString::from_vec(self.value.to_vec()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{secret:{}}}", self.name)
    }
}

/// What secrets are looked up in.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Directory of the stack file: files and commands are relative to it.
    pub directory: &'a Path,
    /// The environment of vaultup itself, which also the commands get: they are the operator's
    /// own and need the operator's agent, home and display.
    pub environment: &'a BTreeMap<OsString, OsString>,
}

/// A secret that was found, and what the operator should know about where it lies.
#[derive(Debug)]
pub struct Found {
    /// The secret.
    pub secret: Secret,
    /// A sentence for the operator.
    pub warning: Option<String>,
}

/// Finds the secret of this name.
///
/// # Errors
/// [`Error::SecretUnavailable`] with the reason; [`Error::SecretTooShort`] (an empty one, too) and
/// [`Error::SecretTooLong`].
pub async fn find(
    name: &str,
    source: &SecretSource,
    surroundings: Surroundings<'_>,
) -> Result<Found, Error> {
    match source {
        SecretSource::Env(variable) => {
            let value = surroundings.environment.get(OsStr::new(variable));
            let unset = || unavailable(name, &format!("variable {variable} is not set"));
            let value = value.ok_or_else(unset)?.as_bytes().to_vec();
            Ok(Found { secret: Secret::new(name, value)?, warning: None })
        }
        SecretSource::File(path) => from_file(name, &surroundings.directory.join(path)),
        SecretSource::Command(command) => from_command(name, command, surroundings).await,
    }
}

fn from_file(name: &str, path: &Path) -> Result<Found, Error> {
    let failed = |source: io::Error| {
        unavailable(name, &format!("{} cannot be read: {source}", path.display()))
    };
    let found = std::fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(unavailable(name, &format!("{} is not a file", path.display())));
    }
    let mut value = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 3));
    let file = File::open(path).map_err(failed)?;
    file.take(SECRET_BYTES_MAX as u64 + 3).read_to_end(&mut value).map_err(failed)?;
    let open = found.mode() & 0o077 != 0;
    let warning = open.then(|| {
        let path = path.display();
        format!("secret `{name}`: other users can read {path}; `chmod go= {path}`")
    });
    Ok(Found { secret: Secret::new(name, without_line_end(&value))?, warning })
}

async fn from_command(
    name: &str,
    command: &[String],
    surroundings: Surroundings<'_>,
) -> Result<Found, Error> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| unavailable(name, "its command is empty"))?;
    let search_path = surroundings.environment.get(OsStr::new("PATH")).cloned();
    let resolved = process::resolve(
        OsStr::new(program),
        surroundings.directory,
        &search_path.unwrap_or_default(),
    )?;
    let kept = Kept::default();
    let finished = process::spawn(Command {
        program: resolved,
        arguments: arguments.iter().map(OsString::from).collect(),
        environment: surroundings.environment.clone(),
        directory: surroundings.directory.to_owned(),
        input: Input::Empty,
        output: Output::Writer(Box::new(kept.clone())),
        deadline: COMMAND_DEADLINE,
        limits: OutputLimits::CONTRACT,
        memory_bytes_max: None,
        label: format!("secret.{name}"),
    })?
    .finish()
    .await;
    let finished = match finished {
        Err(Error::OutputFailed { .. }) => {
            return Err(Error::SecretTooLong {
                name: name.to_owned(),
                bytes_max: SECRET_BYTES_MAX,
            });
        }
        result => result?,
    };
    if !finished.succeeded() {
        // What it wrote is not shown: half of the secret may be in it.
        let reason = format!("`{program}` {}; run it by hand to see why", finished.exit);
        return Err(unavailable(name, &reason));
    }
    let value = kept.take();
    Ok(Found { secret: Secret::new(name, without_line_end(&value))?, warning: None })
}

/// Keeps a little of what is written, and refuses more.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Zeroizing<Vec<u8>>>>);

impl Kept {
    fn take(&self) -> Zeroizing<Vec<u8>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Two more for a line end, which is dropped.
        if kept.len() + bytes.len() > SECRET_BYTES_MAX + 2 {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        // All at once, so that growing leaves no copy behind.
        kept.reserve_exact(SECRET_BYTES_MAX + 2);
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line end at the end is an editor's, not the secret's.
fn without_line_end(value: &[u8]) -> Vec<u8> {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value).to_vec()
}

fn unavailable(name: &str, reason: &str) -> Error {
    Error::SecretUnavailable { name: name.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{Error, Found, SECRET_BYTES_MAX, Secret, Surroundings, find};
    use model::stack::SecretSource;
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    async fn found(source: SecretSource, directory: &Path) -> Result<Found, Error> {
        let environment: BTreeMap<OsString, OsString> = [
            ("TOKEN".into(), "hunter22".into()),
            ("EMPTY".into(), "".into()),
            ("PATH".into(), "/usr/bin:/bin".into()),
        ]
        .into();
        find("db", &source, Surroundings { directory, environment: &environment }).await
    }

    fn command(script: &str) -> SecretSource {
        SecretSource::Command(vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()])
    }

    #[tokio::test]
    async fn a_secret_comes_from_the_environment_that_was_given() {
        let scratch = tempfile::tempdir().unwrap();
        let secret = found(SecretSource::Env("TOKEN".into()), scratch.path()).await.unwrap();
        assert_eq!(secret.secret.expose(), b"hunter22");
        for (variable, said) in [("HOME", "HOME is not set"), ("EMPTY", "shorter than 4 bytes")] {
            let error = found(SecretSource::Env(variable.into()), scratch.path()).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_loses_one_line_end_and_is_warned_of_when_others_can_read_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("token");
        fs::write(&path, "hunter22\n\r\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let private = found(SecretSource::File("token".into()), scratch.path()).await.unwrap();
        assert_eq!(private.secret.expose(), b"hunter22\n");
        assert_eq!(private.warning, None);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let open = found(SecretSource::File("token".into()), scratch.path()).await.unwrap();
        assert!(open.warning.unwrap().contains("chmod go="));
    }

    #[tokio::test]
    async fn a_file_at_the_limit_is_read_and_one_byte_more_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("token");
        fs::write(&path, vec![b'x'; SECRET_BYTES_MAX]).unwrap();
        found(SecretSource::File("token".into()), scratch.path()).await.unwrap();
        fs::write(&path, vec![b'x'; SECRET_BYTES_MAX + 1]).unwrap();
        let error = found(SecretSource::File("token".into()), scratch.path()).await.unwrap_err();
        assert!(matches!(error, Error::SecretTooLong { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_directory_or_nothing_is_no_secret() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["", "nothing"] {
            let error = found(SecretSource::File(name.into()), scratch.path()).await.unwrap_err();
            assert!(matches!(error, Error::SecretUnavailable { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_command_says_a_secret_with_the_operators_environment() {
        let scratch = tempfile::tempdir().unwrap();
        let secret = found(command("echo \"$TOKEN-x\""), scratch.path()).await.unwrap().secret;
        assert_eq!(secret.expose(), b"hunter22-x");
    }

    #[tokio::test]
    async fn a_command_that_fails_or_says_too_much_gives_no_secret_and_shows_none() {
        let scratch = tempfile::tempdir().unwrap();
        let script = command("echo half-a-secret; echo half-a-secret >&2; exit 3");
        let error = found(script, scratch.path()).await.unwrap_err();
        assert!(error.to_string().contains("exited with status 3"), "{error}");
        assert!(!format!("{error} {error:?}").contains("half-a-secret"), "{error:?}");
        let error = found(command("head -c 70000 /dev/zero"), scratch.path()).await.unwrap_err();
        assert!(matches!(error, Error::SecretTooLong { .. }), "{error}");
    }

    #[test]
    fn a_secret_shows_its_name_only() {
        let secret = Secret::new("db", b"hunter22".to_vec()).unwrap();
        assert_eq!(format!("{secret:?}"), "{secret:db}");
        assert_eq!(secret.expose_variable().unwrap(), "hunter22");
        Secret::new("db", b"nul\0inside".to_vec()).unwrap().expose_variable().unwrap_err();
    }
}
