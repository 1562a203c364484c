//! Whether a component is well: version, instances, the plugin's own measurements and the
//! operator's probes, until a deadline. Before and after an upgrade and after a way back it is the
//! same look (R57).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use engine::act::Failure;
use model::Name;
use model::contract::{Interface, Measured, Measurement, Target, Verdict};
use model::stack::{Ask, Probe};
use sandbox::Session;
use serde::Serialize;
use serde_json::Value;
use system::http::{HostPort, NamedBy, Policy, Request};
use system::process::{Command, Exit, Input, Output, OutputLimits};

use crate::error::{Error, failures};
use crate::observe::OBSERVE_WITHIN;
use crate::operation::{Call, Releases};
use crate::perform::Trouble;
use crate::platform::Platform;

/// Between two looks at something that is not yet well; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause between two looks: a person who waits should not wait longer for nothing.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long one request or command of a probe may take.
const PROBE_WITHIN: Duration = Duration::from_secs(10);

/// How much of an answer is kept to compare and to show.
const PROBE_BYTES_MAX: u64 = 1024 * 1024;

/// How a component or datastore is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubjectHealth {
    /// The component or datastore.
    pub subject: Name,
    /// Whether nothing is failing.
    pub well: bool,
    /// What was measured.
    pub measurements: Vec<Measurement>,
}

impl Platform {
    /// How every component and datastore is now, or only the one named.
    ///
    /// # Errors
    /// [`Error::NoSuchSubject`]; what a plugin cannot tell is a failing measurement.
    pub async fn health(&self, only: Option<&str>) -> Result<Vec<SubjectHealth>, Error> {
        let stack = &self.project.stack;
        let session = self.looking();
        let mut seen = Vec::new();
        for name in stack.order().into_iter().filter(|n| only.is_none_or(|o| o == n.as_str())) {
            let releases = Releases::default();
            let looked = if stack.components.contains_key(&name) {
                self.look(&session, &name, &Target::Live, None, releases).await
            } else {
                self.measured(&session, &name, &Target::Live, releases).await
            };
            let measurements = looked.map_err(crate::perform::error_of)?;
            let well = measurements.iter().all(|its| its.verdict < Verdict::Failing);
            seen.push(SubjectHealth { subject: name, well, measurements });
        }
        match only {
            Some(name) if seen.is_empty() => Err(Error::NoSuchSubject {
                name: name.to_owned(),
                known: stack.order().iter().map(Name::as_str).collect::<Vec<_>>().join(", "),
            }),
            _ => Ok(seen),
        }
    }

    /// Looks until everything is well, or says what is not. It may take this long, or as long as a
    /// probe allows if that is longer.
    pub(crate) async fn healthy(
        &self,
        name: &Name,
        target: &Target,
        version: Option<&str>,
        releases: Releases<'_>,
        within: Duration,
    ) -> Result<Vec<Measurement>, Trouble> {
        let began = Instant::now();
        let mut pause = PAUSE_MIN;
        let limit = self.longest_probe(name, target).max(within);
        loop {
            let seen = self.look(&self.looking(), name, target, version, releases).await?;
            let Some(illness) = illness(name, version, &seen) else { return Ok(seen) };
            let cancelled = *self.machinery.cancel.borrow();
            if began.elapsed() + pause > limit || cancelled {
                return Err(Trouble::Failed(illness));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// How a component is at this moment.
    pub(crate) async fn look(
        &self,
        session: &Session,
        name: &Name,
        target: &Target,
        version: Option<&str>,
        releases: Releases<'_>,
    ) -> Result<Vec<Measurement>, Trouble> {
        let mut seen = Vec::new();
        let mut is = None;
        // Both mostly wait for the same platform's answers: together they take as long as one.
        let (running, measured) = tokio::join!(
            self.running(session, name, target, releases),
            self.measured(session, name, target, releases),
        );
        match running {
            Ok(running) => {
                let ready = running.instances.iter().filter(|its| its.ready).count();
                let wanted = running.instances_wanted;
                let why = running.instances.iter().find(|its| !its.ready);
                let why = why.map(|its| format!(", {}: {}", its.name, its.reason));
                let detail = format!("{ready} of {wanted}{}", why.unwrap_or_default());
                let enough = u32::try_from(ready).is_ok_and(|ready| ready >= wanted);
                seen.push(found("instances ready", enough, detail));
                if let Some(version) = version {
                    let is = running.version.as_deref().unwrap_or("none");
                    let detail = format!("{is}, expected {version}");
                    seen.push(found("version", is == version, detail));
                }
                is = running.version;
            }
            Err(crate::Error::Call(error)) => {
                seen.push(found("observation", false, error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        seen.extend(measured?);
        let its = self.project.stack.components.get(name);
        let releases = Releases { version: version.or(is.as_deref()), ..releases };
        let variables = self.variables(target, releases);
        for probe in its.map_or(&[][..], |its| its.health_on(target)) {
            seen.push(self.probe(probe, &variables).await);
        }
        Ok(seen)
    }

    async fn measured(
        &self,
        session: &Session,
        name: &Name,
        target: &Target,
        releases: Releases<'_>,
    ) -> Result<Vec<Measurement>, Trouble> {
        if !self.exports(name, Interface::HealthCheck) {
            return Ok(Vec::new());
        }
        let call = Call { subject: name, target, key: "probe", within: OBSERVE_WITHIN, releases };
        let operation = self.operation(&call)?;
        let plugin = self.plugin(name)?;
        let measured = plugin.health_probe(session, &operation).await;
        Ok(measured.unwrap_or_else(|error| vec![found("probe", false, error.to_string())]))
    }

    async fn probe(&self, probe: &Probe, variables: &BTreeMap<String, String>) -> Measurement {
        match &probe.ask {
            Ask::Http { url, status, json } => {
                let asked = self.http(url, *status, json, variables).await;
                let name = format!("GET {url}");
                found(&name, asked.is_ok(), asked.unwrap_or_else(|fault| fault))
            }
            Ask::Command { command } => {
                let ran = self.command(command, variables, PROBE_WITHIN, "probe").await;
                let name = command.join(" ");
                found(&name, ran.is_ok(), ran.unwrap_or_else(|fault| fault))
            }
        }
    }

    async fn http(
        &self,
        url: &str,
        status: u16,
        json: &BTreeMap<String, Value>,
        variables: &BTreeMap<String, String>,
    ) -> Result<String, String> {
        let say = |error: &dyn std::fmt::Display| error.to_string();
        let url = model::interpolate_text(url, variables).map_err(|e| say(&e))?;
        let host = HostPort::of_url(&url).map_err(|e| say(&e))?;
        let policy = Policy { allowed: vec![(host, NamedBy::Operator)] };
        let request = Request {
            method: "GET".to_owned(),
            url,
            headers: Vec::new(),
            body: None,
            deadline: PROBE_WITHIN,
        };
        let response = self.surroundings().http.send(&request, &policy).await;
        let response = response.map_err(|e| say(&e))?;
        if response.status != status {
            return Err(format!("answered {}, expected {status}", response.status));
        }
        if json.is_empty() {
            return Ok(format!("answered {status}"));
        }
        let body: Value = serde_json::from_slice(&response.body)
            .map_err(|error| format!("answered {status}, but not with JSON: {error}"))?;
        for (pointer, expected) in json {
            let expected = model::interpolate(expected, variables, &Default::default());
            let expected = expected.map_err(|e| say(&e))?;
            let is = body.pointer(pointer).unwrap_or(&Value::Null);
            if *is != expected {
                return Err(format!("answered {is} at {pointer}, expected {expected}"));
            }
        }
        Ok(format!("answered {status} as expected"))
    }

    /// Runs a command of the operator's in the stack file's directory; it must exit with 0.
    pub(crate) async fn command(
        &self,
        command: &[String],
        variables: &BTreeMap<String, String>,
        within: Duration,
        label: &str,
    ) -> Result<String, String> {
        let say = |error: &dyn std::fmt::Display| error.to_string();
        let filled = command.iter().map(|text| model::interpolate_text(text, variables));
        let filled: Vec<String> = filled.collect::<Result<_, _>>().map_err(|e| say(&e))?;
        let (program, arguments) = filled.split_first().ok_or("the command is empty")?;
        let directory = self.project.directory.clone();
        let path = self.search_path();
        let program = system::process::resolve(OsStr::new(program), &directory, &path);
        let program = program.map_err(|e| say(&e))?;
        let command = Command {
            program,
            arguments: arguments.iter().map(OsString::from).collect(),
            environment: self.surroundings().environment.clone(),
            directory,
            input: Input::Empty,
            output: Output::Text,
            deadline: within,
            limits: OutputLimits { bytes_max: PROBE_BYTES_MAX, ..OutputLimits::CONTRACT },
            memory_bytes_max: None,
            label: label.to_owned(),
        };
        let running = system::process::spawn(command).map_err(|e| say(&e))?;
        let finished = running.finish().await.map_err(|e| say(&e))?;
        let redactor = self.redactor();
        match finished.exit {
            Exit::Status(0) => Ok("exit status 0".to_owned()),
            exit => {
                let said = format!("{exit}: {}", finished.errors_tail.trim());
                Err(redactor.redact(&said).into_owned())
            }
        }
    }

    fn longest_probe(&self, name: &Name, target: &Target) -> Duration {
        let its = self.project.stack.components.get(name);
        let probes = its.map_or(&[][..], |its| its.health_on(target));
        probes.iter().map(|probe| probe.within).max().unwrap_or_default()
    }
}

/// The failure that measurements amount to; nothing if all is well.
pub(crate) fn illness(name: &Name, version: Option<&str>, seen: &[Measurement]) -> Option<Failure> {
    let ill = seen.iter().filter(|its| its.verdict >= Verdict::Failing);
    let causes: Vec<String> = ill.map(|its| format!("{}: {}", its.name, its.detail)).collect();
    (!causes.is_empty()).then(|| Failure {
        code: failures::VERIFICATION,
        message: match version {
            Some(version) => format!("{name} is not well at release {version}"),
            None => format!("{name} is not well"),
        },
        causes,
        unknown: false,
    })
}

fn found(name: &str, well: bool, detail: String) -> Measurement {
    Measurement {
        name: name.to_owned(),
        value: Measured::Truth(well),
        unit: String::new(),
        verdict: if well { Verdict::Healthy } else { Verdict::Failing },
        detail,
    }
}
