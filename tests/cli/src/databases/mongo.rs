//! A server that speaks MongoDB's protocol, and MongoDB's own tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use super::postgres::output;
use super::scripts;

/// How long a server may take to answer, on a machine that has other work to do.
const START: Duration = Duration::from_secs(90);
/// How often it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(20);
/// The database of the tests.
pub(crate) const DATABASE: &str = "shop";

/// A server. It is killed, and its folder removed, when it is dropped.
#[derive(Debug)]
pub struct MongoServer {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl MongoServer {
    /// Installs what is missing and starts a server.
    ///
    /// # Errors
    /// When anything cannot be installed or started: nothing is skipped.
    pub fn start() -> Result<Self> {
        let programs = output(Command::new(scripts().join("mongo/install.sh")))?;
        let programs = PathBuf::from(programs.trim());
        let folder = tempfile::Builder::new().prefix("vaultup-mongo-").tempdir()?;
        let mut server = Self { programs, folder, port: 0, process: None };
        server.begin()?;
        Ok(server)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where MongoDB's tools lie.
    #[must_use]
    pub fn tools(&self) -> PathBuf {
        self.programs.join("bin")
    }

    /// What MongoDB's shell prints of a script.
    ///
    /// # Errors
    /// When it throws.
    pub fn shell(&self, script: &str) -> Result<String> {
        let mut command = Command::new(self.tools().join("mongosh"));
        // Its own two seconds are not enough on a machine that has other work to do.
        let patience = "serverSelectionTimeoutMS=60000&directConnection=true";
        let address = format!("mongodb://127.0.0.1:{}/{DATABASE}?{patience}", self.port);
        command.args(["--quiet", "--norc", &address, "--eval", script]);
        command.env("HOME", self.folder.path());
        Ok(output(command)?.trim().to_owned())
    }

    /// Every document, index and option that is not vaultup's own, as text.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn everything(&self) -> Result<String> {
        self.shell(
            "const names = db.getCollectionNames().filter((name) => !name.startsWith('vaultup_'));
             for (const name of names.sort()) {
               const collection = db.getCollection(name);
               print(name, EJSON.stringify(collection.find().sort({ _id: 1 }).toArray()));
               print(EJSON.stringify(collection.getIndexes().map((index) => index.name).sort()));
             }",
        )
    }

    /// Kills it as a power cut would.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the server does not run")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Starts it on the data that it had.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn begin(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the server runs already");
        let (data, ready) = (self.folder.path().join("data.mv"), self.folder.path().join("port"));
        let _ = fs::remove_file(&ready);
        let log = fs::File::create(self.folder.path().join("log"))?;
        let classes = format!(
            "{}:{}/*",
            self.programs.join("classes").display(),
            self.programs.join("jars").display()
        );
        let mut command = Command::new("java");
        command
            .args(["-Xmx1g", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"])
            .args(["-cp", &classes, "MongoTestServer"])
            .args([data.as_path(), ready.as_path()])
            .arg(self.port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.process = Some(command.spawn().context("cannot start `java`")?);
        self.port = self.wait_for_port(&ready)?;
        Ok(())
    }

    fn wait_for_port(&mut self, ready: &Path) -> Result<u16> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(port) = fs::read_to_string(ready) {
                return Ok(port.trim().parse()?);
            }
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                bail!("the server does not come up:\n{log}");
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for MongoServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Whatever became of the test, nothing is left running.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
