//! What one call has: the facts that its imports decide by, and what it has used up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::contract::Operation;
use model::manifest::{Class, FilesNeed, Manifest};
use model::pattern::MatchContext;
use model::settings::{at, secrets_in, texts_in};
use serde_json::Value;
use system::files::Root;
use wasmtime::component::{ResourceTable, ResourceTableError};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::bindings::host::vaultup::plugin::types as wit;
use crate::call::{Effect, Function};
use crate::imports::artifact::Reading;
use crate::limits::{HANDLES_MAX, Limiter, RANDOM_BYTES_MAX};
use crate::log::Log;
use crate::plugin::Inner;
use crate::session::{LogLevel, Mode, Session};
use crate::stdio::Stream;

/// The data of a store.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    pub(crate) table: ResourceTable,
    pub(crate) facts: Arc<Facts>,
    pub(crate) log: Arc<Log>,
    pub(crate) progress_reports: usize,
    /// Commands that were started so far.
    pub(crate) commands: u32,
    /// Pauses that were refused because the operation is over.
    pub(crate) pauses_refused: u32,
    /// The artifact that the guest reads from its beginning to its end.
    pub(crate) reading: Option<Reading>,
    wasi: WasiCtx,
    said: Stream,
}

/// What does not change during a call.
pub(crate) struct Facts {
    pub(crate) function: Function,
    pub(crate) session: Session,
    pub(crate) manifest: Arc<Manifest>,
    /// The operation's idempotency key.
    pub(crate) key: String,
    pub(crate) settings: Value,
    /// The release's entry for the subject; null when there is no release.
    pub(crate) entry: Value,
    /// When the operation is to be over.
    pub(crate) deadline: Instant,
    /// Texts that stand in the settings (of the live one too) or in the entry of either release.
    texts: BTreeSet<String>,
    /// Secrets that stand in the settings.
    secrets: BTreeSet<String>,
    /// Granted paths that were opened, by their place in the settings.
    roots: Mutex<BTreeMap<String, Arc<Root>>>,
}

/// Why an import gives no value.
#[derive(Debug)]
pub(crate) enum Denial {
    /// The guest is told and may go on.
    Told(wit::Error),
    /// The guest is ended.
    Ends(wasmtime::Error),
}

/// What an import gives.
pub(crate) type Granting<T> = Result<T, Denial>;

impl State {
    pub(crate) fn new(
        plugin: &Inner,
        function: Function,
        session: &Session,
        operation: &Operation,
        deadline: Instant,
    ) -> Self {
        let facts = Facts::new(plugin, function, session, operation, deadline);
        let log = Log::new(Arc::clone(&session.observer), Arc::clone(&session.redactor));
        let log = Arc::new(log);
        let said = Stream::new(&log, LogLevel::Debug);
        let wasi = wasi().stdout(Stream::new(&log, LogLevel::Debug)).stderr(said.clone()).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let limiter = Limiter::default();
        Self {
            limiter,
            table,
            facts: Arc::new(facts),
            log,
            progress_reports: 0,
            commands: 0,
            pauses_refused: 0,
            reading: None,
            wasi,
            said,
        }
    }

    /// The guest's standard error, which outlives its store.
    pub(crate) fn said(&self) -> Stream {
        self.said.clone()
    }
}

/// What a language runtime gets: no environment, no arguments, no directory, no network.
pub(crate) fn wasi() -> WasiCtxBuilder {
    let mut builder = WasiCtx::builder();
    builder.max_random_size(RANDOM_BYTES_MAX);
    builder
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Facts {
    pub(crate) fn new(
        plugin: &Inner,
        function: Function,
        session: &Session,
        operation: &Operation,
        deadline: Instant,
    ) -> Self {
        let release = operation.next.as_ref().or(operation.previous.as_ref());
        let entry = release.map_or(Value::Null, |release| release.entry.clone());
        let mut texts = texts_in(&operation.settings);
        let entries = [&operation.previous, &operation.next].into_iter().flatten();
        texts.extend(entries.flat_map(|release| texts_in(&release.entry)));
        texts.extend(operation.copied.iter().flat_map(|copied| texts_in(&copied.live)));
        // A place such as an image or a directory is the release's own word as well.
        let releases = [&operation.previous, &operation.next].into_iter().flatten();
        texts.extend(releases.filter_map(|release| release.artifact.clone()));
        Self {
            function,
            session: session.clone(),
            manifest: Arc::clone(&plugin.manifest),
            key: operation.key.clone(),
            secrets: secrets_in(&operation.settings),
            settings: operation.settings.clone(),
            entry,
            deadline,
            texts,
            roots: Mutex::default(),
        }
    }

    /// Lets an effect of a class happen, or says why not. Called right before it.
    pub(crate) fn permit(&self, class: Class) -> Granting<()> {
        if class == Class::Read {
            return Ok(());
        }
        if self.function.effect == Effect::Reads {
            let function = self.function.name;
            return Err(denied(format!("`{function}` only reads, so it may change nothing")));
        }
        match &self.session.mode {
            Mode::ReadOnly => Err(denied("nothing may be changed now")),
            Mode::Change { fence } => fence().map_err(denied),
        }
    }

    /// What is left of the operation's time.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// An effect's own deadline, cut to the operation's.
    pub(crate) fn within(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds).min(self.remaining())
    }

    /// Whether the operation was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        *self.session.cancel.borrow()
    }

    /// Ends when the operation is cancelled.
    pub(crate) async fn cancelled(&self) {
        let mut cancel = self.session.cancel.clone();
        if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
            // Whoever could cancel is gone, so nobody will.
            std::future::pending::<()>().await;
        }
    }

    /// Runs blocking work beside the executor, so that a dead file system holds up this call and
    /// nothing else.
    pub(crate) async fn beside<T, F>(self: &Arc<Self>, work: F) -> Granting<T>
    where
        T: Send + 'static,
        F: FnOnce(&Facts) -> Granting<T> + Send + 'static,
    {
        let facts = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || work(&facts));
        let waiting = tokio::time::timeout_at(self.deadline.into(), work);
        match waiting.await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Denial::Ends(wasmtime::Error::new(panic))),
            Err(_) => Err(told(wit::Error::TimedOut, "the operation's deadline passed")),
        }
    }

    /// The granted path under a dotted key of the settings, opened.
    pub(crate) fn root(&self, key: &str) -> Granting<Arc<Root>> {
        let need = self.manifest.files.iter().find(|need| need.setting == key);
        let need = need.ok_or_else(|| denied(format!("no path under `{key}` was granted")))?;
        let path = at(&self.settings, key).and_then(Value::as_str);
        let path = path.ok_or_else(|| {
            told(wit::Error::InvalidSettings, format!("there is no path under `{key}`"))
        })?;
        self.open(key, need, path)
    }

    fn open(&self, place: &str, need: &FilesNeed, path: &str) -> Granting<Arc<Root>> {
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = roots.get(place) {
            return Ok(Arc::clone(root));
        }
        let path = self.absolute(path);
        let root = match need.beside {
            true => Root::open_beside(&path, need.access)?,
            false => Root::open(&path, need.access)?,
        };
        let root = Arc::new(root);
        roots.insert(place.to_owned(), Arc::clone(&root));
        Ok(root)
    }

    /// A path of the operator's: relative ones begin at the stack file.
    pub(crate) fn absolute(&self, path: &str) -> PathBuf {
        let joined = self.session.stack_directory.join(path);
        // `./store` and `store` are the same place; `..` stays for the kernel to judge.
        joined.components().collect()
    }

    /// Whether a secret stands in the settings.
    pub(crate) fn has_secret(&self, name: &str) -> bool {
        self.secrets.contains(name)
    }

    /// A secret that stands in the settings.
    pub(crate) async fn secret(&self, name: &str) -> Granting<Arc<system::secrets::Secret>> {
        if !self.has_secret(name) {
            let name = model::pattern::shown(name);
            return Err(denied(format!("the settings do not name the secret `{name}`")));
        }
        self.session.secrets.lookup(name).await.map_err(|reason| told(wit::Error::Failed, reason))
    }
}

impl MatchContext for Facts {
    fn is_setting(&self, text: &str) -> bool {
        self.texts.contains(text)
    }

    fn is_literal(&self, text: &str) -> bool {
        self.manifest.literals.values().any(|literal| literal == text)
    }

    fn is_granted_path(&self, path: &str) -> bool {
        let path = Path::new(path);
        self.manifest.files.iter().any(|need| {
            let place = at(&self.settings, &need.setting);
            let listed: Vec<&str> = match place {
                Some(Value::String(path)) => vec![path],
                Some(Value::Array(paths)) => paths.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            listed.iter().enumerate().any(|(index, granted)| {
                let place = match place {
                    Some(Value::Array(_)) => format!("{}.{index}", need.setting),
                    _ => need.setting.clone(),
                };
                self.open(&place, need, granted).is_ok_and(|root| {
                    // The kernel walks it: a link that leads out of what was granted is refused.
                    root.locate(path).is_some_and(|relative| root.path(relative).is_ok())
                })
            })
        })
    }

    fn is_granted_secret(&self, name: &str) -> bool {
        self.has_secret(name)
    }
}

/// The guest is told that the host refuses, and why.
pub(crate) fn denied(message: impl Into<String>) -> Denial {
    told(wit::Error::Denied, message)
}

/// The guest is told a case of the contract's error.
pub(crate) fn told(case: fn(wit::Said) -> wit::Error, message: impl Into<String>) -> Denial {
    Denial::Told(case(wit::Said { message: message.into(), platform: String::new() }))
}

impl From<wasmtime::Error> for Denial {
    fn from(error: wasmtime::Error) -> Self {
        Self::Ends(error)
    }
}

impl From<ResourceTableError> for Denial {
    fn from(error: ResourceTableError) -> Self {
        Self::Ends(error.into())
    }
}

impl From<system::Error> for Denial {
    fn from(error: system::Error) -> Self {
        use system::Kind;
        let case = match error.kind() {
            Kind::NotFound => wit::Error::NotFound,
            Kind::Refused => wit::Error::Refused,
            Kind::Unreachable => wit::Error::Unreachable,
            Kind::TimedOut => wit::Error::TimedOut,
            Kind::Conflict => wit::Error::Conflict,
            Kind::NoSpace => wit::Error::NoSpace,
            Kind::Denied => wit::Error::Denied,
            Kind::Malformed => wit::Error::InvalidSettings,
            Kind::Cancelled => return Self::Told(wit::Error::Cancelled),
            Kind::Failed => wit::Error::Failed,
        };
        let platform =
            std::error::Error::source(&error).map_or_else(String::new, |s| s.to_string());
        Self::Told(case(wit::Said { message: error.to_string(), platform }))
    }
}

impl wit::Host for State {
    fn convert_error(&mut self, denial: Denial) -> wasmtime::Result<wit::Error> {
        match denial {
            Denial::Told(error) => Ok(error),
            Denial::Ends(error) => Err(error),
        }
    }
}
