//! `vaultup plugin`: add plugins, and say what each may do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use model::Exit;
use model::lock::{Lock, Standing};
use registry::lock_file;
use runner::Machinery;
use runner::news::Silence;
use sandbox::CompileLimits;
use serde_json::json;

use crate::arguments::Global;
use crate::error::{CliError, Fault};
use crate::machinery::{block_on, gather, plugin_name};
use crate::shell::{Paint, Shell};

/// What is done with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Add a plugin from a file or by a short name, show what it wants, and allow it if you say so.
    Add(AddArguments),
    /// List the plugins of the lock file.
    #[command(after_help = "Example:\n  vaultup plugin list")]
    List,
    /// Show what a plugin says of itself and asks for.
    Inspect(NameArguments),
    /// Allow an installed plugin what it asks for.
    Grant(GrantArguments),
    /// Take a plugin's grant away; it stays installed.
    Revoke(NameArguments),
    /// Take a plugin out of the lock file.
    Remove(NameArguments),
}

/// Arguments of `vaultup plugin add`.
#[derive(Debug, Args)]
#[command(after_help = "Nothing of the plugin is run before it was allowed, and its compilation \
    is a process of its\nown with limits.\n\nExamples:\n  vaultup plugin add host\n  \
    vaultup plugin add ./acme.wasm")]
pub(crate) struct AddArguments {
    /// A file (with a `/` or `.wasm`), or the name of a plugin that came with vaultup.
    pub plugin: String,
    /// Allow what it asks for without asking.
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of `vaultup plugin grant`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vaultup plugin grant host")]
pub(crate) struct GrantArguments {
    /// The plugin.
    pub name: String,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of commands about one plugin.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vaultup plugin inspect host\n  vaultup plugin revoke host\n  \
    vaultup plugin remove host"
)]
pub(crate) struct NameArguments {
    /// The plugin.
    pub name: String,
}

/// Arguments of the hidden compiler.
#[derive(Debug, Args)]
pub(crate) struct CompileArguments {
    /// The component.
    pub component: PathBuf,
    /// Where the compiled code goes.
    pub directory: PathBuf,
}

/// Carries it out.
///
/// # Errors
/// What the registry, the sandbox or the person refuses.
pub(crate) fn execute(
    command: PluginCommand,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    // Compiling watches signals, which needs the executor.
    block_on(async {
        let machinery = gather(Arc::new(Silence))?;
        let directory = lock_directory(global);
        let path = directory.join(lock_file::LOCK_FILE);
        match command {
            PluginCommand::Add(its) => add(&its, &machinery, &path, shell).await,
            PluginCommand::List => list(&lock_file::read(&path)?, shell),
            PluginCommand::Inspect(its) => inspect(&its, &machinery, &path, shell),
            PluginCommand::Grant(its) => grant(&its, &machinery, &path, shell),
            PluginCommand::Revoke(its) => {
                let name = plugin_name(&its.name)?;
                lock_file::change(&path, |lock| lock_file::revoke(lock, &name))?;
                shell.note(&format!("{name} is installed, and may do nothing now"));
                Ok(Exit::Done)
            }
            PluginCommand::Remove(its) => {
                let name = plugin_name(&its.name)?;
                lock_file::change(&path, |lock| lock_file::remove(lock, &name))?;
                shell.note(&format!("{name} is no longer in the lock file"));
                Ok(Exit::Done)
            }
        }
    })
}

/// Compiles a component; what it may use is limited first.
///
/// # Errors
/// When it cannot be compiled within the limits.
pub(crate) fn compile(arguments: &CompileArguments) -> Result<Exit, Fault> {
    let limits = CompileLimits::default();
    sandbox::compile_in_this_process(&arguments.component, &arguments.directory, limits)?;
    Ok(Exit::Done)
}

async fn add(
    arguments: &AddArguments,
    machinery: &Machinery,
    path: &Path,
    shell: &Shell,
) -> Result<Exit, Fault> {
    let registry = machinery.registry(path.parent().unwrap_or(Path::new(".")));
    let here = std::env::current_dir().map_err(|error| CliError::Start(error.to_string()))?;
    let fetched = registry.fetch(&arguments.plugin, &here)?;
    let manifest = &fetched.inspected.manifest;
    let name = manifest.name.clone();
    let digest = fetched.inspected.digest.clone();
    machinery.sandbox.compile(&fetched.bytes, &digest, &machinery.compiler).await?;
    // Tried on a copy first: whoever says no finds the lock file as it was.
    let installed = registry.install(&mut lock_file::read(path)?, &fetched)?;
    let head = format!("{name} {}: {}", manifest.version, manifest.description);
    shell.note(&shell.paint(Paint::Bold, &head));
    shell.note(&format!("  {digest}"));
    if !installed.to_grant.is_empty() {
        installed.to_grant.iter().for_each(|need| shell.note(&format!("  {need}")));
        if !arguments.yes && !shell.confirm("allow this?") {
            let message = format!("{name} was not added and may do nothing");
            return Err(CliError::NotConfirmed(message).into());
        }
    }
    let (now, by) = (machinery.clock.now(), by(machinery));
    lock_file::change(path, |lock| {
        registry.install(lock, &fetched)?;
        if installed.to_grant.is_empty() { Ok(()) } else { registry.grant(lock, &name, now, &by) }
    })?;
    shell.answer(&json!({ "plugin": name, "digest": digest, "granted": true }), || {
        format!("{name} may be used")
    });
    Ok(Exit::Done)
}

fn list(lock: &Lock, shell: &Shell) -> Result<Exit, Fault> {
    let rows: Vec<_> = lock
        .plugins
        .iter()
        .map(|(name, plugin)| {
            let granted = matches!(lock.granted(name, &plugin.digest), Standing::Granted(..));
            json!({
                "name": name,
                "version": plugin.version,
                "digest": plugin.digest,
                "source": plugin.source,
                "granted": granted,
            })
        })
        .collect();
    shell.answer(&rows, || {
        let lines = lock.plugins.iter().map(|(name, plugin)| {
            let grant = plugin.grant.as_ref();
            let grant = grant.map(|grant| format!("granted by {} at {}", grant.by, grant.at));
            let grant = grant.unwrap_or_else(|| "not granted".to_owned());
            let digest = plugin.digest.get(..19).unwrap_or(&plugin.digest);
            format!("{name:<16} {:<10} {digest}  {}  {grant}", plugin.version, plugin.source)
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        if text.is_empty() { "no plugins yet: `vaultup plugin add host`".to_owned() } else { text }
    });
    Ok(Exit::Done)
}

fn inspect(
    arguments: &NameArguments,
    machinery: &Machinery,
    path: &Path,
    shell: &Shell,
) -> Result<Exit, Fault> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let registry = machinery.registry(directory);
    let reference = &arguments.name;
    let inspected = if reference.contains('/') || reference.ends_with(".wasm") {
        registry.fetch(reference, Path::new("."))?.inspected
    } else {
        registry.inspect_installed(&lock_file::read(path)?, &plugin_name(reference)?)?
    };
    let needs = inspected.manifest.needs();
    let value = json!({
        "manifest": inspected.manifest,
        "digest": inspected.digest,
        "imports": inspected.imports,
        "needs": needs.describe(),
    });
    shell.answer(&value, || {
        let manifest = &inspected.manifest;
        let exports: Vec<&str> = inspected.exports.iter().map(|its| its.as_str()).collect();
        let mut lines = vec![
            format!("{} {}: {}", manifest.name, manifest.version, manifest.description),
            format!("  digest    {}", inspected.digest),
            format!("  contract  {}", String::from(manifest.contract)),
            format!("  exports   {}", exports.join(", ")),
        ];
        lines.extend(needs.describe().into_iter().map(|need| format!("  {need}")));
        lines.push("  settings".to_owned());
        let schema = serde_json::to_string_pretty(&manifest.settings).unwrap_or_default();
        lines.extend(schema.lines().map(|line| format!("    {line}")));
        lines.join("\n")
    });
    Ok(Exit::Done)
}

fn grant(
    arguments: &GrantArguments,
    machinery: &Machinery,
    path: &Path,
    shell: &Shell,
) -> Result<Exit, Fault> {
    let name = plugin_name(&arguments.name)?;
    let registry = machinery.registry(path.parent().unwrap_or(Path::new(".")));
    let inspected = registry.inspect_installed(&lock_file::read(path)?, &name)?;
    for need in inspected.manifest.needs().describe() {
        shell.note(&format!("  {need}"));
    }
    if !arguments.yes && !shell.confirm(&format!("allow {name} this?")) {
        return Err(CliError::NotConfirmed(format!("{name} was not allowed anything")).into());
    }
    let (now, by) = (machinery.clock.now(), by(machinery));
    lock_file::change(path, |lock| registry.grant(lock, &name, now, &by))?;
    shell.answer(&json!({ "plugin": name, "granted": true }), || format!("{name} may be used"));
    Ok(Exit::Done)
}

fn by(machinery: &Machinery) -> String {
    format!("{}@{}", machinery.owner.user, machinery.owner.host)
}

fn lock_directory(global: &Global) -> PathBuf {
    let parent = global.stack_file.parent().filter(|path| !path.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    directory.canonicalize().unwrap_or_else(|_| directory.to_owned())
}
