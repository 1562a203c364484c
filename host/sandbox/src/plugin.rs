//! A loaded plugin: one method for every function of the contract.
//!
//! Invariants:
//! - Each call has its own store and instance, thrown away afterwards: nothing that one call did,
//!   not even a trap, is seen by the next.
//! - A function that the component does not export, or that may change something while only
//!   reading is allowed, is refused without touching the guest.

use std::sync::Arc;

use model::Name;
use model::contract::Interface;
use model::manifest::Manifest;
use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::InstancePre;

use crate::bindings::backup::BacksUpPre;
use crate::bindings::deploy::DeploysPre;
use crate::bindings::health_check::ChecksHealthPre;
use crate::bindings::migrate::MigratesPre;
use crate::bindings::restore::RestoresPre;
use crate::state::State;
use crate::ticker::Ticker;

mod functions;

/// A loaded plugin. Clones share it; calls may run at the same time.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) digest: String,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) worlds: Worlds,
}

/// The exported interfaces, looked up once.
#[derive(Default)]
pub(crate) struct Worlds {
    pub(crate) backup: Option<BacksUpPre<State>>,
    pub(crate) migrate: Option<MigratesPre<State>>,
    pub(crate) deploy: Option<DeploysPre<State>>,
    pub(crate) health_check: Option<ChecksHealthPre<State>>,
    pub(crate) restore: Option<RestoresPre<State>>,
}

/// A changing operation of `backup`, as its read-only twin names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupChange {
    /// `backup.take`.
    Take,
    /// `backup.prove`.
    Prove,
}

/// A stage of a restore, as the read-only twin names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreStage {
    /// `restore.fill`.
    Fill,
    /// `restore.switch`.
    Switch,
    /// `restore.discard`.
    Discard,
}

impl Worlds {
    pub(crate) fn find(
        interfaces: &[Interface],
        component: &InstancePre<State>,
    ) -> wasmtime::Result<Self> {
        let mut worlds = Self::default();
        for interface in interfaces {
            let component = component.clone();
            match interface {
                Interface::Backup => worlds.backup = Some(BacksUpPre::new(component)?),
                Interface::Migrate => worlds.migrate = Some(MigratesPre::new(component)?),
                Interface::Deploy => worlds.deploy = Some(DeploysPre::new(component)?),
                Interface::HealthCheck => {
                    worlds.health_check = Some(ChecksHealthPre::new(component)?);
                }
                Interface::Restore => worlds.restore = Some(RestoresPre::new(component)?),
            }
        }
        Ok(worlds)
    }
}

impl Plugin {
    /// The plugin's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inner.manifest.name
    }

    /// `blake3:` and the digest of the component that was granted and loaded.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// The interfaces that it exports.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.inner.interfaces
    }
}
