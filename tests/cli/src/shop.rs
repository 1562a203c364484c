//! A shop: the sample application, its orders and its signing key, upgraded by vaultup.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::programs::Programs;

/// How many orders a shop begins with.
const ORDERS: &str = "1000";

/// Where the sample application notes what it was told to change.
const INVOCATIONS: &str = "run/invocations";

/// Directories whose content says nothing of the stack.
const UNTOLD: [&str; 2] = ["home", "run"];

/// The releases of the sample application, oldest first.
pub(crate) const RELEASES: [&str; 3] = ["1.0.0", "2.0.0", "3.0.0"];

/// A shop in a folder of its own.
#[derive(Debug)]
pub struct Shop {
    folder: PathBuf,
    port: u16,
    programs: Programs,
}

/// What vaultup answered.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit status; absent if a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Ran {
    /// What a process answered that has ended.
    #[must_use]
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Everything that was shown.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}{}", self.output, self.errors)
    }

    /// The set that `backup create --format json` says it made.
    ///
    /// # Errors
    /// When it made none.
    pub fn set(&self) -> Result<String> {
        ensure!(self.status == Some(0), "{}", self.shown());
        let last: Value = serde_json::from_str(self.output.lines().last().unwrap_or_default())?;
        last["set"].as_str().map(str::to_owned).with_context(|| self.shown())
    }
}

impl Shop {
    /// Opens a shop at release 1.0.0 in an empty folder, with its plugins added.
    ///
    /// # Errors
    /// When a program fails.
    pub fn open(folder: &Path, programs: &Programs) -> Result<Self> {
        for name in ["data/orders", "data/keys", "run"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let shop =
            Self { folder: folder.to_owned(), port: free_port()?, programs: programs.clone() };
        for release in RELEASES {
            shop.install(release, &[])?;
        }
        shop.write_stack_file("")?;
        std::os::unix::fs::symlink("releases/1.0.0", folder.join("current"))?;
        let key = shop.folder.join("data/keys/signing.key");
        let seed = ["seed", "--data", "data/orders", "--orders", ORDERS, "--key"];
        let seed = seed.iter().map(ToString::to_string).chain([key.display().to_string()]);
        shop.installed(seed)?;
        shop.start()?;
        fs::write(shop.folder.join(INVOCATIONS), "")?;
        for plugin in ["host", "files"] {
            let path = shop.programs.plugins.join(format!("{plugin}.wasm"));
            let ran = shop.vaultup(&["plugin", "add", &path.display().to_string(), "--yes"])?;
            ensure!(ran.status == Some(0), "plugin add {plugin}: {}", ran.shown());
        }
        Ok(shop)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The address that the application listens on.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Installs a release with these faults (`NAME` or `NAME=VALUE`), in place of what is there.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn install(&self, release: &str, faults: &[&str]) -> Result<()> {
        let mut words = vec!["install", "--into", "releases", "--release", release];
        for fault in faults {
            words.extend(["--fault", fault]);
        }
        self.sample(words.into_iter().map(str::to_owned))?;
        let path = self.folder.join("releases").join(release).join("release.toml");
        fs::write(path, release_file(release))?;
        Ok(())
    }

    /// Writes the stack file, with more at its end.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_stack_file(&self, more: &str) -> Result<()> {
        let text = STACK_FILE.replace("ADDRESS", &self.address());
        fs::write(self.folder.join("vaultup.toml"), text + more)?;
        Ok(())
    }

    /// Writes something else in the stack file, wherever it stands.
    ///
    /// # Errors
    /// When it does not stand there, or the file cannot be written.
    pub fn edit_stack_file(&self, what: &str, by: &str) -> Result<()> {
        let path = self.folder.join("vaultup.toml");
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(what), "the stack file has no {what}");
        fs::write(path, text.replace(what, by))?;
        Ok(())
    }

    /// vaultup in this folder, ready to be run.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.vaultup);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("VAULTUP_HOME", self.folder.join("home"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs vaultup to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn vaultup(&self, arguments: &[&str]) -> Result<Ran> {
        Ok(Ran::of(self.command(arguments).output()?))
    }

    /// Runs vaultup and has it kill itself at an instant of an effect: `before`, `unrecorded` or
    /// `recorded`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn vaultup_killed(&self, arguments: &[&str], effect: u32, instant: &str) -> Result<Ran> {
        let mut command = self.command(arguments);
        let instant = format!("{effect}:{instant}");
        Ok(Ran::of(command.env("VAULTUP_TEST_CRASH", instant).output()?))
    }

    /// Orders and a digest of all rows, whatever the schema.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn digest(&self) -> Result<String> {
        let words = ["digest", "--data", "data/orders"].map(str::to_owned);
        Ok(self.sample(words)?.trim().to_owned())
    }

    /// The schema version of the store, and whether a migration was left half-way.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn schema(&self) -> Result<(u64, bool)> {
        let current = self.folder.join("releases/3.0.0/bin/vaultup-sample");
        let output = Command::new(current)
            .args(["schema", "--data", "data/orders"])
            .current_dir(&self.folder)
            .output()?;
        let line: Value = serde_json::from_slice(&output.stdout)?;
        let version = line["version"].as_u64().context("a schema has a version")?;
        Ok((version, line["dirty"].as_bool().unwrap_or(true)))
    }

    /// The version that answers on the shop's address; none if nothing does.
    ///
    /// # Errors
    /// When the status cannot be told.
    pub fn serving(&self) -> Result<Option<String>> {
        let words = ["status", "--pid-file", "run/api.pid", "--listen", &self.address()];
        let line: Value = serde_json::from_str(&self.sample(words.map(str::to_owned))?)?;
        let ready = line["ready"].as_bool().unwrap_or(false);
        Ok(line["version"].as_str().filter(|_| ready).map(str::to_owned))
    }

    /// Starts the release in place, as the stack file's own command does.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&self) -> Result<()> {
        let status = Command::new(self.folder.join("current/bin/vaultup-sample"))
            .args(["start", "--data", "data/orders", "--key", "data/keys/signing.key"])
            .args(["--listen", &self.address(), "--pid-file", "run/api.pid"])
            .args(["--log", "run/api.log"])
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "the sample application did not start");
        Ok(())
    }

    /// Stops the application.
    ///
    /// # Errors
    /// When it cannot be told to.
    pub fn stop(&self) -> Result<()> {
        let words = ["stop", "--pid-file", "run/api.pid"].map(str::to_owned);
        self.sample(words).map(drop)
    }

    /// Adds orders beside the service.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add_orders(&self, orders: u32) -> Result<()> {
        let orders = orders.to_string();
        let words = ["add", "--data", "data/orders", "--orders", orders.as_str()];
        self.installed(words.map(str::to_owned)).map(drop)
    }

    /// What to add to the stack file so that a copy can be rehearsed on.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub fn rehearsal(&self) -> Result<String> {
        let address = format!("127.0.0.1:{}", free_port()?);
        Ok(REHEARSAL.replace("ADDRESS", &address))
    }

    /// Every path in the folder, sorted, but vaultup's own and what the application logs.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn tree(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut open = vec![self.folder.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir()
                    && !UNTOLD.iter().any(|name| entry.file_name() == *name)
                {
                    open.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// What every path in the folder holds, but vaultup's own files and what the application logs:
    /// equal before and after something that must change nothing.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fingerprint(&self) -> Result<BTreeMap<PathBuf, u64>> {
        let content = |path: &Path| -> Result<u64> {
            let mut hasher = DefaultHasher::new();
            let kind = fs::symlink_metadata(path)?;
            kind.permissions().mode().hash(&mut hasher);
            if kind.is_symlink() {
                fs::read_link(path)?.hash(&mut hasher);
            } else if kind.is_file() {
                fs::read(path)?.hash(&mut hasher);
            }
            Ok(hasher.finish())
        };
        self.tree()?.into_iter().map(|path| Ok((path.clone(), content(&path)?))).collect()
    }

    /// How often each command of an installed release that changes something was carried out, and
    /// came to its end: `migrate`, `start`, `stop`, each with its release.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn invocations(&self) -> Result<BTreeMap<String, usize>> {
        let mut counted = BTreeMap::new();
        let text = fs::read_to_string(self.folder.join(INVOCATIONS))?;
        for line in text.lines() {
            *counted.entry(line.to_owned()).or_default() += 1;
        }
        Ok(counted)
    }

    /// The sample application as it was built: enough for what is the same in all releases.
    fn sample(&self, words: impl IntoIterator<Item = String>) -> Result<String> {
        self.output_of(&self.programs.sample, words)
    }

    /// The release in place.
    fn installed(&self, words: impl IntoIterator<Item = String>) -> Result<String> {
        self.output_of(&self.folder.join("current/bin/vaultup-sample"), words)
    }

    fn output_of(&self, program: &Path, words: impl IntoIterator<Item = String>) -> Result<String> {
        let words: Vec<String> = words.into_iter().collect();
        let output = Command::new(program)
            .args(&words)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "vaultup-sample {}: {errors}", words.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Nothing is left running, whatever became of the test.
        let _ = self.stop();
    }
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn release_file(version: &str) -> String {
    let migration = match version {
        "2.0.0" => "migration = \"compatible\"\n",
        "3.0.0" => "migration = \"breaking\"\n",
        _ => return format!("{}\n[datastores.orders]\nschema = 1\n", head(version)),
    };
    format!(
        "{}\n[datastores.orders]\nschema = {}\n{migration}\
         migrate = {{ with = \"api\", command = [\"bin/vaultup-sample\", \"migrate\", \"--data\", \
         \"${{data}}\"] }}\n",
        head(version),
        version.split('.').next().unwrap_or_default(),
    )
}

fn head(version: &str) -> String {
    format!("format = 1\nversion = \"{version}\"\n")
}

const STACK_FILE: &str = include_str!("shop.toml");

const REHEARSAL: &str = include_str!("rehearsal.toml");
