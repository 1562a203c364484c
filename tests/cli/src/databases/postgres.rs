//! A PostgreSQL server in a folder, run by an unprivileged user.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use super::scripts;
use crate::shop::free_port;

/// How long a server may take to answer, on a machine that has other work to do.
const START: Duration = Duration::from_secs(60);
/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(20);
/// The role that is the cluster's superuser.
const SUPERUSER: &str = "postgres";
/// The password of every role that a test makes.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A server. It is killed, and its folder removed, when it is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    programs: PathBuf,
    server: PathBuf,
    folder: TempDir,
    port: u16,
    user: Option<(u32, u32)>,
    process: Option<Child>,
}

impl PostgresServer {
    /// Installs what is missing, makes a cluster and starts its server. Everybody needs a password;
    /// the superuser's is the same as everybody's.
    ///
    /// # Errors
    /// When anything cannot be installed or started: nothing is skipped.
    pub fn start() -> Result<Self> {
        Self::start_of("install-postgres.sh")
    }

    /// As [`PostgresServer::start`], but the server is of a newer major version than its tools.
    ///
    /// # Errors
    /// As there.
    pub fn start_newer() -> Result<Self> {
        Self::start_of("install-postgres-newer.sh")
    }

    /// Starts a newer major version on this server's data, as a new image over an old volume does;
    /// what it said when it ended.
    ///
    /// # Errors
    /// When it cannot be started, or runs.
    pub fn newer_on_its_data(&mut self) -> Result<String> {
        let newer = output(Command::new(scripts().join("install-postgres-newer.sh")))?;
        let older = std::mem::replace(&mut self.server, PathBuf::from(newer.trim()));
        let begun = self.begin();
        self.server = older;
        match begun {
            Ok(()) => bail!("a newer major version runs on the data of an older one"),
            Err(error) => {
                self.process = None;
                Ok(error.to_string())
            }
        }
    }

    fn start_of(install: &str) -> Result<Self> {
        let programs = output(Command::new(scripts().join("install-postgres.sh")))?;
        let programs = PathBuf::from(programs.trim());
        let server = output(Command::new(scripts().join(install)))?;
        let server = PathBuf::from(server.trim());
        let folder = tempfile::Builder::new().prefix("vaultup-pg-").tempdir()?;
        let user = unprivileged()?;
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid))?;
        }
        let port = free_port()?;
        let mut started = Self { programs, server, folder, port, user, process: None };
        started.make_cluster()?;
        started.begin()?;
        Ok(started)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its tools lie.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Where its data lies.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the superuser's `psql` answers to a script, a row a line.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn psql(&self, database: &str, script: &str) -> Result<String> {
        let mut command = self.tool("psql", SUPERUSER);
        command
            .args(["-XqtA", "--set=ON_ERROR_STOP=1", "--dbname", database])
            .args(["--command", script]);
        Ok(output(command)?.trim_end().to_owned())
    }

    /// One of the tools, connected as this user, without arguments of its own.
    #[must_use]
    pub fn tool(&self, name: &str, user: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", user)
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::null());
        command
    }

    /// Any program, with the server's tools first on its path, connected as the superuser.
    #[must_use]
    pub fn superuser(&self, program: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.tool("psql", SUPERUSER);
        let connected: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new(program);
        command.envs(connected).env("PATH", format!("{}:{path}", self.programs.display()));
        command
    }

    /// Names of the databases that vaultup made.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn made_by_vaultup(&self) -> Result<Vec<String>> {
        let query = "SELECT datname FROM pg_database WHERE datname LIKE '%vaultup%' ORDER BY 1";
        Ok(self.psql("postgres", query)?.lines().map(str::to_owned).collect())
    }

    /// Kills the server as a power cut would: no signal handler runs.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the server does not run")?;
        process.kill()?;
        process.wait()?;
        // Its children end when they see that it is gone; the next one must not meet them.
        let lock = self.data().join("postmaster.pid");
        let deadline = Instant::now() + START;
        while self.has_children(process.id()) {
            ensure!(Instant::now() < deadline, "children of the server outlive it");
            std::thread::sleep(POLL);
        }
        fs::remove_file(lock)?;
        Ok(())
    }

    /// Starts it again on the same port.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn begin(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the server runs already");
        let log = fs::File::create(self.folder.path().join("log"))?;
        let mut command = self.as_user("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
            .args(["-c", "max_wal_size=4GB", "-c", "shared_buffers=64MB"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.process = Some(command.spawn().context("cannot start `postgres`")?);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            if self.psql("postgres", "SELECT 1").is_ok() {
                return Ok(());
            }
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                bail!("the server does not answer:\n{log}");
            }
            std::thread::sleep(POLL);
        }
    }

    fn make_cluster(&self) -> Result<()> {
        let password = self.folder.path().join("password");
        fs::write(&password, PASSWORD)?;
        let mut command = self.as_user("initdb");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-U", SUPERUSER, "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--pwfile"])
            .arg(&password);
        output(command).map(drop)
    }

    fn as_user(&self, name: &str) -> Command {
        let mut command = Command::new(self.server.join(name));
        command.current_dir(self.folder.path());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn has_children(&self, of: u32) -> bool {
        let data = self.data().display().to_string();
        let is_child = |status: &str| {
            // Their parent is gone, so they are known by the folder that they work in.
            status.contains(&data)
        };
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        processes.flatten().any(|process| {
            let name = process.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u32>().ok());
            number.is_some_and(|number| number != of)
                && fs::read_link(process.path().join("cwd"))
                    .is_ok_and(|cwd| is_child(&cwd.display().to_string()))
        })
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Whatever became of the test, nothing is left running.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Whom to run the server as: it refuses to be root.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    let id = |what: &[&str]| -> Result<u32> {
        let mut command = Command::new("id");
        command.args(what);
        Ok(output(command)?.trim().parse()?)
    };
    match id(&["-u"])? {
        0 => Ok(Some((id(&["-u", SUPERUSER])?, id(&["-g", SUPERUSER])?))),
        _ => Ok(None),
    }
}

/// What a command wrote to standard output; it must exit with 0.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?}: {errors}", command.get_program());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
