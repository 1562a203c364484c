//! Loads the plugins of a project: each is compared with its grant right before.

use model::Name;
use model::lock::Lock;
use registry::Registry;
use sandbox::{CompilerCommand, Plugin, Sandbox};

use crate::error::Error;
use crate::platform::Machinery;
use crate::project::Project;

/// Loads plugins by name.
pub(crate) struct Loader {
    registry: Registry,
    lock: Lock,
    sandbox: Sandbox,
    compiler: CompilerCommand,
}

impl Loader {
    pub(crate) fn new(machinery: &Machinery, project: &Project) -> Self {
        Self {
            registry: machinery.registry(&project.directory),
            lock: project.lock.clone(),
            sandbox: machinery.sandbox.clone(),
            compiler: machinery.compiler.clone(),
        }
    }

    /// Loads a plugin, and compiles it first if this version of vaultup has not yet.
    ///
    /// # Errors
    /// [`Error::Registry`] when it is not installed or not granted, [`Error::Sandbox`] when it
    /// cannot be loaded.
    pub(crate) async fn load(&self, name: &Name) -> Result<Plugin, Error> {
        let granted = self.registry.granted(&self.lock, name)?;
        Ok(self.sandbox.load_or_compile(&granted, &self.compiler).await?)
    }
}
