//! What is done to one instance. Each act looks first and leaves alone what is as it should be.

use std::time::Duration;

use vaultup_sdk::clock::{Wait, wait_until};
use vaultup_sdk::{Case, Error, log};

use crate::link::Link;
use crate::seen::Seen;
use crate::service::{MARK, Service};
use crate::settings::Instance;

/// How often a state that is to change is looked at, at the most seldom.
const INTERVAL: Duration = Duration::from_millis(500);

impl Service<'_> {
    /// Makes an instance run a release from its link, and waits until it is ready.
    pub(crate) fn bring(&self, instance: &Instance, version: &str) -> Result<(), Error> {
        let seen = self.see(instance)?;
        if !seen.runs(version) {
            self.put_in_place(&seen, instance, version)?;
            self.run("start", instance, Some(version))?;
        }
        let serves = |seen: &Seen| seen.serves(version);
        self.wait(instance, &format!("instance `{}` with {version}", instance.name), serves)
    }

    /// Puts a release in place for an instance, and leaves it stopped.
    pub(crate) fn put_in_place(
        &self,
        seen: &Seen,
        instance: &Instance,
        version: &str,
    ) -> Result<(), Error> {
        self.halt(seen, instance)?;
        if seen.has_in_place(version) {
            return Ok(());
        }
        let name = self.link_name(instance);
        log::info(format!("{}: {} → {version}", instance.name, seen.link.shown()));
        self.links.link(name, &self.release_path(version)?)
    }

    /// Stops an instance gracefully and waits until it does not run.
    pub(crate) fn halt(&self, seen: &Seen, instance: &Instance) -> Result<(), Error> {
        if !seen.status.running {
            return Ok(());
        }
        let release = seen.link.release();
        if self.operation.settings.drain.is_some() {
            self.run("drain", instance, release)?;
        }
        self.run("stop", instance, release)?;
        let stopped = |seen: &Seen| !seen.status.running;
        self.wait(instance, &format!("instance `{}` still runs", instance.name), stopped)
    }

    /// Starts an instance from what its link names, and waits until it is ready.
    pub(crate) fn begin(&self, instance: &Instance) -> Result<(), Error> {
        let seen = self.see(instance)?;
        if seen.link == Link::Absent {
            let name = &instance.name;
            return Err(Error::not_found(format!("instance `{name}` has no release in place")));
        }
        if !seen.status.running {
            self.run("start", instance, seen.link.release())?;
        }
        let ready = |seen: &Seen| seen.status.ready;
        self.wait(instance, &format!("instance `{}`", instance.name), ready)
    }

    /// Removes an instance of a copy: its process and its link.
    pub(crate) fn remove(&self, instance: &Instance) -> Result<(), Error> {
        let seen = self.see(instance)?;
        self.halt(&seen, instance)?;
        let name = self.link_name(instance);
        if name.contains(MARK) {
            return self.links.remove(name);
        }
        // Only what is named as made by vaultup can be removed.
        let gone = format!("{name}{MARK}gone-{}", self.operation.key);
        if seen.link != Link::Absent {
            self.links.rename(name, &gone)?;
        }
        self.links.remove(&gone)
    }

    fn run(&self, key: &str, instance: &Instance, release: Option<&str>) -> Result<(), Error> {
        // What is started outlives vaultup, so it must not hold on to a pipe of it.
        let finished = self.command(key, instance, release)?.discard_output().run();
        finished.map(drop).map_err(|error| {
            error.while_doing(format!(
                "instance `{}` with {}",
                instance.name,
                release.unwrap_or("no release")
            ))
        })
    }

    /// Looks until an instance is as it should be. While it starts, the status command may not be
    /// able to tell anything; that counts as «not yet».
    fn wait(
        &self,
        instance: &Instance,
        attempt: &str,
        is_as_it_should: impl Fn(&Seen) -> bool,
    ) -> Result<(), Error> {
        let look = || match self.see(instance) {
            Ok(seen) if is_as_it_should(&seen) => Ok(Wait::Over(())),
            Ok(seen) => Ok(Wait::NotYet(seen.shown())),
            Err(error) if error.case() == &Case::Failed => Ok(Wait::NotYet(error.to_string())),
            Err(error) => Err(error),
        };
        wait_until(self.operation.deadline, INTERVAL, look)
            .map_err(|error| error.while_doing(attempt))
    }
}
