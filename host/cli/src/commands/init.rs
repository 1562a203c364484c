//! `vaultup init`: a stack file from what is found here.

use std::io::Write as _;
use std::path::Path;

use clap::Args;
use model::{Exit, Name};
use registry::Bundled;
use serde_json::json;

use crate::arguments::Global;
use crate::error::{CliError, Fault};
use crate::init::{Found, find, stack_file};
use crate::machinery::{executable, plugin_name};
use crate::shell::Shell;

/// Arguments of `vaultup init`.
#[derive(Debug, Args)]
#[command(after_help = "Nothing that exists is overwritten.\n\nExamples:\n  vaultup init\n  \
    vaultup init --plugin host --name shop")]
pub(crate) struct InitArguments {
    /// The plugin that deploys the component, if it is not to be found out.
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
    /// The stack's name; the directory's name if none is given.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Carries it out.
///
/// # Errors
/// When there is a stack file already, or nothing is found.
pub(crate) fn execute(
    arguments: &InitArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    let path = &global.stack_file;
    let directory = path.parent().filter(|its| !its.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let found = match &arguments.plugin {
        Some(plugin) => vec![Found::named(plugin_name(plugin)?)],
        None => find(directory),
    };
    if found.is_empty() {
        return Err(CliError::NothingFound.into());
    }
    let name = match &arguments.name {
        Some(name) => Name::parse(name).map_err(|error| CliError::Usage(error.to_string()))?,
        None => name_of(directory)?,
    };
    let text = stack_file(&name, &found);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(CliError::FileExists(path.clone()).into());
        }
        Err(source) => return Err(CliError::NotWritten { path: path.clone(), source }.into()),
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .map_err(|source| CliError::NotWritten { path: path.clone(), source })?,
    }
    let seen: Vec<String> = found.iter().map(|its| its.seen.clone()).collect();
    shell.answer(&json!({ "written": path, "found": seen }), || {
        format!("wrote {} from {}", path.display(), seen.join(", "))
    });
    let bundled = Bundled::beside(&executable()?);
    let next = found.iter().map(|its| match bundled.find(&its.plugin) {
        Some(_) => format!("`vaultup plugin add {}`", its.plugin),
        None => format!(
            "`vaultup plugin add ./{0}.wasm`, because no plugin `{0}` comes with this vaultup",
            its.plugin
        ),
    });
    shell.note(&format!("  next: read it, then {}", next.collect::<Vec<_>>().join(", ")));
    Ok(Exit::Done)
}

/// The directory's name as a stack's name, if anything of it can be used.
///
/// # Errors
/// [`CliError::Usage`] when nothing can.
fn name_of(directory: &Path) -> Result<Name, CliError> {
    let full = directory.canonicalize().unwrap_or_default();
    let last = full.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(model::name::NAME_BYTES_MAX)
        .collect();
    Name::parse(plain.trim_end_matches('-'))
        .map_err(|_| CliError::Usage("give the stack a name with `--name`".to_owned()))
}
