//! What a call of a plugin is told: settings with everything filled in, releases, deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use model::contract::{Copied, Operation, ReleaseReference, Target};
use model::release::Release;
use model::{Name, settings};
use serde_json::Value;

use crate::error::Error;
use crate::platform::Platform;

/// The releases that operations are told of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Releases<'a> {
    /// The release that ran when the run began.
    pub previous: Option<&'a Release>,
    /// The release that the run leads to.
    pub next: Option<&'a Release>,
    /// The version that `${release.version}` stands for, if not that of `next`.
    pub version: Option<&'a str>,
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The component or datastore.
    pub subject: &'a Name,
    /// What it acts on.
    pub target: &'a Target,
    /// Its idempotency key.
    pub key: &'a str,
    /// How long it may take.
    pub within: Duration,
    /// The releases.
    pub releases: Releases<'a>,
}

impl Platform {
    /// What a call is told.
    ///
    /// # Errors
    /// [`Error::Written`] when settings name a variable that does not exist.
    pub fn operation(&self, call: &Call<'_>) -> Result<Operation, Error> {
        self.operation_with_entry(call, call.subject)
    }

    /// What a call is told, with the release's entry of another subject: a migration is applied by
    /// a component and described by a datastore.
    ///
    /// # Errors
    /// As [`Platform::operation`].
    pub fn operation_with_entry(&self, call: &Call<'_>, entry: &Name) -> Result<Operation, Error> {
        let reference = |release: &Release| self.reference(release, call.subject, entry);
        Ok(Operation {
            key: call.key.to_owned(),
            target: call.target.clone(),
            subject: call.subject.to_string(),
            settings: self.settings(call)?,
            deadline_ms: u64::try_from(call.within.as_millis()).unwrap_or(u64::MAX),
            previous: call.releases.previous.map(reference),
            next: call.releases.next.map(reference),
            copied: self.copied(call)?,
        })
    }

    /// Variables of the stack file: `${stack.name}`, `${stack.directory}`, `${target}`, and the
    /// versions of the releases.
    #[must_use]
    pub fn variables(&self, target: &Target, releases: Releases<'_>) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::from([
            ("stack.name".to_owned(), self.project.stack.name.to_string()),
            ("stack.directory".to_owned(), self.project.directory.display().to_string()),
        ]);
        let target = match target {
            Target::Live => "live".to_owned(),
            Target::Copy(name) => name.clone(),
        };
        variables.insert("target".to_owned(), target);
        if let Some(release) = releases.previous {
            variables.insert("previous.version".to_owned(), release.version.to_string());
        }
        let next = releases.next.map(|release| release.version.to_string());
        if let Some(version) = releases.version.map(str::to_owned).or(next) {
            variables.insert("release.version".to_owned(), version);
        }
        variables
    }

    fn settings(&self, call: &Call<'_>) -> Result<Value, Error> {
        let Some((base, copy)) = self.said(call.subject) else { return Ok(Value::Null) };
        match (call.target, copy) {
            (Target::Copy(_), Some(copy)) => {
                self.filled_in(call, call.target, &settings::merged(base, copy))
            }
            _ => self.filled_in(call, call.target, base),
        }
    }

    /// What the copy that a call acts on is a copy of.
    fn copied(&self, call: &Call<'_>) -> Result<Option<Copied>, Error> {
        let (Target::Copy(_), Some((base, copy))) = (call.target, self.said(call.subject)) else {
            return Ok(None);
        };
        let nothing = Value::Object(serde_json::Map::new());
        Ok(Some(Copied {
            live: self.filled_in(call, &Target::Live, base)?,
            differs: self.filled_in(call, call.target, copy.unwrap_or(&nothing))?,
        }))
    }

    /// What the stack file says of a component or datastore, and of its copy.
    fn said(&self, subject: &Name) -> Option<(&Value, Option<&Value>)> {
        let stack = &self.project.stack;
        let component = stack.components.get(subject).map(|its| {
            (&its.settings, its.rehearsal.as_ref().map(|rehearsal| &rehearsal.settings))
        });
        let datastore = stack.datastores.get(subject);
        component.or(datastore.map(|its| (&its.settings, its.rehearsal.as_ref())))
    }

    fn filled_in(
        &self,
        call: &Call<'_>,
        target: &Target,
        settings: &Value,
    ) -> Result<Value, Error> {
        let variables = self.variables(target, call.releases);
        let manifest = self.plugin(call.subject)?.manifest();
        Ok(manifest.interpolate_settings(settings, &variables)?)
    }

    fn reference(&self, release: &Release, subject: &Name, entry: &Name) -> ReleaseReference {
        let component = release.components.get(subject);
        let component_entry = release.components.get(entry).map(|its| &its.entry);
        let datastore_entry = release.datastores.get(entry).map(|its| &its.entry);
        ReleaseReference {
            version: release.version.to_string(),
            artifact: component.and_then(|its| its.artifact.clone()),
            entry: component_entry
                .or(datastore_entry)
                .cloned()
                .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        }
    }
}
