//! What can be wrong with a plugin's file, its place in the lock, or its grant.

use std::io;
use std::path::{Path, PathBuf};

use model::Name;
use model::problem::{Code, Exit, Place, Problem};

use crate::inspect::COMPONENT_BYTES_MAX;

/// Every error of this crate: number and name.
pub const CODES: &[(u16, &str)] = &[
    (170, "plugin-not-webassembly"),
    (171, "plugin-core-module"),
    (172, "plugin-file-damaged"),
    (173, "plugin-file-too-large"),
    (174, "plugin-manifest-missing"),
    (175, "plugin-exports-differ"),
    (176, "plugin-import-refused"),
    (177, "plugin-import-not-asked"),
    (180, "plugin-not-installed"),
    (181, "plugin-not-granted"),
    (182, "plugin-changed"),
    (183, "plugin-asks-for-more"),
    (184, "plugin-unknown"),
    (185, "plugin-file-unreadable"),
    (186, "plugin-store-unusable"),
    (187, "plugin-store-damaged"),
    (188, "plugin-name-differs"),
    (189, "lock-unreadable"),
    (190, "not-a-digest"),
];

/// What can be wrong with a plugin before it is loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No WebAssembly at all.
    #[error("this is no WebAssembly: it does not begin with `\\0asm`")]
    NotWebAssembly,
    /// WebAssembly, but not a component.
    #[error("this is a core WebAssembly module, not a component")]
    CoreModule,
    /// Cut, or malformed.
    #[error("this component is damaged: {0}")]
    Damaged(String),
    /// Larger than any plugin.
    #[error("this component has {bytes} bytes, and {COMPONENT_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its bytes.
        bytes: u64,
    },
    /// A component that is no plugin of vaultup.
    #[error("this component carries no manifest, so it is no plugin of vaultup")]
    ManifestMissing,
    /// The manifest is wrong, or asks for another contract.
    #[error(transparent)]
    Manifest(Box<model::Error>),
    /// The component exports something else than its manifest says.
    #[error(
        "plugin `{plugin}` exports {found}, and its manifest says {declared}: they must be the same"
    )]
    ExportsDiffer {
        /// The plugin.
        plugin: Name,
        /// What the component exports.
        found: String,
        /// What the manifest says.
        declared: String,
    },
    /// The component imports what no plugin gets.
    #[error("this component imports `{import}`, which vaultup does not give to plugins")]
    ImportRefused {
        /// The import.
        import: String,
    },
    /// The component imports an interface that its manifest does not ask for.
    #[error("plugin `{plugin}` imports `{import}`, and its manifest asks for none of it")]
    ImportNotAsked {
        /// The plugin.
        plugin: Name,
        /// The interface.
        import: String,
    },

    /// A file holds no plugin that can be used.
    #[error("{}: {error}", path.display())]
    NotUsable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<Error>,
    },

    /// No plugin of this name is in the lock.
    #[error("plugin `{name}` is not installed{}", meant(nearest.as_ref()))]
    NotInstalled {
        /// The name.
        name: Name,
        /// The installed one that is spelt most alike.
        nearest: Option<Name>,
    },
    /// It is installed, and nothing was granted to it.
    #[error("plugin `{name}` is installed, but nothing was granted to it")]
    NotGranted {
        /// The plugin.
        name: Name,
    },
    /// What is there now is not what the lock names.
    #[error(
        "plugin `{name}` changed since it was locked: `{source_text}` is now {found}, and \
         {locked} was granted"
    )]
    Changed {
        /// The plugin.
        name: Name,
        /// Where it came from.
        source_text: String,
        /// The digest in the lock.
        locked: String,
        /// The digest now.
        found: String,
    },
    /// It asks for more than was granted.
    #[error("plugin `{name}` asks for more than was granted: {}", wider.join("; "))]
    Wider {
        /// The plugin.
        name: Name,
        /// What is new, one line each.
        wider: Vec<String>,
    },
    /// A short name that is not in the bundled set.
    #[error("no plugin `{reference}` comes with vaultup{}", meant(nearest.as_ref()))]
    Unknown {
        /// What was asked for.
        reference: String,
        /// The bundled one that is spelt most alike.
        nearest: Option<Name>,
    },
    /// A file that the operator named.
    #[error("`{}` cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store cannot be read or written.
    #[error("the plugin store cannot be used at `{}`", path.display())]
    Store {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file in the store is not what its name says.
    #[error("`{}` is not what its name says: it was damaged or exchanged", path.display())]
    StoreDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The component's manifest has another name than the lock.
    #[error("the component locked as plugin `{locked}` calls itself `{found}`")]
    NameDiffers {
        /// The name in the lock.
        locked: Name,
        /// The name in the manifest.
        found: Name,
    },
    /// The lock file cannot be read or written.
    #[error("`{}` cannot be used", path.display())]
    LockFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text that should be a digest.
    #[error("`{text}` is no digest: it is `blake3:` and 64 hexadecimal digits")]
    NoDigest {
        /// The text.
        text: String,
    },
}

impl Error {
    pub(crate) fn damaged(error: wasmparser::BinaryReaderError) -> Self {
        Self::Damaged(format!("{} at byte {}", error.message(), error.offset()))
    }

    pub(crate) fn manifest(error: model::Error) -> Self {
        Self::Manifest(Box::new(error))
    }

    pub(crate) fn store(
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Store { path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn lock_file(
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::LockFile { path: path.to_owned(), source: source.into() }
    }
}

impl Problem for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Manifest(error) => return error.code(),
            Self::NotUsable { error, .. } => return error.code(),
            Self::NotWebAssembly => 170,
            Self::CoreModule => 171,
            Self::Damaged(_) => 172,
            Self::TooLarge { .. } => 173,
            Self::ManifestMissing => 174,
            Self::ExportsDiffer { .. } => 175,
            Self::ImportRefused { .. } => 176,
            Self::ImportNotAsked { .. } => 177,
            Self::NotInstalled { .. } => 180,
            Self::NotGranted { .. } => 181,
            Self::Changed { .. } => 182,
            Self::Wider { .. } => 183,
            Self::Unknown { .. } => 184,
            Self::File { .. } => 185,
            Self::Store { .. } => 186,
            Self::StoreDamaged { .. } => 187,
            Self::NameDiffers { .. } => 188,
            Self::LockFile { .. } => 189,
            Self::NoDigest { .. } => 190,
        })
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Manifest(error) => error.place(),
            Self::NotUsable { error, .. } => error.place(),
            _ => None,
        }
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::Manifest(error) => return error.next(),
            Self::NotUsable { error, .. } => return error.next(),
            Self::NotWebAssembly | Self::Damaged(_) => {
                "fetch the file again, and compare its digest with the publisher's".to_owned()
            }
            Self::CoreModule => {
                "build it as a component: `cargo build --target wasm32-wasip2`".to_owned()
            }
            Self::TooLarge { .. } => {
                "ask the plugin's author for a component without debugging information".to_owned()
            }
            Self::ManifestMissing => {
                "build it with the SDK, which puts `plugin.toml` into the component".to_owned()
            }
            Self::ExportsDiffer { .. } => {
                "correct `exports` in the plugin's `plugin.toml` and build it again".to_owned()
            }
            Self::ImportRefused { .. } => "use the contract's own interfaces instead: \
                                           `process`, `files`, `http`"
                .to_owned(),
            Self::ImportNotAsked { import, .. } => {
                format!("declare `[[{import}]]` in the plugin's `plugin.toml` and build it again")
            }
            Self::NotInstalled { name, .. } => {
                format!("`vaultup plugin add {name}`, or `vaultup plugin add ./{name}.wasm`")
            }
            Self::NotGranted { name } | Self::Wider { name, .. } => {
                format!("`vaultup plugin grant {name}`")
            }
            Self::Changed { name, source_text, .. } => {
                format!("`vaultup plugin add {source_text}`, then `vaultup plugin grant {name}`")
            }
            Self::Unknown { .. } => {
                "name a file, such as `vaultup plugin add ./host.wasm`; `vaultup plugin list` \
                 shows what comes with vaultup"
                    .to_owned()
            }
            Self::File { path, .. } => format!("check the path `{}`", path.display()),
            Self::Store { path, .. } => {
                format!("make room or rights at `{}`, then try again", path.display())
            }
            Self::StoreDamaged { path } => {
                format!("remove `{}`, then `vaultup plugin add` it again", path.display())
            }
            Self::NameDiffers { found, .. } => {
                format!("`vaultup plugin remove {found}`, then `vaultup plugin add` it again")
            }
            Self::LockFile { path, .. } => {
                format!(
                    "check the rights of `{}`, or restore it from version control",
                    path.display()
                )
            }
            Self::NoDigest { .. } => "copy the whole digest".to_owned(),
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Store { .. } | Self::LockFile { .. } => Exit::Failed,
            _ => Exit::BadInput,
        }
    }
}

fn meant(nearest: Option<&Name>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CODES;

    #[test]
    fn every_code_lies_in_this_crates_range_and_is_used_once() {
        let numbers: BTreeSet<u16> = CODES.iter().map(|(number, _)| *number).collect();
        let names: BTreeSet<&str> = CODES.iter().map(|(_, name)| *name).collect();
        assert_eq!(numbers.len(), CODES.len());
        assert_eq!(names.len(), CODES.len());
        assert!(numbers.iter().all(|number| (170..=199).contains(number)));
    }
}
