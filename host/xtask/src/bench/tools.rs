//! The tools that vaultup is compared with, from Debian's packages, and a key for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, screen};

/// What a runbook's backup is made of, with the Debian package that brings it.
const TOOLS: &[(&str, &str)] = &[
    ("tar", "tar"),
    ("zstd", "zstd"),
    ("age", "age"),
    ("age-keygen", "age"),
    ("bash", "bash"),
    ("find", "findutils"),
    ("xargs", "findutils"),
];
/// Those whose speed the figures depend on.
const COMPARED: &[&str] = &["tar", "zstd", "age"];

/// A key pair of `age`, made for one bench.
pub(super) struct Key {
    /// The file with the private half.
    pub(super) identity: PathBuf,
    /// The public half.
    pub(super) recipient: String,
}

/// Installs with Debian's packages what is missing, and says what is compared with.
pub(super) fn install() -> Result<()> {
    let missing = TOOLS.iter().filter(|(tool, _)| !process::exists(tool));
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if !packages.is_empty() {
        let update = process::run(Command::new("apt-get").arg("update"));
        let mut install = Command::new("apt-get");
        install.args(["install", "--yes", "--no-install-recommends"]).args(&packages);
        if let Err(error) = update.and_then(|()| process::run(&mut install)) {
            let packages = packages.join(" ");
            bail!("{error:#}; the comparison needs what `apt-get install {packages}` brings");
        }
    }
    let version = |tool: &&str| {
        let said = process::output(Command::new(tool).arg("--version"))?;
        Ok(format!("{tool} ({})", said.lines().next().unwrap_or_default().trim_matches(['*', ' '])))
    };
    let versions = COMPARED.iter().map(version).collect::<Result<Vec<_>>>()?.join(", ");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    screen::say(format_args!("compared with {versions}, on {cores} cores"));
    Ok(())
}

/// Makes a key pair, in place of what is there.
pub(super) fn make_key(folder: &Path) -> Result<Key> {
    let identity = folder.join("identity");
    if identity.exists() {
        fs::remove_file(&identity)?;
    }
    let mut keygen = Command::new("age-keygen");
    // It says the public half on stderr, which stands in the file as well.
    keygen.stderr(std::process::Stdio::null());
    process::quiet(keygen.arg("--output").arg(&identity))?;
    let text = fs::read_to_string(&identity)?;
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: "));
    let recipient = recipient.context("`age-keygen` wrote no public key")?.trim().to_owned();
    Ok(Key { identity, recipient })
}
