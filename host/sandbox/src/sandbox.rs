//! The engine, and how a granted component becomes a [`Plugin`].
//!
//! Loading compiles nothing: the code was compiled at installation, by [`crate::compile`], into
//! the private cache that [`crate::precompiled`] reads.

use std::path::PathBuf;
use std::sync::Arc;

use registry::Granted;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, OptLevel};

use crate::compile::CompilerCommand;
use crate::imports;
use crate::limits::{CALL_STACK_BYTES, WASM_STACK_BYTES_MAX};
use crate::plugin::{Inner, Plugin, Worlds};
use crate::precompiled::{PrivateDirectory, Sealed};
use crate::ticker::Ticker;
use crate::{Error, compile};

/// Bytes that are reserved for a linear memory before it moves. A plugin's memory is small and its
/// life short, so that moving is cheaper than reserving the 4 GiB that spare checks.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// Where the sandbox keeps what it makes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory of compiled plugins. It is made if it is not there, and must be private.
    pub cache_directory: PathBuf,
}

/// Loads plugins. One a process; clones share everything.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    ticker: Ticker,
    cache: PrivateDirectory,
}

impl Sandbox {
    /// Starts the engine and opens the cache. Runs nothing and starts no thread.
    ///
    /// # Errors
    /// [`Error::Engine`], [`Error::Cache`].
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let directory = &settings.cache_directory;
        let cache = PrivateDirectory::open(directory)
            .map_err(|source| Error::Cache { path: directory.clone(), source: source.into() })?;
        let engine = running_engine()?;
        let ticker = Ticker::new(&engine);
        Ok(Self { inner: Arc::new(Shared { engine, ticker, cache }) })
    }

    /// Loads a granted plugin from its compiled code.
    ///
    /// # Errors
    /// [`Error::NotCompiled`] when there is no code for this version of vaultup, or it is damaged:
    /// compile it, then load again. [`Error::NotLoadable`] when it does not fit the contract.
    pub fn load(&self, granted: &Granted) -> Result<Plugin, Error> {
        let shared = &self.inner;
        let name = compile::file_name(granted.digest());
        let not_compiled = || Error::NotCompiled { plugin: granted.name().clone() };
        let sealed = Sealed::read(&shared.cache, &name).map_err(|source| Error::Cache {
            path: shared.cache.path().join(&name),
            source: source.into(),
        })?;
        let component = match sealed.ok_or_else(not_compiled)?.load(&shared.engine) {
            Ok(component) => component,
            Err(error) => {
                tracing::debug!(%error, %name, "compiled code was made by another version");
                return Err(not_compiled());
            }
        };
        let not_loadable = |error: wasmtime::Error| Error::NotLoadable {
            plugin: granted.name().clone(),
            reason: error.root_cause().to_string(),
        };
        let mut linker = Linker::new(&shared.engine);
        for import in granted.imports() {
            imports::link(&mut linker, import).map_err(not_loadable)?;
        }
        let component = linker.instantiate_pre(&component).map_err(not_loadable)?;
        let worlds = Worlds::find(granted.interfaces(), &component).map_err(not_loadable)?;
        Ok(Plugin {
            inner: Arc::new(Inner {
                engine: shared.engine.clone(),
                ticker: shared.ticker.clone(),
                manifest: Arc::new(granted.manifest().clone()),
                digest: granted.digest().to_owned(),
                interfaces: granted.interfaces().to_vec(),
                worlds,
            }),
        })
    }

    /// Loads a granted plugin, and compiles it first if this version of vaultup has not yet.
    ///
    /// # Errors
    /// As [`Sandbox::load`] and [`Sandbox::compile`].
    pub async fn load_or_compile(
        &self,
        granted: &Granted,
        compiler: &CompilerCommand,
    ) -> Result<Plugin, Error> {
        match self.load(granted) {
            Err(Error::NotCompiled { .. }) => {
                let bytes = granted.read().map_err(|error| Error::Compiler {
                    what: format!("component {}", granted.digest()),
                    reason: error.to_string(),
                })?;
                self.compile(&bytes, granted.digest(), compiler).await?;
                self.load(granted)
            }
            loaded => loaded,
        }
    }

    /// Compiles a component in a limited child process, into the cache. Nothing of the component
    /// is run.
    ///
    /// # Errors
    /// [`Error::Compiler`], [`Error::CompilerLimit`], [`Error::Refused`], [`Error::Cache`].
    pub async fn compile(
        &self,
        bytes: &[u8],
        digest: &str,
        compiler: &CompilerCommand,
    ) -> Result<(), Error> {
        compile::in_child(&self.inner.cache, bytes, digest, compiler).await
    }

    /// Whether there is code for this version of vaultup. Loading may still find it damaged.
    #[must_use]
    pub fn is_compiled(&self, digest: &str) -> bool {
        let name = compile::file_name(digest);
        self.inner.cache.path().join(name).is_file()
    }
}

/// The engine that runs compiled code. It has no compiler: making one costs a third of a
/// millisecond at every start, and what cannot compile cannot be made to.
pub(crate) fn running_engine() -> Result<Engine, Error> {
    let mut config = settings();
    config.enable_compiler(false);
    Engine::new(&config).map_err(|error| Error::Engine(error.into()))
}

/// The engine that compiles, in the child process.
pub(crate) fn compiling_engine() -> Result<Engine, Error> {
    let mut config = settings();
    config
        .cranelift_opt_level(OptLevel::Speed)
        // Tables that only debuggers and unwinders outside of wasmtime read: they would be a third
        // of what is read, hashed and copied whenever a plugin is loaded.
        .native_unwind_info(false)
        .generate_address_map(false);
    Engine::new(&config).map_err(|error| Error::Engine(error.into()))
}

/// What both must agree in; wasmtime compares it when it loads code.
fn settings() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES_MAX)
        .async_stack_size(CALL_STACK_BYTES)
        .concurrency_support(false)
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        // An instance lives for one call: copying its few pages is cheaper than a mapping.
        .memory_init_cow(false)
        // What no guest language's toolchain emits by default is off: less to go wrong.
        .wasm_tail_call(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false);
    config
}
