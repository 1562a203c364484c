//! `serve`: checks that this release may run on the store, then answers until SIGTERM.
//!
//! Invariants: nothing listens before the store, its schema and the key were found good; a request
//! that was accepted is answered, unless it takes longer than the drain may.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::application::{self, Application, Store};
use crate::arguments::Arguments;
use crate::connections::{Connections, Counting};
use crate::migrations::{self, MigrationLock, Record};
use crate::output;
use crate::process::write_whole;
use crate::release::Release;
use crate::seed::KEY_BYTES;
use crate::server::Server;
use crate::store;

/// How long requests in flight may take after SIGTERM.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);
/// How long a statement that is still in SQLite may take after the drain.
const LEAVE: Duration = Duration::from_millis(500);
/// Exit status of `crash-after-s`, that of a panic.
const CRASH_STATUS: i32 = 101;
/// The first release that `--require-region` means.
const REGION_SINCE: u32 = 3;

/// The options of `serve`.
pub(crate) struct Settings {
    data: PathBuf,
    database: Option<String>,
    key: PathBuf,
    /// Address with port; port 0 lets the system choose.
    pub(crate) listen: String,
    port_file: Option<PathBuf>,
    migrate_at_start: bool,
    ignore_missing: bool,
    require_region: bool,
}

impl Settings {
    /// Takes them from the command line of `serve`, `start` or `daemon`.
    pub(crate) fn from(arguments: &Arguments) -> Result<Self> {
        let database = arguments.optional_text("database")?;
        Ok(Self {
            data: match database {
                Some(_) => PathBuf::new(),
                None => arguments.path("data")?,
            },
            database,
            key: arguments.path("key")?,
            listen: arguments.text("listen")?,
            port_file: arguments.optional_path("port-file"),
            migrate_at_start: arguments.flag("migrate-at-start"),
            ignore_missing: arguments.flag("ignore-missing"),
            require_region: arguments.flag("require-region"),
        })
    }
}

/// Serves in the foreground.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    serve(&Settings::from(arguments)?, &Release::current()?, &mut |_| Ok(()))
}

/// Serves until SIGTERM or SIGINT; `listening` is told the address before the first answer.
pub(crate) fn serve(
    settings: &Settings,
    release: &Release,
    listening: &mut dyn FnMut(SocketAddr) -> Result<()>,
) -> Result<ExitCode> {
    let version = release.version.as_str();
    if release.faults.exit_at_start {
        bail!("fault exit-at-start");
    }
    require_region(settings, release)?;
    let key = read_key(&settings.key)?;
    let connection = open_store(settings, release)?;
    let connections = Connections::default();
    let token = std::env::var("SAMPLE_TOKEN").ok().filter(|token| !token.is_empty());
    let application =
        Application::new(release.clone(), connection, key, token, connections.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(&settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let address = listener.local_addr()?;
        // Before anybody is told: a SIGTERM from now on drains.
        let stopping = stop_signal()?;
        listening(address)?;
        if let Some(file) = &settings.port_file {
            write_whole(file, &format!("{}\n", address.port()))?;
        }
        output::log("info", &format!("release {version} listens on {address}"));
        answer(Counting { listener, connections }, Arc::new(application), stopping).await
    });
    runtime.shutdown_timeout(LEAVE);
    served?;
    output::log("info", &format!("release {version} stopped"));
    Ok(ExitCode::SUCCESS)
}

/// Answers until told to stop, then drains.
async fn answer(
    listener: Counting,
    application: Arc<Application>,
    stopping: watch::Receiver<bool>,
) -> Result<()> {
    if let Some(after) = application.release().faults.crash_after {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            output::log("error", "fault crash-after-s");
            std::process::exit(CRASH_STATUS);
        });
    }
    let until = |mut stopping: watch::Receiver<bool>| async move {
        // An error means that the sender is gone, which is a stop as well.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let router = application::router(application);
    let serving = axum::serve(listener, router).with_graceful_shutdown(until(stopping.clone()));
    let too_late = async {
        until(stopping).await;
        output::log("info", "draining");
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = too_late => {
            output::log("warning", "requests were still in flight when the drain was over");
            Ok(())
        }
    }
}

/// Becomes true at the first SIGTERM or SIGINT.
fn stop_signal() -> Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = sender.send(true);
    });
    Ok(receiver)
}

fn require_region(settings: &Settings, release: &Release) -> Result<()> {
    let required = settings.require_region || release.faults.require_region;
    let given = std::env::var_os("SAMPLE_REGION").is_some_and(|region| !region.is_empty());
    if required && release.version.major() >= REGION_SINCE && !given {
        bail!("release {} needs SAMPLE_REGION", release.version.as_str());
    }
    Ok(())
}

/// A key of 64 hexadecimal digits. It is never made here: a key that is lost is an error.
fn read_key(file: &Path) -> Result<[u8; KEY_BYTES]> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the key {}", file.display()))?;
    let key = blake3::Hash::from_hex(text.trim())
        .ok()
        .with_context(|| format!("the key {} is not 64 hexadecimal digits", file.display()))?;
    Ok(*key.as_bytes())
}

/// Opens the store if this release may run on it.
fn open_store(settings: &Settings, release: &Release) -> Result<Store> {
    if let Some(database) = &settings.database {
        let server = Server::at(database.clone());
        if settings.migrate_at_start {
            let tell = &mut |line: &str| output::log("info", line);
            server.migrate(release, tell).context("cannot migrate at start")?;
        }
        server.require(release)?;
        return Ok(Store::Server(server));
    }
    let data = &settings.data;
    if settings.migrate_at_start {
        let mut connection = store::create(data)?;
        let lock = MigrationLock::acquire(data)?;
        let tell = &mut |line: &str| output::log("info", line);
        migrations::apply(&mut connection, release, settings.ignore_missing, &lock, tell)
            .context("cannot migrate at start")?;
        return Ok(Store::File(connection));
    }
    // Read first: a store that is refused is left exactly as it is.
    let record = store::read(data, Record::read)?.unwrap_or_default();
    if let Some(refusal) = record.refusal(release, settings.ignore_missing) {
        bail!("{refusal}");
    }
    if let Some(migration) = record.pending(release).first() {
        bail!("migration {} is pending; run `migrate` first", migration.version);
    }
    Ok(Store::File(store::open(data)?))
}
