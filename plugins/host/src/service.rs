//! The component on its machine: instances, links, release directories, and the operator's
//! commands with their variables filled in.

use vaultup_sdk::files::{Kind, Root};
use vaultup_sdk::process::{self, Command, Reference};
use vaultup_sdk::{Case, Error, Operation};

use crate::link::{Link, directory_of, name_of};
use crate::seen::Seen;
use crate::settings::{Instance, Linked, Settings};
use crate::status::Status;

/// What names that vaultup makes contain.
pub(crate) const MARK: &str = ".vaultup-";

/// The component on its machine.
pub(crate) struct Service<'o> {
    pub(crate) operation: &'o Operation<Settings>,
    /// In the order in which waves reach them.
    pub(crate) instances: Vec<Instance>,
    /// What holds the links.
    pub(crate) links: Root,
    /// The absolute path of what [`Service::links`] opens.
    links_directory: String,
    /// The name of the link of the only instance, if the settings name it.
    current: Option<String>,
    releases: Root,
    data: Option<String>,
}

impl<'o> Service<'o> {
    /// Opens what the settings name.
    pub(crate) fn open(operation: &'o Operation<Settings>) -> Result<Self, Error> {
        let settings = &operation.settings;
        let instances = settings.instances()?;
        let (links, links_directory, current) = match settings.linked(instances.len())? {
            Linked::Current(path) => {
                let name = named("current", path)?;
                let links = Root::open("current")?;
                // A link has no path that could be asked for, but what lies beside it has.
                let beside = links.path(&format!("{name}{MARK}beside"))?;
                (links, directory_of(&beside).to_owned(), Some(name.to_owned()))
            }
            Linked::InDirectory => {
                let links = Root::open("links")?;
                let directory = links.path("")?;
                (links, directory, None)
            }
        };
        require_own_link(operation)?;
        let data = match &settings.data {
            Some(path) => Some(Root::open("data")?.path(named("data", path)?)?),
            None => None,
        };
        let releases = Root::open("releases")?;
        Ok(Self { operation, instances, links, links_directory, current, releases, data })
    }

    /// The first so many instances.
    pub(crate) fn first(&self, count: u32) -> Result<&[Instance], Error> {
        self.instances.get(..count as usize).ok_or_else(|| {
            let there = self.instances.len();
            Error::invalid_settings(format!("{count} instances were asked for, there are {there}"))
        })
    }

    /// The name of an instance's link in [`Service::links`].
    pub(crate) fn link_name<'i>(&'i self, instance: &'i Instance) -> &'i str {
        self.current.as_deref().unwrap_or(&instance.name)
    }

    /// The absolute path of an instance's link.
    pub(crate) fn link_path(&self, instance: &Instance) -> String {
        format!("{}/{}", self.links_directory, self.link_name(instance))
    }

    /// What stands where an instance's link belongs.
    pub(crate) fn link(&self, instance: &Instance) -> Result<Link, Error> {
        let name = self.link_name(instance);
        let Some(entry) = self.links.describe(name)? else { return Ok(Link::Absent) };
        let Some(to) = entry.link else {
            let path = self.link_path(instance);
            return Err(Error::invalid_settings(format!("{path} is no symbolic link")));
        };
        Ok(Link::read(&to, &self.links_directory, &self.releases.path("")?))
    }

    /// Looks at every instance.
    pub(crate) fn see_all(&self) -> Result<Vec<Seen>, Error> {
        self.instances.iter().map(|instance| self.see(instance)).collect()
    }

    /// Looks at an instance.
    pub(crate) fn see(&self, instance: &Instance) -> Result<Seen, Error> {
        let link = self.link(instance)?;
        let command = self.command("status", instance, link.release())?;
        let told = command.attempt().and_then(|answer| Status::read(&answer));
        let status = match told {
            // Without a link the program of the status command may not be there yet.
            Err(error) if link == Link::Absent && tells_nothing(&error) => {
                Status::not_running("no release is in place")
            }
            told => told.map_err(|error| {
                error.while_doing(format!("instance `{}` cannot be observed", instance.name))
            })?,
        };
        Ok(Seen { name: instance.name.clone(), link, status })
    }

    /// The directory of a release, whether it is there or not.
    pub(crate) fn release_path(&self, version: &str) -> Result<String, Error> {
        if version.contains('/') || name_of(version).is_none() || version.starts_with('-') {
            let message = format!("`{version}` cannot be the name of a release directory");
            return Err(Error::invalid_settings(message));
        }
        self.releases.path(version)
    }

    /// Whether a release's directory is there and has something in it.
    pub(crate) fn has_release(&self, version: &str) -> Result<bool, Error> {
        self.release_path(version)?;
        match self.releases.describe(version)? {
            Some(entry) if entry.kind == Kind::Directory => {
                Ok(!self.releases.entries(version)?.is_empty())
            }
            _ => Ok(false),
        }
    }

    /// As [`Service::has_release`], as an error.
    pub(crate) fn require_release(&self, version: &str) -> Result<(), Error> {
        if self.has_release(version)? {
            return Ok(());
        }
        let path = self.release_path(version)?;
        Err(Error::not_found(format!("the release directory {path} is missing or empty")))
    }

    /// Count, bytes and digest of a release, in a sentence.
    pub(crate) fn measured_release(&self, version: &str) -> Result<String, Error> {
        let mut figure = self.releases.measure(version)?;
        figure.name = self.release_path(version)?;
        Ok(figure.to_string())
    }

    /// A command of the operator's for an instance that has `release` in place.
    pub(crate) fn command(
        &self,
        key: &str,
        instance: &Instance,
        release: Option<&str>,
    ) -> Result<Command<Reference>, Error> {
        let mut command = self.common(process::setting(key)).variable("instance", &instance.name);
        if let Some(current) = &self.operation.settings.current {
            command = command.variable("current", current);
        }
        if let Some(address) = &instance.address {
            command = command.variable("address", address);
        }
        self.with_release(command, release)
    }

    /// A command of the operator's for the whole component.
    pub(crate) fn whole(
        &self,
        key: &str,
        release: Option<&str>,
    ) -> Result<Command<Reference>, Error> {
        self.with_release(self.common(process::setting(key)), release)
    }

    /// The release's own command, in its directory.
    pub(crate) fn of_release(&self, key: &str, release: &str) -> Result<Command<Reference>, Error> {
        let command = self.common(process::release(key)).directory(self.release_path(release)?);
        self.with_release(command, Some(release))
    }

    fn common(&self, mut command: Command<Reference>) -> Command<Reference> {
        for (name, value) in &self.operation.settings.environment {
            command = command.environment_from(name, value);
        }
        match &self.data {
            Some(data) => command.variable("data", data),
            None => command,
        }
    }

    fn with_release(
        &self,
        command: Command<Reference>,
        release: Option<&str>,
    ) -> Result<Command<Reference>, Error> {
        let Some(release) = release else { return Ok(command) };
        let directory = self.release_path(release)?;
        Ok(command.variable("release", release).variable("release-directory", directory))
    }
}

/// The last name of a path of the settings.
fn named<'p>(key: &str, path: &'p str) -> Result<&'p str, Error> {
    name_of(path).ok_or_else(|| Error::invalid_settings(format!("`{key}` names nothing: `{path}`")))
}

/// A copy has links of its own, whose name says so: whoever forgets to name them for a rehearsal
/// must not have the live ones switched.
fn require_own_link(operation: &Operation<Settings>) -> Result<(), Error> {
    let Settings { current, links, .. } = &operation.settings;
    let path = current.as_ref().or(links.as_ref()).map_or("", String::as_str);
    if operation.is_live() || name_of(path).is_some_and(|name| name.contains(MARK)) {
        return Ok(());
    }
    let message =
        format!("a copy needs links of its own: its path contains `{MARK}`, not `{path}`");
    Err(Error::invalid_settings(message))
}

/// Whether an error of a status command says no more than that it could not tell anything.
fn tells_nothing(error: &Error) -> bool {
    matches!(error.case(), Case::NotFound | Case::InvalidSettings | Case::Failed)
}
