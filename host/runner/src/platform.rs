//! The project's plugins, ready to be called.
//!
//! [`Machinery`] is what this machine gives, made once by the command line. [`Platform`] joins it
//! with a project: it knows which plugin is whose, fills settings in, and opens sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use engine::plan::{Intent, Plan};
use model::Name;
use model::contract::{Interface, Operation, PluginError, Said, Target};
use model::release::Release;
use sandbox::{
    Artifacts, BoxFuture, CompilerCommand, Inside, Mode, Observer, Plugin, Sandbox, Secrets,
    Session, Surroundings,
};
use system::clock::Clock;
use system::places::Places;
use system::redact::Redactor;
use system::secrets::Secret;
use tokio::sync::watch;

use crate::barrier::Barrier;
use crate::error::Error;
use crate::loader::Loader;
use crate::news::{Listener, News};
use crate::project::Project;

/// Variables of vaultup's own environment that every command gets; nothing else is handed on.
/// `KUBECONFIG` is a path that says where a tool looks, as `HOME` does.
const ENVIRONMENT_KEPT: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "KUBECONFIG"];

/// What this machine gives.
#[derive(Clone)]
pub struct Machinery {
    /// Where files belong.
    pub places: Places,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Loads and calls plugins.
    pub sandbox: Sandbox,
    /// The plugins that were added.
    pub store: registry::PluginStore,
    /// The plugins that came with vaultup.
    pub bundled: registry::Bundled,
    /// Compiles a plugin in a process of its own.
    pub compiler: CompilerCommand,
    /// Who takes locks.
    pub owner: journal::Owner,
    /// vaultup's own environment: secrets may come from it, and a few variables go to commands.
    pub environment: BTreeMap<OsString, OsString>,
    /// Hears what happens.
    pub listener: Arc<dyn Listener>,
    /// Is told of the instants around an effect.
    pub barrier: Arc<dyn Barrier>,
    /// Turns true when the operation under way is to stop.
    pub cancel: watch::Receiver<bool>,
    /// Turns true when the run is to hold before its next effect.
    pub hold: watch::Receiver<bool>,
}

impl Machinery {
    /// Finds, keeps and compares the plugins of the lock file in a directory.
    #[must_use]
    pub fn registry(&self, lock_directory: &Path) -> registry::Registry {
        registry::Registry::new(self.store.clone(), self.bundled.clone(), lock_directory)
    }

    fn surroundings(&self) -> Surroundings {
        let kept = |name: &OsStr| ENVIRONMENT_KEPT.iter().any(|known| *known == name);
        let environment = self.environment.iter().filter(|(name, _)| kept(name));
        Surroundings {
            environment: environment.map(|(n, v)| (n.clone(), v.clone())).collect(),
            secret_directory: self.places.runtime.join("secrets"),
            log_directory: self.places.state.join("logs"),
            digests: system::process::Digests::default(),
            http: system::http::Http::new(),
            clock: self.clock.clone(),
        }
    }
}

/// A project's plugins, ready to be called.
pub struct Platform {
    /// What this machine gives.
    pub machinery: Machinery,
    /// The project.
    pub project: Project,
    plugins: BTreeMap<Name, Plugin>,
    loader: Arc<Loader>,
    secrets: Arc<KnownSecrets>,
    surroundings: Arc<Surroundings>,
}

impl Platform {
    /// Loads the plugins of every component and datastore, and checks their settings.
    ///
    /// # Errors
    /// [`Error::Registry`] when a plugin is not installed or not granted, [`Error::Sandbox`] when
    /// it cannot be loaded, [`Error::InterfaceMissing`], [`Error::Settings`].
    pub async fn open(machinery: Machinery, project: Project) -> Result<Self, Error> {
        Self::open_only(machinery, project, None).await
    }

    /// As [`Platform::open`], but only what is needed to ask about one component or datastore, if
    /// one is named: a question about one need not wait for the plugins of the others.
    ///
    /// # Errors
    /// As [`Platform::open`].
    pub async fn open_only(
        machinery: Machinery,
        project: Project,
        only: Option<&str>,
    ) -> Result<Self, Error> {
        let components = project.stack.components.iter().map(|(name, its)| (name, &its.plugin));
        let datastores = project.stack.datastores.iter().map(|(name, its)| (name, &its.plugin));
        let used = components.chain(datastores).filter(|(name, _)| is_meant(only, name));
        let used: BTreeSet<Name> = used.map(|(_, plugin)| plugin.clone()).collect();
        let loader = Arc::new(Loader::new(&machinery, &project));
        let mut plugins = BTreeMap::new();
        for name in used {
            let plugin = loader.load(&name).await?;
            plugins.insert(name, plugin);
        }
        let secrets = Arc::new(KnownSecrets::read(&machinery, &project).await?);
        let surroundings = Arc::new(machinery.surroundings());
        let platform = Self { machinery, project, plugins, loader, secrets, surroundings };
        platform.check_interfaces(only)?;
        platform.check_settings(only)?;
        Ok(platform)
    }

    /// The plugin of a component or datastore.
    ///
    /// # Errors
    /// [`Error::NoSuchSubject`].
    pub fn plugin(&self, subject: &Name) -> Result<&Plugin, Error> {
        let stack = &self.project.stack;
        let component = stack.components.get(subject).map(|its| &its.plugin);
        let datastore = stack.datastores.get(subject).map(|its| &its.plugin);
        let plugin = component.or(datastore).and_then(|name| self.plugins.get(name));
        plugin.ok_or_else(|| Error::NoSuchSubject {
            name: subject.to_string(),
            known: stack.order().iter().map(Name::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// Whether the plugin of a component or datastore exports an interface.
    #[must_use]
    pub fn exports(&self, subject: &Name, interface: Interface) -> bool {
        self.plugin(subject).is_ok_and(|plugin| plugin.interfaces().contains(&interface))
    }

    /// Digests of the plugins, by name.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<Name, String> {
        let each = self.plugins.iter();
        each.map(|(name, plugin)| (name.clone(), plugin.digest().to_owned())).collect()
    }

    /// The tools that the plugins run, resolved, with their digests; those that are not there are
    /// left out and refused when they are needed.
    ///
    /// # Errors
    /// [`Error::System`] when one cannot be read.
    pub fn tools(&self) -> Result<BTreeMap<String, String>, Error> {
        let directory = &self.project.directory;
        let path = self.search_path();
        let mut tools = BTreeMap::new();
        for tool in self.plugins.values().flat_map(|plugin| &plugin.manifest().tools) {
            let found = system::process::resolve(OsStr::new(&tool.name), directory, &path);
            if let Ok(program) = found {
                let digest = self.surroundings.digests.digest(&program)?;
                tools.insert(program.display().to_string(), format!("blake3:{digest}"));
            }
        }
        Ok(tools)
    }

    /// A session for calls that change nothing.
    #[must_use]
    pub fn reading(&self, observer: Arc<dyn Observer>) -> Session {
        self.session(Mode::ReadOnly, Artifacts::None, observer)
    }

    /// A session.
    #[must_use]
    pub fn session(
        &self,
        mode: Mode,
        artifacts: Artifacts,
        observer: Arc<dyn Observer>,
    ) -> Session {
        Session {
            mode,
            stack_directory: self.project.directory.clone(),
            secrets: self.secrets.clone(),
            artifacts,
            observer,
            cancel: self.machinery.cancel.clone(),
            inside: self.inside(),
            look: None,
            redactor: self.secrets.redactor(),
            surroundings: self.surroundings.clone(),
        }
    }

    /// Where programs are looked up.
    #[must_use]
    pub fn search_path(&self) -> OsString {
        self.surroundings.environment.get(OsStr::new("PATH")).cloned().unwrap_or_default()
    }

    /// What every command gets and where it leaves what nobody waits for.
    #[must_use]
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// Blots secrets out.
    #[must_use]
    pub fn redactor(&self) -> Arc<Redactor> {
        self.secrets.redactor()
    }

    /// How commands get into a component: its own plugin says so.
    fn inside(&self) -> Inside {
        let stack = self.project.stack.clone();
        let plugins = self.plugins.clone();
        let loader = self.loader.clone();
        let session = Session {
            mode: Mode::ReadOnly,
            stack_directory: self.project.directory.clone(),
            redactor: self.secrets.redactor(),
            secrets: self.secrets.clone(),
            artifacts: Artifacts::None,
            observer: Arc::new(Unheard),
            cancel: self.machinery.cancel.clone(),
            inside: Arc::new(|_| Box::pin(async { Ok(Vec::new()) })),
            look: None,
            surroundings: self.surroundings.clone(),
        };
        Arc::new(move |component: Name| {
            let its = stack.components.get(&component).cloned();
            let plugin = its.as_ref().and_then(|its| plugins.get(&its.plugin)).cloned();
            let (session, loader) = (session.clone(), loader.clone());
            let asked: BoxFuture<'static, Result<Vec<String>, PluginError>> =
                Box::pin(async move {
                    let Some(its) = its else {
                        let message = format!("`{component}` is no component of the stack");
                        return Err(PluginError::NotFound(said(message)));
                    };
                    let plugin = match plugin {
                        Some(plugin) => plugin,
                        None => loader
                            .load(&its.plugin)
                            .await
                            .map_err(|error| PluginError::Failed(said(error.to_string())))?,
                    };
                    let operation = Operation {
                        key: format!("inside.{component}"),
                        target: Target::Live,
                        subject: component.to_string(),
                        settings: its.settings,
                        deadline_ms: INSIDE_WITHIN_MS,
                        previous: None,
                        next: None,
                        copied: None,
                    };
                    let prefix = plugin.deploy_inside(&session, &operation).await;
                    prefix.map_err(|error| PluginError::Failed(error.said()))
                });
            asked
        })
    }

    fn check_interfaces(&self, only: Option<&str>) -> Result<(), Error> {
        let components = self.project.stack.components.keys().map(|n| (n, Interface::Deploy));
        let datastores = self.project.stack.datastores.keys().map(|n| (n, Interface::Backup));
        for (subject, interface) in components.chain(datastores) {
            if is_meant(only, subject) && !self.exports(subject, interface) {
                let plugin = self.plugin(subject)?.name().clone();
                return Err(Error::InterfaceMissing {
                    subject: subject.clone(),
                    plugin,
                    interface,
                });
            }
        }
        Ok(())
    }

    fn check_settings(&self, only: Option<&str>) -> Result<(), Error> {
        let stack = &self.project.stack;
        let components = stack.components.iter().map(|(n, c)| ("components", n, &c.settings));
        let datastores = stack.datastores.iter().map(|(n, d)| ("datastores", n, &d.settings));
        let all = components.chain(datastores);
        for (section, subject, settings) in all.filter(|(_, subject, _)| is_meant(only, subject)) {
            let manifest = self.plugin(subject)?.manifest();
            let Err(faults) = manifest.check_settings(settings) else { continue };
            let path = [section, subject.as_str(), "settings"];
            return Err(self.project.places.settings_faults(&path, faults).into());
        }
        Ok(())
    }
}

/// Whether a component or datastore is meant, where one may be named.
pub(crate) fn is_meant(only: Option<&str>, subject: &Name) -> bool {
    only.is_none_or(|only| only == subject.as_str())
}

/// How long asking for an argument prefix may take.
const INSIDE_WITHIN_MS: u64 = 30_000;

/// The releases that a plan begins with and leads to, if their files are there. Without that of the
/// release it leads to, only a restore can be carried out: it needs no more of it than its version.
pub fn releases_of(
    project: &mut Project,
    plan: &Plan,
) -> Result<(Option<Release>, Option<Release>), Error> {
    let restores = plan.intent == Intent::Restore;
    let mut release = |version: &str| match project.release(version) {
        Ok(release) => Ok(Some(release)),
        Err(Error::ReleaseNotFound { .. }) if restores => Ok(bare_release(version)),
        Err(error) => Err(error),
    };
    let next = release(&plan.to)?;
    let previous = match release(&plan.from) {
        Err(Error::ReleaseNotFound { .. }) => None,
        other => other?,
    };
    Ok((previous, next))
}

/// A release of which nothing is known but its version.
#[must_use]
pub fn bare_release(version: &str) -> Option<Release> {
    Some(Release {
        version: semver::Version::parse(version).ok()?,
        from: Vec::new(),
        components: BTreeMap::new(),
        datastores: BTreeMap::new(),
        notes: None,
        matrix: None,
    })
}

fn said(message: String) -> Said {
    Said { message, platform: String::new() }
}

/// Hears nothing of a plugin.
#[derive(Debug)]
pub struct Unheard;

impl Observer for Unheard {}

/// The stack's secrets, read before anything is run, so that whatever is shown can be redacted.
struct KnownSecrets {
    redactor: Arc<Redactor>,
    values: BTreeMap<String, Arc<Secret>>,
}

impl KnownSecrets {
    async fn read(machinery: &Machinery, project: &Project) -> Result<Self, Error> {
        let surroundings = system::secrets::Surroundings {
            directory: &project.directory,
            environment: &machinery.environment,
        };
        let mut values = BTreeMap::new();
        for (name, source) in &project.stack.secrets {
            let found = system::secrets::find(name.as_str(), source, surroundings).await?;
            if let Some(line) = found.warning {
                machinery.listener.hear(&News::Log { line });
            }
            values.insert(name.to_string(), Arc::new(found.secret));
        }
        let named = values.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
        let redactor = Arc::new(Redactor::knowing(named)?);
        Ok(Self { redactor, values })
    }

    fn redactor(&self) -> Arc<Redactor> {
        self.redactor.clone()
    }
}

impl Secrets for KnownSecrets {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Secret>, String>> {
        let known = self.values.get(name).cloned();
        let known = known.ok_or_else(|| format!("the stack file has no secret `{name}`"));
        Box::pin(async { known })
    }
}
