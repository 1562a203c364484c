//! The interface `deploy`.

use vaultup_sdk::deploy::{
    Change, Difference, Forecast, Instance, Inventory, Presence, Running, Severity, Traffic, Wave,
};
use vaultup_sdk::{Deploy, Error, Observation, Operation, log, progress};

use crate::HostPlugin;
use crate::link::Link;
use crate::seen::{Seen, common};
use crate::service::Service;
use crate::settings::{Entry, Settings};
use crate::twin;

impl Deploy for HostPlugin {
    fn observe(operation: &Operation<Settings>) -> Result<Running, Error> {
        let service = Service::open(operation)?;
        let seen = service.see_all()?;
        let in_place = common(seen.iter().map(|its| its.link.release()));
        let mut artifacts = Vec::new();
        for release in seen.iter().filter_map(|its| its.link.release()) {
            let path = service.release_path(release)?;
            if !artifacts.contains(&path) {
                artifacts.push(path);
            }
        }
        Ok(Running {
            version: in_place.clone(),
            revision: in_place,
            artifacts,
            instances_wanted: service.instances.len() as u32,
            instances: seen.iter().map(instance).collect(),
            traffic: service.traffic()?,
            configuration_digest: None,
            busy: twin::busy(&seen),
        })
    }

    fn way_back(operation: &Operation<Settings>) -> Result<Inventory, Error> {
        let service = Service::open(operation)?;
        let links = service.instances.iter().map(|instance| service.link(instance));
        let links = links.collect::<Result<Vec<Link>, Error>>()?;
        let previous = operation.previous.as_ref().map(|release| release.version.clone());
        let Some(version) = common(links.iter().map(Link::release)).or(previous) else {
            let reason = "the links of the instances name no common release".to_owned();
            return Ok(Inventory { available: false, revision: None, reason });
        };
        let available = service.has_release(&version)?;
        let reason = if available {
            service.measured_release(&version)?
        } else {
            format!("{} is missing or empty", service.release_path(&version)?)
        };
        Ok(Inventory { available, revision: available.then_some(version), reason })
    }

    fn preview(operation: &Operation<Settings>) -> Result<Forecast, Error> {
        let service = Service::open(operation)?;
        let version = &operation.next()?.version;
        let mut differences = service.missing_release(version)?;
        differences.extend(missing_variables(operation)?);
        let mut commands = service.prefetch_shown(version)?;
        for instance in &service.instances {
            let seen = service.see(instance)?;
            if seen.serves(version) {
                continue;
            }
            if !seen.has_in_place(version) {
                differences.push(Difference {
                    object: service.link_path(instance),
                    act: if seen.link == Link::Absent { "add" } else { "change" }.to_owned(),
                    detail: format!("{} → {version}", seen.link.shown()),
                    severity: Severity::Information,
                });
            }
            let old = ["drain", "stop"].iter().filter(|_| seen.status.running);
            let old = old.map(|key| (*key, seen.link.release()));
            for (key, release) in old.chain([("start", Some(version.as_str()))]) {
                if let Some(written) = operation.settings.written(key) {
                    commands.push(service.command(key, instance, release)?.shown(written));
                }
            }
        }
        Ok(Forecast { differences, commands, seconds: None })
    }

    fn status(operation: &Operation<Settings>, change: Change) -> Result<Observation, Error> {
        let service = Service::open(operation)?;
        let all = service.instances.len();
        match change {
            Change::Prefetch => {
                let version = &operation.next()?.version;
                Ok(if service.has_release(version)? {
                    Observation::done(format!("{} is there", service.release_path(version)?))
                } else {
                    Observation::NotStarted
                })
            }
            Change::Apply(wave) => {
                let version = &operation.next()?.version;
                Ok(twin::applied(&service.see_all()?, version, wave.instances as usize))
            }
            Change::Stop => Ok(twin::stopped(&service.see_all()?)),
            // How many is not said; if it was fewer than all, starting them again changes nothing.
            Change::Start => Ok(twin::started(&service.see_all()?, all)),
            Change::HoldTraffic => Ok(observed_traffic(service.traffic()?, Traffic::Held)),
            Change::ReleaseTraffic => Ok(observed_traffic(service.traffic()?, Traffic::Open)),
            Change::Revert((revision, Presence::Running)) => {
                Ok(twin::applied(&service.see_all()?, &revision, all))
            }
            Change::Revert((revision, Presence::Stopped)) => {
                Ok(twin::in_place(&service.see_all()?, &revision))
            }
            Change::Discard => Ok(twin::discarded(&service.see_all()?)),
        }
    }

    fn prefetch(operation: &Operation<Settings>) -> Result<(), Error> {
        let service = Service::open(operation)?;
        let next = operation.next()?;
        if operation.settings.prefetch.is_some() && !service.has_release(&next.version)? {
            service.prefetching(&next.version)?.run()?;
        }
        service.require_release(&next.version)
    }

    fn apply(operation: &Operation<Settings>, wave: Wave) -> Result<(), Error> {
        let service = Service::open(operation)?;
        let version = &operation.next()?.version;
        service.require_release(version)?;
        let instances = service.first(wave.instances)?;
        for (number, instance) in (1..).zip(instances) {
            service.bring(instance, version)?;
            progress::report(number, Some(instances.len() as u64), "instances");
        }
        Ok(())
    }

    fn stop(operation: &Operation<Settings>) -> Result<(), Error> {
        let service = Service::open(operation)?;
        // In reverse, so that the first to get a release is the last to go.
        for instance in service.instances.iter().rev() {
            service.halt(&service.see(instance)?, instance)?;
        }
        Ok(())
    }

    fn start(operation: &Operation<Settings>, instances: u32) -> Result<(), Error> {
        let service = Service::open(operation)?;
        service.first(instances)?.iter().try_for_each(|instance| service.begin(instance))
    }

    fn hold_traffic(operation: &Operation<Settings>) -> Result<(), Error> {
        Service::open(operation)?.turn("hold-traffic", Traffic::Held)
    }

    fn release_traffic(operation: &Operation<Settings>) -> Result<(), Error> {
        Service::open(operation)?.turn("release-traffic", Traffic::Open)
    }

    fn revert(
        operation: &Operation<Settings>,
        revision: &str,
        presence: Presence,
    ) -> Result<(), Error> {
        let service = Service::open(operation)?;
        service.require_release(revision)?;
        for instance in &service.instances {
            match presence {
                Presence::Running => service.bring(instance, revision)?,
                Presence::Stopped => {
                    service.put_in_place(&service.see(instance)?, instance, revision)?;
                }
            }
        }
        Ok(())
    }

    fn discard(operation: &Operation<Settings>) -> Result<(), Error> {
        if operation.is_live() {
            return Err(Error::refused("only a copy is ever removed, never what people use"));
        }
        let service = Service::open(operation)?;
        service.instances.iter().try_for_each(|instance| service.remove(instance))
    }

    fn inside(_operation: &Operation<Settings>) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }
}

impl Service<'_> {
    /// Whether requests reach the component, as far as the operator's command tells.
    fn traffic(&self) -> Result<Traffic, Error> {
        let settings = &self.operation.settings;
        if settings.traffic.is_none() {
            let is_known = settings.hold_traffic.is_some();
            return Ok(if is_known { Traffic::Unknown } else { Traffic::NotApplicable });
        }
        let lines = self.whole("traffic", None)?.read_lines()?;
        Ok(match lines.last().map(|line| line.trim()) {
            Some("open") => Traffic::Open,
            Some("held") => Traffic::Held,
            _ => {
                log::warning("the command `traffic` printed neither `open` nor `held`");
                Traffic::Unknown
            }
        })
    }

    /// Holds requests back or lets them in, unless that is so already.
    fn turn(&self, key: &str, wanted: Traffic) -> Result<(), Error> {
        if self.operation.settings.written(key).is_none() {
            let subject = &self.operation.subject;
            return Err(Error::unsupported(format!("{subject} has no command `{key}`")));
        }
        if self.traffic()? == wanted {
            return Ok(());
        }
        self.whole(key, None)?.discard_output().run()?;
        match self.traffic()? {
            Traffic::Unknown => Ok(()),
            turned if turned == wanted => Ok(()),
            _ => Err(Error::failed(format!("`{key}` ended well, but `traffic` says otherwise"))),
        }
    }

    fn prefetching(
        &self,
        version: &str,
    ) -> Result<vaultup_sdk::process::Command<vaultup_sdk::process::Reference>, Error> {
        let command = self.whole("prefetch", Some(version))?;
        let next = self.operation.next.as_ref();
        Ok(match next.and_then(|release| release.artifact.as_ref()) {
            Some(artifact) => command.variable("artifact", artifact),
            None => command,
        })
    }

    /// The command that `prefetch` would run.
    fn prefetch_shown(&self, version: &str) -> Result<Vec<Vec<String>>, Error> {
        match &self.operation.settings.prefetch {
            Some(written) if !self.has_release(version)? => {
                Ok(vec![self.prefetching(version)?.shown(written)])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// A difference that stops the plan, or tells of a prefetch, if a release's directory is not
    /// there.
    fn missing_release(&self, version: &str) -> Result<Vec<Difference>, Error> {
        if self.has_release(version)? {
            return Ok(Vec::new());
        }
        let (detail, severity) = match &self.operation.settings.prefetch {
            Some(_) => ("`prefetch` will bring it", Severity::Information),
            None => ("it is missing or empty, and there is no `prefetch`", Severity::Blocking),
        };
        let object = self.release_path(version)?;
        let detail = detail.to_owned();
        Ok(vec![Difference { object, act: "add".to_owned(), detail, severity }])
    }
}

/// A finding on variables that the next release requires and that no command is given (R8). A
/// program can have them from a file of its own, which nobody but it knows.
fn missing_variables(operation: &Operation<Settings>) -> Result<Option<Difference>, Error> {
    let Entry { requires } = operation.next()?.entry()?;
    let given = &operation.settings.environment;
    let missing: Vec<&str> =
        requires.iter().filter(|name| !given.contains_key(*name)).map(String::as_str).collect();
    let detail = format!(
        "the release requires {}, which `environment` does not have: see that the program gets it \
         from elsewhere, or set it there",
        missing.join(", ")
    );
    let (object, act) = ("configuration".to_owned(), "add".to_owned());
    let found = Difference { object, act, detail, severity: Severity::Warning };
    Ok((!missing.is_empty()).then_some(found))
}

fn instance(seen: &Seen) -> Instance {
    Instance {
        name: seen.name.clone(),
        version: seen.version().map(str::to_owned),
        running: seen.status.running,
        ready: seen.status.ready,
        reason: seen.status.reason.clone(),
    }
}

fn observed_traffic(traffic: Traffic, wanted: Traffic) -> Observation {
    match traffic {
        turned if turned == wanted => Observation::done("the command `traffic` says so"),
        Traffic::Open | Traffic::Held => Observation::NotStarted,
        Traffic::Unknown | Traffic::NotApplicable => {
            Observation::unknown("without a command `traffic` nobody can tell")
        }
    }
}
