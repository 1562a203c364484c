//! A release in the namespace of a rehearsal's copy.
//!
//! The copy knows nothing of the live release's revisions: its own first one is the running
//! release, installed from the same chart, and that is the one that it is brought back to.

use vaultup_kubectl::copy::Scratch;
use vaultup_kubectl::{follow, scale};
use vaultup_sdk::deploy::Presence;
use vaultup_sdk::{Case, Error, Observation, log};

use crate::deploy::is_complete;
use crate::history::History;
use crate::release::{KEY_LABEL, Release};
use crate::settings::Entry;
use crate::twin::ready;

/// What the release puts into a copy's namespace at the least.
const RIGHTS: [(&str, &str); 3] =
    [("create", "secrets"), ("create", "deployments.apps"), ("list", "pods")];

impl Release<'_> {
    /// Puts the release that runs live in place in the copy: installs it, or goes back to it.
    ///
    /// # Errors
    /// [`Case::Conflict`] if the copy's namespace is somebody else's; those of an upgrade.
    pub(crate) fn put_previous(&self, presence: Presence) -> Result<(), Error> {
        let deadline = self.operation.deadline;
        let scratch = self.scratch()?;
        scratch.ensure(deadline)?;
        let mut history = self.history_if_any()?;
        if history.is_some() && self.first(history.as_ref())?.is_none() {
            // An installation that never came to its end cannot be upgraded: it is made anew.
            log::warning("what an interrupted installation left of the copy is removed");
            scratch.discard(deadline)?;
            scratch.ensure(deadline)?;
            history = None;
        }
        match (self.first(history.as_ref())?, &history) {
            (Some(first), Some(history)) => {
                let cluster = self.let_hooks_end(history, self.cluster()?)?;
                let is_stopped = cluster.workloads.iter().any(scale::awaits_start);
                if !history.is_back_at(first) || is_stopped || !is_complete(&cluster) {
                    self.roll_back(first, false, &cluster)?;
                }
            }
            _ => self.install()?,
        }
        match presence {
            Presence::Running => Ok(()),
            Presence::Stopped => {
                scale::stop(&self.kubectl, &self.cluster()?)?;
                follow::until_gone(deadline, || self.cluster())
            }
        }
    }

    /// Removes the copy.
    pub(crate) fn discard(&self) -> Result<(), Error> {
        self.scratch()?.discard(self.operation.deadline)
    }

    /// What is left of the copy, or why there can be none.
    pub(crate) fn left_of_copy(&self) -> Result<Observation, Error> {
        let scratch = self.scratch()?;
        if let Some(previous) = &self.operation.previous {
            self.source_of(previous)?;
        }
        scratch.left(&RIGHTS)
    }

    /// Whether the copy runs the release that runs live.
    pub(crate) fn previous_in_copy(&self) -> Result<Observation, Error> {
        let Some(history) = self.history_if_any()? else { return Ok(Observation::NotStarted) };
        let Some(first) = self.first(Some(&history))? else { return Ok(Observation::NotStarted) };
        if let Some(left) = self.interrupted(&history)? {
            return Ok(left);
        }
        let cluster = self.cluster()?;
        let is_stopped = cluster.workloads.iter().any(scale::awaits_start);
        Ok(match history.is_back_at(first) && !is_stopped {
            true => ready(&cluster),
            false => Observation::NotStarted,
        })
    }

    /// What the stack file says otherwise for the copy; nothing for what is live.
    pub(crate) fn of_the_copy(&self) -> Result<Entry, Error> {
        let Some(copied) = &self.operation.copied else { return Ok(Entry::default()) };
        serde_json::from_value(copied.differs.clone()).map_err(|error| {
            Error::invalid_settings("the rehearsal's settings cannot be used")
                .with_platform(error.to_string())
        })
    }

    fn scratch(&self) -> Result<Scratch, Error> {
        Scratch::of(self.operation, |settings| &settings.access)
    }

    /// Installs the release that runs live, with what the chart does not bring itself.
    fn install(&self) -> Result<(), Error> {
        if let Some(objects) = &self.operation.settings.objects {
            let file = format!("--filename={objects}");
            let words =
                ["apply", "--server-side", "--field-manager=vaultup", &file, "--output=name"];
            self.kubectl.text(&words)?;
        }
        let Some(previous) = &self.operation.previous else {
            let message = "there is no release file of the release that runs, so its copy cannot \
                           be installed";
            return Err(Error::invalid_settings(message));
        };
        let source = self.source_of(previous)?;
        log::info(format!("installing {} as the copy", source.shown()));
        let mut words = self.upgrade_words(&source, &["--install"]);
        words.push(format!("--labels={KEY_LABEL}={}", self.operation.key));
        self.carry_out(words, "`helm upgrade --install`", |history| {
            history.last().status == "deployed"
        })
    }

    /// The copy's revision of the release that runs live.
    fn first(&self, history: Option<&History>) -> Result<Option<u64>, Error> {
        let Some(previous) = &self.operation.previous else { return Ok(None) };
        let entries = history.into_iter().flat_map(History::that_were_deployed);
        for entry in entries {
            if self.version(entry)?.as_ref() == Some(&previous.version) {
                return Ok(Some(entry.revision));
            }
        }
        Ok(None)
    }

    fn history_if_any(&self) -> Result<Option<History>, Error> {
        match self.history() {
            Ok(history) => Ok(Some(history)),
            Err(error) if error.case() == &Case::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
