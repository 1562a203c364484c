//! What every test needs: a granted and compiled plugin, a session, and somebody who listens.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use model::Name;
use model::contract::{Operation, PluginError, ReleaseReference, Said, Target};
use registry::{Bundled, Granted, PluginStore, Registry, lock_file};
use sandbox::{
    Artifacts, BoxFuture, CommandEnd, CommandStart, CompileLimits, CompilerCommand, FileEdit,
    LogLevel, Mode, Observer, Plugin, Sandbox, Secrets, Session, Settings, Surroundings,
};
use serde_json::Value;
use system::clock::SystemClock;
use system::http::Http;
use system::process::Digests;
use system::redact::Redactor;
use system::secrets::Secret;
use tempfile::TempDir;
use tokio::sync::watch;

/// What no plugin, person or file may see.
pub(crate) const CANARY: &str = "canary-7f3a9c51d2e84b60";

/// Where `cargo xtask plugins` puts a component.
pub(crate) fn component(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let target = program.ancestors().nth(3).unwrap();
    let path = target.join("plugins").join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run `cargo xtask plugins`", path.display());
    path
}

/// This very program as the compiling child.
pub(crate) fn compiler(limits: CompileLimits) -> CompilerCommand {
    let arguments = ["compiling_child", "--exact", "--ignored", "--nocapture"].map(OsString::from);
    let numbers = [limits.address_space_bytes, limits.processor_s].map(|n| n.to_string().into());
    CompilerCommand {
        program: std::env::current_exe().unwrap(),
        arguments: arguments.into_iter().chain(numbers).collect(),
        deadline: Duration::from_millis(sandbox::COMPILER_MS_MAX),
    }
}

/// A sandbox and a registry of their own.
pub(crate) struct House {
    pub(crate) scratch: TempDir,
    pub(crate) registry: Registry,
    pub(crate) sandbox: Sandbox,
}

impl House {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let store = PluginStore::open(&scratch.path().join("data")).unwrap();
        let registry = Registry::new(store, Bundled::default(), scratch.path());
        let settings = Settings { cache_directory: scratch.path().join("cache") };
        let sandbox = Sandbox::new(&settings).unwrap();
        Self { scratch, registry, sandbox }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.scratch.path().join("cache")
    }

    /// Adds and grants a component.
    pub(crate) fn grant(&self, component: &Path) -> Granted {
        let lock = self.scratch.path().join(lock_file::LOCK_FILE);
        let fetched = self.registry.fetch(component.to_str().unwrap(), Path::new("/")).unwrap();
        let name = fetched.inspected.manifest.name.clone();
        lock_file::change(&lock, |lock| {
            self.registry.install(lock, &fetched)?;
            self.registry.grant(lock, &name, jiff::Timestamp::UNIX_EPOCH, "test")
        })
        .unwrap();
        self.registry.granted(&lock_file::read(&lock).unwrap(), &name).unwrap()
    }
}

/// The hostile plugin, compiled once for all tests of this program.
pub(crate) fn evil() -> Plugin {
    static EVIL: OnceLock<(House, Plugin)> = OnceLock::new();
    let (_, plugin) = EVIL.get_or_init(|| {
        let house = House::new();
        let granted = house.grant(&component("evil"));
        let compiler = compiler(CompileLimits::default());
        // A thread of its own: some tests come here from within a runtime.
        let plugin = std::thread::scope(|scope| {
            let compiled = scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(house.sandbox.load_or_compile(&granted, &compiler)).unwrap()
            });
            compiled.join().unwrap()
        });
        (house, plugin)
    });
    plugin.clone()
}

/// Keeps everything that it is told.
#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) progress: Mutex<usize>,
    pub(crate) started: Mutex<Vec<CommandStart>>,
    pub(crate) ended: Mutex<Vec<CommandEnd>>,
    pub(crate) edits: Mutex<Vec<FileEdit>>,
    pub(crate) refuse: Mutex<Option<String>>,
}

impl Listener {
    fn answer(&self) -> Result<(), String> {
        self.refuse.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl Observer for Listener {
    fn log(&self, _: LogLevel, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }

    fn progress(&self, _: u64, _: Option<u64>, unit: &str) {
        assert!(unit.len() <= sandbox::limits::UNIT_BYTES_MAX);
        *self.progress.lock().unwrap() += 1;
    }

    fn command_starting(&self, command: &CommandStart) -> Result<(), String> {
        self.started.lock().unwrap().push(command.clone());
        self.answer()
    }

    fn command_ended(&self, command: &CommandEnd) {
        self.ended.lock().unwrap().push(command.clone());
    }

    fn file_changing(&self, edit: &FileEdit) -> Result<(), String> {
        self.edits.lock().unwrap().push(edit.clone());
        self.answer()
    }
}

struct Kept(BTreeMap<String, Arc<Secret>>);

impl Secrets for Kept {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Secret>, String>> {
        let found = self.0.get(name).cloned();
        Box::pin(async move { found.ok_or_else(|| "there is no such secret".to_owned()) })
    }
}

/// A directory of an operator's, and a session in it.
pub(crate) struct Place {
    pub(crate) scratch: TempDir,
    pub(crate) listener: Arc<Listener>,
    pub(crate) cancel: watch::Sender<bool>,
    pub(crate) session: Session,
}

impl Place {
    /// `granted` with a file `kept/inside`, and beside it `outside` with the canary in it. The
    /// secrets `key` and `other` both hold the canary.
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::create_dir_all(at("granted/kept")).unwrap();
        std::fs::write(at("granted/kept/inside"), "inside").unwrap();
        std::fs::write(at("outside"), CANARY).unwrap();
        let listener = Arc::new(Listener::default());
        let (cancel, cancelled) = watch::channel(false);
        let secret = |name: &str| {
            let secret = Secret::new(name, CANARY.as_bytes().to_vec()).unwrap();
            (name.to_owned(), Arc::new(secret))
        };
        let redactor = Redactor::knowing([("key", CANARY.as_bytes())]).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let surroundings = Surroundings {
            environment: BTreeMap::from([("PATH".into(), path), ("HOME".into(), "/".into())]),
            secret_directory: at("secrets"),
            log_directory: at("logs"),
            digests: Digests::default(),
            http: Http::new(),
            clock: Arc::new(SystemClock::new()),
        };
        let session = Session {
            mode: Mode::ReadOnly,
            stack_directory: scratch.path().to_owned(),
            secrets: Arc::new(Kept(BTreeMap::from(["key", "other"].map(secret)))),
            artifacts: Artifacts::None,
            observer: listener.clone(),
            cancel: cancelled,
            look: None,
            inside: Arc::new(|name: Name| {
                let message = format!("there is no component `{name}`");
                let said = Said { message, platform: String::new() };
                Box::pin(async move { Err(PluginError::NotFound(said)) })
            }),
            redactor: Arc::new(redactor),
            surroundings: Arc::new(surroundings),
        };
        Self { scratch, listener, cancel, session }
    }

    /// The same, and changes are allowed.
    pub(crate) fn changing() -> Self {
        let mut place = Self::new();
        place.session.mode = Mode::Change { fence: Arc::new(|| Ok(())) };
        place
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// An operation of the hostile plugin's.
    pub(crate) fn operation(&self, act: &str) -> Operation {
        let settings = serde_json::json!({
            "act": act,
            "path": "granted",
            "outside": self.at("outside"),
            "secret": { "secret": "key" },
            "command": ["printf", "%s", "${word}"],
        });
        operation(settings)
    }
}

/// An operation with a deadline that no good call reaches.
pub(crate) fn operation(settings: Value) -> Operation {
    let release = |version: &str| ReleaseReference {
        version: version.to_owned(),
        artifact: None,
        entry: serde_json::json!({}),
    };
    Operation {
        key: "run-1.step-2".to_owned(),
        target: Target::Live,
        subject: "evil".to_owned(),
        settings,
        deadline_ms: 60_000,
        previous: Some(release("1.0.0")),
        next: Some(release("2.0.0")),
        copied: None,
    }
}
