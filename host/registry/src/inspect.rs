//! What a component says of itself, read without compiling or running a line of it.
//!
//! Threat: a file that is no plugin, or one that wants more than it says. Everything that can be
//! known from the bytes is checked here, before a compiler sees them: that it is a whole
//! component, that it carries one manifest, that its exports are those of the manifest, that it
//! imports nothing but the contract and the few WASI interfaces that language runtimes need, and
//! that the manifest asks for each of the contract's interfaces that it imports.

use model::contract::Interface;
use model::manifest::{CONTRACT_OFFERED, ContractVersion, Manifest};
use model::pattern::shown;

use crate::Error;
use crate::outline::{Outline, Seen};

/// The largest component. CPython with its library, the largest guest known to us, has 40 MiB.
pub const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What errors call the manifest within the component.
const MANIFEST_FILE: &str = "plugin.toml";
/// The package that the contract's interfaces belong to.
const CONTRACT_PACKAGE: &str = "vaultup:plugin/";
/// The contract's interfaces that a component may import, and which of them the manifest asks for.
const CONTRACT_IMPORTS: [(&str, Option<Asked>); 10] = [
    ("types", None),
    ("process", Some(Asked::Process)),
    ("http", Some(Asked::Http)),
    ("files", Some(Asked::Files)),
    ("artifact", None),
    ("secret", None),
    ("log", None),
    ("progress", None),
    ("cancel", None),
    ("clock", None),
];
/// What language runtimes need: nothing of it reaches outside the sandbox. Files, sockets and HTTP
/// of WASI are absent on purpose; a plugin uses the contract's.
const WASI_IMPORTS: [&str; 16] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:random/",
];
const WASI_VERSION: &str = "0.2.";

/// Something that a manifest asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Process,
    Http,
    Files,
}

/// What is known of a component from its bytes alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// `blake3:` and the hexadecimal digest of the whole file.
    pub digest: String,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The interfaces that it exports, in the contract's order; the manifest's are the same.
    pub exports: Vec<Interface>,
    /// The interfaces that it imports, by name.
    pub imports: Vec<String>,
}

/// Reads what a component says of itself and checks it against the component.
///
/// # Errors
/// The kinds of [`Error`] about a file that is no usable plugin; each names what was found.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, Error> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(Error::TooLarge { bytes: bytes.len() as u64 });
    }
    let seen = Seen::read(bytes).map_err(|error| Error::Damaged(error.to_string()))?;
    seen.outline.and_then(|outline| check(outline, seen.digest, Manifest::parse))
}

/// As [`inspect`], of a component that was inspected when it came into the store.
pub(crate) fn inspect_again(seen: Seen) -> Result<Inspected, Error> {
    seen.outline.and_then(|outline| check(outline, seen.digest, Manifest::parse_again))
}

fn check(
    outline: Outline,
    digest: String,
    parse: fn(&str, &str) -> Result<Manifest, model::Error>,
) -> Result<Inspected, Error> {
    let text = outline.manifest.as_deref().ok_or(Error::ManifestMissing)?;
    let manifest = parse(text, MANIFEST_FILE).map_err(Error::manifest)?;
    manifest.check_contract().map_err(Error::manifest)?;
    for interface in outline.exports.iter().chain(&outline.imports) {
        check_contract(&manifest, interface)?;
    }
    let exports = check_exports(&manifest, &outline)?;
    for import in &outline.imports {
        check_import(&manifest, import)?;
    }
    Ok(Inspected { digest, manifest, exports, imports: outline.imports.into_iter().collect() })
}

/// `blake3:` and the hexadecimal digest.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(bytes).to_hex())
}

/// Whatever the manifest says, the component itself may have been built against a newer contract.
fn check_contract(manifest: &Manifest, interface: &str) -> Result<(), Error> {
    match of_the_contract(interface) {
        Some((_, needed)) if needed > CONTRACT_OFFERED => {
            Err(Error::manifest(model::Error::ContractTooNew {
                plugin: manifest.name.clone(),
                version: manifest.version.clone(),
                needed,
                offered: CONTRACT_OFFERED,
            }))
        }
        _ => Ok(()),
    }
}

fn check_exports(manifest: &Manifest, outline: &Outline) -> Result<Vec<Interface>, Error> {
    let named = |interface: &&Interface| {
        outline.exports.iter().any(|export| {
            of_the_contract(export).is_some_and(|(name, _)| name == interface.as_str())
        })
    };
    let found: Vec<Interface> = Interface::ALL.into_iter().filter(|i| named(&i)).collect();
    let declared: Vec<Interface> =
        Interface::ALL.into_iter().filter(|i| manifest.exports.contains(i)).collect();
    if found == declared && !found.is_empty() {
        return Ok(found);
    }
    let listed = |interfaces: &[Interface]| match interfaces {
        [] => "nothing of the contract".to_owned(),
        some => some.iter().map(|i| i.as_str()).collect::<Vec<_>>().join(", "),
    };
    Err(Error::ExportsDiffer {
        plugin: manifest.name.clone(),
        found: listed(&found),
        declared: listed(&declared),
    })
}

fn check_import(manifest: &Manifest, import: &str) -> Result<(), Error> {
    let refused = || Error::ImportRefused { import: shown(import) };
    let Some((name, _)) = of_the_contract(import) else {
        let (interface, version) = import.split_once('@').ok_or_else(refused)?;
        let known = WASI_IMPORTS.iter().any(|allowed| {
            interface == *allowed || (allowed.ends_with('/') && interface.starts_with(allowed))
        });
        return match known && version.starts_with(WASI_VERSION) {
            true => Ok(()),
            false => Err(refused()),
        };
    };
    let (_, asked) =
        CONTRACT_IMPORTS.into_iter().find(|(known, _)| *known == name).ok_or_else(refused)?;
    let is_asked = match asked {
        None => true,
        Some(Asked::Process) => !manifest.process.is_empty(),
        Some(Asked::Http) => !manifest.http.is_empty(),
        Some(Asked::Files) => !manifest.files.is_empty(),
    };
    match is_asked {
        true => Ok(()),
        false => {
            Err(Error::ImportNotAsked { plugin: manifest.name.clone(), import: name.to_owned() })
        }
    }
}

/// `deploy` and 0.1 of `vaultup:plugin/deploy@0.1.0`.
fn of_the_contract(name: &str) -> Option<(&str, ContractVersion)> {
    let (interface, version) = name.strip_prefix(CONTRACT_PACKAGE)?.split_once('@')?;
    let (version, _patch) = version.rsplit_once('.')?;
    Some((interface, ContractVersion::try_from(version.to_owned()).ok()?))
}
