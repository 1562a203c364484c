//! The comparison of what is there with what was granted, and the value that says it was made.
//!
//! Threat: a component that was exchanged in the store, at its source or in the lock; one that
//! asks for more than its operator saw; a lock that somebody edited.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::Name;
use model::contract::Interface;
use model::lock::{Grant, Lock, LockedPlugin};
use model::manifest::Manifest;

use crate::inspect::{Inspected, inspect_again};
use crate::{Bundled, Error, Fetched, PluginStore, lock_file};

/// Plugins of one stack: the store, the bundled set, and where the lock lies.
#[derive(Clone, Debug)]
pub struct Registry {
    pub(crate) store: PluginStore,
    pub(crate) bundled: Bundled,
    pub(crate) lock_directory: PathBuf,
}

/// A component whose bytes and needs were compared with a grant just now. Only
/// [`Registry::granted`] makes one, and the sandbox loads nothing else.
#[derive(Clone, Debug)]
pub struct Granted {
    inspected: Inspected,
    store: PluginStore,
}

/// How a plugin was put into the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The plugin.
    pub name: Name,
    /// What has to be granted before it may run, one line each; empty: an earlier grant covers it.
    pub to_grant: Vec<String>,
}

impl Granted {
    /// The plugin's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inspected.manifest.name
    }

    /// `blake3:` and the digest of the component.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.inspected.digest
    }

    /// What the plugin says of itself; all that it asks for was granted.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.inspected.manifest
    }

    /// The interfaces that it exports.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.inspected.exports
    }

    /// The interfaces that it imports, by name.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.inspected.imports
    }

    /// The whole component, read again from the store and found to have the digest.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::StoreDamaged`].
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        self.store.read(&self.inspected.digest)
    }
}

impl Registry {
    /// Puts it together. `lock_directory` is where `vaultup.lock` lies: relative sources in it
    /// begin there.
    #[must_use]
    pub fn new(store: PluginStore, bundled: Bundled, lock_directory: &Path) -> Self {
        Self { store, bundled, lock_directory: lock_directory.components().collect() }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &PluginStore {
        &self.store
    }

    /// The bundled set.
    #[must_use]
    pub fn bundled(&self) -> &Bundled {
        &self.bundled
    }

    /// Keeps a fetched plugin and puts it into the lock. A grant that covers it is kept.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn install(&self, lock: &mut Lock, fetched: &Fetched) -> Result<Installed, Error> {
        self.store.add(fetched)?;
        let to_grant = lock_file::install(lock, fetched);
        Ok(Installed { name: fetched.inspected.manifest.name.clone(), to_grant })
    }

    /// Grants an installed plugin everything that it asks for now.
    ///
    /// # Errors
    /// [`Error::NotInstalled`], [`Error::Changed`], and those of the store and of inspection.
    pub fn grant(
        &self,
        lock: &mut Lock,
        name: &Name,
        at: Timestamp,
        by: &str,
    ) -> Result<(), Error> {
        let plugin = lock_file::find(lock, name)?;
        let inspected = self.locked(name, plugin)?;
        let grant = Grant { needs: inspected.manifest.needs(), at, by: by.to_owned() };
        if let Some(plugin) = lock.plugins.get_mut(name) {
            plugin.grant = Some(grant);
        }
        Ok(())
    }

    /// What an installed plugin says of itself, granted or not.
    ///
    /// # Errors
    /// As [`Registry::grant`].
    pub fn inspect_installed(&self, lock: &Lock, name: &Name) -> Result<Inspected, Error> {
        self.locked(name, lock_file::find(lock, name)?)
    }

    /// Compares a plugin's bytes with the lock, and what it asks for with what was granted.
    ///
    /// # Errors
    /// [`Error::NotInstalled`], [`Error::NotGranted`], [`Error::Changed`], [`Error::Wider`], and
    /// those of the store and of inspection.
    pub fn granted(&self, lock: &Lock, name: &Name) -> Result<Granted, Error> {
        let plugin = lock_file::find(lock, name)?;
        let grant =
            plugin.grant.as_ref().ok_or_else(|| Error::NotGranted { name: name.clone() })?;
        let inspected = self.locked(name, plugin)?;
        let wider = inspected.manifest.needs().wider_than(&grant.needs);
        if !wider.is_empty() {
            return Err(Error::Wider { name: name.clone(), wider });
        }
        Ok(Granted { inspected, store: self.store.clone() })
    }

    /// The component that the lock names. Where the store does not have it (another machine, the
    /// same lock from version control), it is fetched from its source, if that is still the same.
    fn locked(&self, name: &Name, plugin: &LockedPlugin) -> Result<Inspected, Error> {
        let inspected = match self.store.contains(&plugin.digest) {
            true => inspect_again(self.store.look(&plugin.digest)?)?,
            false => {
                let fetched = self.fetch(&plugin.source, &self.lock_directory)?;
                if fetched.inspected.digest != plugin.digest {
                    return Err(Error::Changed {
                        name: name.clone(),
                        source_text: plugin.source.clone(),
                        locked: plugin.digest.clone(),
                        found: fetched.inspected.digest,
                    });
                }
                self.store.add(&fetched)?;
                fetched.inspected
            }
        };
        match &inspected.manifest.name == name {
            true => Ok(inspected),
            false => {
                Err(Error::NameDiffers { locked: name.clone(), found: inspected.manifest.name })
            }
        }
    }
}
