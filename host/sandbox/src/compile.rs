//! Compiling at installation, in a child process with limits.
//!
//! Threat: a component that makes the compiler take all memory or never end (a compile bomb), or
//! that breaks it. The child sets its own limits before it reads a byte of the component; its
//! parent ends it at a deadline. It has an empty environment and writes one file into the private
//! cache, whole or not at all. A compilation never happens within a run's step.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::Error;
use crate::precompiled::{self, PrivateDirectory};
use crate::sandbox::compiling_engine;
use crate::text::cut_start;

/// Address space of the compiling child. Compiling CPython (40 MiB) takes 1.5 GiB, threads' stacks
/// and the allocator's reservations about as much again.
pub const COMPILER_ADDRESS_SPACE_BYTES_MAX: u64 = 4 << 30;
/// Processor seconds of the compiling child: CPython takes 60 s, a Rust plugin 2 s.
pub const COMPILER_PROCESSOR_S_MAX: u64 = 300;
/// Time after which the parent ends the compiling child.
pub const COMPILER_MS_MAX: u64 = 300_000;
/// What is kept of the child's last words.
const COMPILER_SAID_BYTES_MAX: usize = 4 * 1024;
/// Exit status by which the child says that the component itself is at fault.
pub const COMPILER_REFUSED_STATUS: u8 = 2;

/// Grows when a setting of the engine changes what compiled code looks like.
const GENERATION: u32 = 2;

/// How to start the compiling child: this very program with a hidden subcommand, which calls
/// [`compile_in_this_process`]. The component's path and the cache directory are put after
/// `arguments`.
#[derive(Clone, Debug)]
pub struct CompilerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
    /// Time after which the parent ends it; [`COMPILER_MS_MAX`] but in tests.
    pub deadline: Duration,
}

/// Limits that a compiling process puts on itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space.
    pub address_space_bytes: u64,
    /// Processor time.
    pub processor_s: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            address_space_bytes: COMPILER_ADDRESS_SPACE_BYTES_MAX,
            processor_s: COMPILER_PROCESSOR_S_MAX,
        }
    }
}

/// What the hidden subcommand does: limits this process for the rest of its life, then compiles a
/// component into the cache directory.
///
/// # Errors
/// [`Error::Refused`] when the component is at fault: the process must then exit with
/// [`COMPILER_REFUSED_STATUS`] and the error's causes on standard error. [`Error::Compiler`],
/// [`Error::Cache`], [`Error::Engine`] otherwise.
pub fn compile_in_this_process(
    component: &Path,
    cache_directory: &Path,
    limits: CompileLimits,
) -> Result<(), Error> {
    let what = component.display().to_string();
    let failed = |reason: String| Error::Compiler { what: what.clone(), reason };
    limit(Resource::As, limits.address_space_bytes).map_err(|e| failed(e.to_string()))?;
    limit(Resource::Cpu, limits.processor_s).map_err(|e| failed(e.to_string()))?;
    // A crash of the compiler leaves no memory image behind.
    limit(Resource::Core, 0).map_err(|e| failed(e.to_string()))?;
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source: system::Error| Error::Cache { path, source: source.into() }
    };
    let cache = PrivateDirectory::open(cache_directory).map_err(at(cache_directory))?;
    let bytes = read_component(component).map_err(|error| failed(error.to_string()))?;
    let engine = compiling_engine()?;
    let code = engine
        .precompile_component(&bytes)
        .map_err(|error| Error::Refused { what: what.clone(), reason: format!("{error:#}") })?;
    let digest = registry::digest(&bytes);
    let name = file_name(&digest);
    precompiled::write(&cache, &name, &code).map_err(at(&cache.path().join(&name)))?;
    forget_other_versions(&cache, &digest, &name);
    Ok(())
}

/// Runs the compiling child.
pub(crate) async fn in_child(
    cache: &PrivateDirectory,
    bytes: &[u8],
    digest: &str,
    compiler: &CompilerCommand,
) -> Result<(), Error> {
    let source = ComponentFile::write(cache, bytes)
        .map_err(|source| Error::Cache { path: cache.path().to_owned(), source: source.into() })?;
    let what = format!("component {digest}");
    let failed = |reason: String| Error::Compiler { what: what.clone(), reason };
    let mut child = Command::new(&compiler.program)
        .args(&compiler.arguments)
        .args([&source.path, cache.path()])
        .env_clear()
        .current_dir(cache.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("`{}`: {error}", compiler.program.display())))?;
    let ended = tokio::time::timeout(compiler.deadline, wait(&mut child)).await;
    let Ok(ended) = ended else {
        let limit = format!("{} s", compiler.deadline.as_secs_f64());
        return Err(Error::CompilerLimit { what, limit });
    };
    let (status, said) = ended.map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let said = system::redact::visible(said.trim()).into_owned();
    if status.code() == Some(COMPILER_REFUSED_STATUS.into()) {
        return Err(Error::Refused { what, reason: said });
    }
    // A process that a limit ended was killed or ran out of memory, and has no exit status of ours.
    match status.code() {
        None => Err(Error::CompilerLimit {
            what,
            limit: format!(
                "{} GiB of address space and {COMPILER_PROCESSOR_S_MAX} s of processor time",
                COMPILER_ADDRESS_SPACE_BYTES_MAX >> 30
            ),
        }),
        Some(code) => Err(failed(format!("it ended with status {code}: {said}"))),
    }
}

/// The name in the cache of a component's compiled code.
///
/// That it fits this build of wasmtime, this processor and every setting is not in the name, since
/// only a compiler could tell: wasmtime compares them when it loads the code, and refuses it.
pub(crate) fn file_name(digest: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("{}-{version}-{GENERATION}.compiled", digest.replace(':', "-"))
}

async fn wait(child: &mut Child) -> io::Result<(std::process::ExitStatus, String)> {
    let mut said = Vec::new();
    if let Some(mut errors) = child.stderr.take() {
        let mut piece = [0; 4096];
        loop {
            match errors.read(&mut piece).await? {
                0 => break,
                count => said.extend_from_slice(&piece[..count]),
            }
            // The end is kept, where programs say what went wrong.
            let surplus = said.len().saturating_sub(2 * COMPILER_SAID_BYTES_MAX);
            said.drain(..surplus);
        }
    }
    let text = String::from_utf8_lossy(&said);
    Ok((child.wait().await?, cut_start(&text, COMPILER_SAID_BYTES_MAX).to_owned()))
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    // What an administrator set lower stays lower: a hard limit cannot be raised.
    let now = getrlimit(resource);
    let most = now.maximum.map_or(most, |maximum| maximum.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

fn read_component(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = registry::COMPONENT_BYTES_MAX as u64;
    fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "the component is too large")),
        false => Ok(bytes),
    }
}

/// Code of the same component for other versions of vaultup is of no use to this one.
fn forget_other_versions(cache: &PrivateDirectory, digest: &str, name: &str) {
    let Ok(entries) = fs::read_dir(cache.path()) else { return };
    let prefix = format!("{}-", digest.replace(':', "-"));
    for entry in entries.flatten() {
        let other = entry.file_name();
        let other = other.to_string_lossy();
        if other.starts_with(&prefix) && other.ends_with(".compiled") && other != name {
            // It only takes room; whoever still runs that version makes it anew.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The component as a file for the child, removed when dropped.
struct ComponentFile {
    path: PathBuf,
}

impl ComponentFile {
    fn write(cache: &PrivateDirectory, bytes: &[u8]) -> io::Result<Self> {
        let name = format!("{}.component-{}", blake3::hash(bytes).to_hex(), std::process::id());
        let file = Self { path: cache.path().join(name) };
        fs::File::create(&file.path)?.write_all(bytes)?;
        Ok(file)
    }
}

impl Drop for ComponentFile {
    fn drop(&mut self) {
        // What is left after a crash has no name that is ever read.
        let _ = fs::remove_file(&self.path);
    }
}
