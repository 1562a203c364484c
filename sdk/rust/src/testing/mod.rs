//! A stand-in for the host, for native tests of plugins.
//!
//! A [`Machine`] has a scratch directory with real files, real tools where a test lets them run,
//! scripted answers where it does not, artifacts in memory, and a clock that only moves when
//! something waits. What a test does not provide is denied, as the real host does.
//!
//! Given the plugin's manifest, it refuses every command that the manifest does not say, with the
//! host's own code: [`Machine::with_manifest`]. Without one it checks no patterns.
//!
//! ```
//! use vaultup_sdk::files::Root;
//! use vaultup_sdk::process;
//! use vaultup_sdk::testing::Machine;
//!
//! let machine = Machine::new().install();
//! machine.write("data/a", "hello");
//! machine.root("directory", "data");
//! machine.tool("cat");
//! let path = Root::open("directory")?.path("a")?;
//! assert_eq!(process::command("cat").argument(path).read_text()?, "hello");
//! # Ok::<(), vaultup_sdk::Error>(())
//! ```

mod command;
mod files;
mod grants;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use command::{Call, Reply};

use crate::artifact::Description;
use crate::bindings::imports::vaultup::plugin::{http, log, process};
use crate::clock::Deadline;
use crate::host::{Files, Host, UnderWay};
use crate::operation::{Operation, Release, Target};
use crate::{Error, clock};

use grants::Grants;

/// An opened path of a stand-in's.
pub type Root = Box<dyn Files>;
/// A command under way of a stand-in's.
pub type Running = Box<dyn UnderWay>;
/// A command of a stand-in's whose whole output is wanted: it has ended when it is begun.
pub struct Begun(process::Finished);
/// Whatever stands in for the host.
pub type StandIn = Rc<dyn Host<Root = Root, Running = Running, Begun = Begun>>;

/// How long an operation of a test has.
const OPERATION: Duration = Duration::from_secs(60);

thread_local! {
    static HOST: RefCell<Option<StandIn>> = const { RefCell::new(None) };
}

/// Makes `host` answer every call of this thread until the guard is dropped.
#[must_use]
pub fn stand_in(host: StandIn) -> Guard {
    HOST.set(Some(host));
    Guard
}

/// Ends a stand-in when it is dropped.
pub struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        HOST.set(None);
    }
}

/// Who answers now; a machine that has nothing if nobody stands in.
pub(crate) fn host() -> StandIn {
    HOST.with_borrow(Clone::clone).unwrap_or_else(|| Rc::new(Machine::new()))
}

/// A machine with real files, on which only that happens what a test says.
pub struct Machine {
    inner: Rc<Inner>,
}

struct Inner {
    scratch: PathBuf,
    grants: Option<Grants>,
    now: Cell<u64>,
    cancelled: Cell<bool>,
    tools: RefCell<BTreeSet<String>>,
    settings: RefCell<BTreeMap<String, Vec<String>>>,
    answers: RefCell<BTreeMap<String, Answer>>,
    roots: RefCell<BTreeMap<String, (PathBuf, bool)>>,
    artifacts: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The artifact that is read, and how far it was.
    reading: RefCell<(String, usize)>,
    calls: RefCell<Vec<Call>>,
    logged: RefCell<Vec<String>>,
}

type Answer = Rc<dyn Fn(&Call) -> Reply>;

impl Machine {
    /// A machine without tools, settings and roots.
    #[expect(clippy::new_without_default, reason = "making one has an effect: a directory's name")]
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vaultup-sdk-{}-{number}", std::process::id());
        Self {
            inner: Rc::new(Inner {
                scratch: std::env::temp_dir().join(name),
                grants: None,
                now: Cell::new(1_700_000_000_000),
                cancelled: Cell::new(false),
                tools: RefCell::default(),
                settings: RefCell::default(),
                answers: RefCell::default(),
                roots: RefCell::default(),
                artifacts: RefCell::default(),
                reading: RefCell::default(),
                calls: RefCell::default(),
                logged: RefCell::default(),
            }),
        }
    }

    /// Lets it refuse, as the host does, every command that this `plugin.toml` does not say:
    /// other arguments or another order of them, variables that it does not name, commands of the
    /// settings or the release that it does not ask for. What a test cannot know is taken for
    /// granted: which texts are settings, which paths and secrets were granted.
    ///
    /// ```
    /// use vaultup_sdk::{process, testing::{Machine, Reply}};
    ///
    /// const MANIFEST: &str = r#" # include_str!("../plugin.toml")
    ///     format = 1
    ///     name = "ping"
    ///     version = "1.0.0"
    ///     contract = "0.1"
    ///     description = "Asks a server whether it is there"
    ///     exports = ["health-check"]
    ///     tools = [{ name = "ping" }]
    ///     process = [{ class = "read", argv = ["ping", "{host}"] }]
    /// "#;
    /// let machine = Machine::new().with_manifest(MANIFEST)?.install();
    /// machine.answer("ping", |_| Reply::exit(0));
    /// process::command("ping").argument("db").run()?;
    /// let refused = process::command("ping").arguments(["-f", "db"]).run();
    /// assert!(refused.is_err());
    /// # Ok::<(), vaultup_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong with the manifest.
    pub fn with_manifest(mut self, manifest: &str) -> Result<Self, Error> {
        let grants = Some(Grants::read(manifest)?);
        match Rc::get_mut(&mut self.inner) {
            Some(inner) => inner.grants = grants,
            None => return Err(Error::conflict("the machine is installed already")),
        }
        Ok(self)
    }

    /// Makes it answer every call of this thread until what is returned is dropped.
    #[must_use]
    pub fn install(self) -> Installed {
        let guard = stand_in(Rc::new(Self { inner: Rc::clone(&self.inner) }));
        Installed { machine: self, _guard: guard }
    }

    /// Lets this tool really run.
    pub fn tool(&self, name: &str) {
        self.inner.tools.borrow_mut().insert(name.to_owned());
    }

    /// Lets this command really run as what stands in the settings, or in the release's entry,
    /// under this key; `${name}` in it is filled in.
    pub fn command(&self, key: &str, arguments: &[&str]) {
        let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
        self.inner.settings.borrow_mut().insert(key.to_owned(), arguments);
    }

    /// Answers for this tool, or for the command under this key, in place of running it.
    pub fn answer(&self, name: &str, answer: impl Fn(&Call) -> Reply + 'static) {
        self.inner.answers.borrow_mut().insert(name.to_owned(), Rc::new(answer));
    }

    /// Grants the path that stands in the settings under this key; a relative one lies in the
    /// scratch directory.
    pub fn root(&self, key: &str, path: impl AsRef<Path>) {
        let granted = (self.inner.scratch.join(path), false);
        self.inner.roots.borrow_mut().insert(key.to_owned(), granted);
    }

    /// As [`Machine::root`], with `beside = true`.
    pub fn root_beside(&self, key: &str, path: impl AsRef<Path>) {
        let granted = (self.inner.scratch.join(path), true);
        self.inner.roots.borrow_mut().insert(key.to_owned(), granted);
    }

    /// Where a path in the scratch directory lies.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.inner.scratch.join(relative)
    }

    /// Writes a file into the scratch directory, with the directories above it.
    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        let above = path.parent().unwrap_or(&path);
        let written = std::fs::create_dir_all(above).and_then(|()| std::fs::write(&path, content));
        assert!(written.is_ok(), "cannot write {}: {written:?}", path.display());
    }

    /// The content of an artifact of the backup set.
    #[must_use]
    pub fn artifact(&self, name: &str) -> Option<Vec<u8>> {
        self.inner.artifacts.borrow().get(name).cloned()
    }

    /// Makes or replaces an artifact of the backup set.
    pub fn put_artifact(&self, name: &str, content: impl Into<Vec<u8>>) {
        self.inner.artifacts.borrow_mut().insert(name.to_owned(), content.into());
    }

    /// Asks the operation to stop.
    pub fn cancel(&self) {
        self.inner.cancelled.set(true);
    }

    /// Every command that was run so far, with what its name was (tool or key).
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inner.calls.borrow().clone()
    }

    /// Every command that was run since this was asked last, in a line each.
    #[must_use]
    pub fn take_calls(&self) -> Vec<String> {
        self.inner.calls.take().iter().map(Call::to_string).collect()
    }

    /// What was logged.
    #[must_use]
    pub fn logged(&self) -> Vec<String> {
        self.inner.logged.borrow().clone()
    }

    /// An operation on what is live, with a minute's time and no releases.
    #[must_use]
    pub fn operation<Settings>(&self, settings: Settings) -> Operation<Settings> {
        Operation {
            key: "run-1.step-1".to_owned(),
            target: Target::Live,
            subject: "subject".to_owned(),
            settings,
            deadline: Deadline::after(OPERATION),
            previous: None,
            next: None,
            copied: None,
        }
    }

    /// A release with an empty entry.
    #[must_use]
    pub fn release(&self, version: &str) -> Release {
        Release { version: version.to_owned(), artifact: None, entry: "{}".to_owned() }
    }

    fn described(&self, name: &str) -> Result<Description, Error> {
        let bytes = self.artifact(name);
        let bytes = bytes.ok_or_else(|| Error::not_found(format!("no artifact `{name}`")))?;
        let length = bytes.len() as u64;
        Ok(Description { name: name.to_owned(), bytes: length, blake3: files::digest(&bytes) })
    }
}

impl Begun {
    #[expect(clippy::unnecessary_wraps, reason = "as the contract has it")]
    pub(crate) fn ended(&self) -> Result<bool, Error> {
        Ok(true)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the contract has it")]
    pub(crate) fn finish(&self) -> Result<process::Finished, Error> {
        Ok(self.0.clone())
    }
}

/// A machine that answers the calls of its thread.
pub struct Installed {
    machine: Machine,
    _guard: Guard,
}

impl Deref for Installed {
    type Target = Machine;
    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // A test that failed leaves more interesting things to say than this could.
        let _ = std::fs::remove_dir_all(&self.machine.inner.scratch);
    }
}

impl Host for Machine {
    type Root = Root;
    type Running = Running;
    type Begun = Begun;

    fn run(&self, command: &process::Command) -> Result<process::Finished, Error> {
        Ok(self.carry_out(command)?.finished(command))
    }

    fn start(&self, command: &process::Command) -> Result<Running, Error> {
        Ok(Box::new(self.carry_out(command)?.under_way()))
    }

    fn begin(&self, command: &process::Command) -> Result<Begun, Error> {
        Ok(Begun(self.run(command)?))
    }

    fn open(&self, key: &str) -> Result<Root, Error> {
        let roots = self.inner.roots.borrow();
        let denied = || Error::denied(format!("no path `{key}` of the settings is granted"));
        let (path, beside) = roots.get(key).ok_or_else(denied)?;
        Ok(Box::new(files::Opened::at(path, *beside)))
    }

    fn artifacts(&self) -> Result<Vec<Description>, Error> {
        let names: Vec<String> = self.inner.artifacts.borrow().keys().cloned().collect();
        names.iter().map(|name| self.described(name)).collect()
    }

    fn check_artifact(&self, name: &str) -> Result<Description, Error> {
        self.described(name)
    }

    fn artifact_head(&self, name: &str, bytes_max: u32) -> Result<Vec<u8>, Error> {
        let mut bytes =
            self.artifact(name).ok_or_else(|| Error::not_found(format!("no artifact `{name}`")))?;
        bytes.truncate(bytes_max as usize);
        Ok(bytes)
    }

    fn artifact_next(&self, name: &str, bytes_max: u32) -> Result<Vec<u8>, Error> {
        let bytes =
            self.artifact(name).ok_or_else(|| Error::not_found(format!("no artifact `{name}`")))?;
        let mut reading = self.inner.reading.borrow_mut();
        if reading.0 != name {
            *reading = (name.to_owned(), 0);
        }
        let rest = &bytes[reading.1.min(bytes.len())..];
        let piece = rest[..rest.len().min(bytes_max as usize)].to_vec();
        reading.1 = if piece.is_empty() { 0 } else { reading.1 + piece.len() };
        Ok(piece)
    }

    fn send(&self, request: &http::Request) -> Result<http::Response, Error> {
        Err(Error::denied(format!("no host is granted for {}", request.url)))
    }

    fn secret_available(&self, _name: &str) -> Result<bool, Error> {
        Ok(false)
    }

    fn log(&self, _level: log::Level, text: &str) {
        self.inner.logged.borrow_mut().push(text.to_owned());
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _unit: &str) {}

    fn cancel_requested(&self) -> bool {
        self.inner.cancelled.get()
    }

    fn now(&self) -> u64 {
        self.inner.now.get()
    }

    fn pause(&self, milliseconds: u64) -> Result<(), Error> {
        assert!(milliseconds <= clock::whole_milliseconds(clock::PAUSE_MAX), "paused too long");
        self.inner.now.set(self.inner.now.get() + milliseconds);
        if self.inner.cancelled.get() { Err(Error::cancelled()) } else { Ok(()) }
    }
}
