//! What an interrupted helm left, found and dealt with before anything else happens.
//!
//! A killed helm leaves its revision `pending-…` and its hook Job running. Every later upgrade
//! refuses then; a rollback to the last deployed revision, by its number, cures it.

use std::time::Duration;

use serde_json::Value;
use vaultup_kubectl::objects::Job;
use vaultup_kubectl::{Cluster, manifest};
use vaultup_sdk::clock::{self, Wait, wait_until};
use vaultup_sdk::{Error, log};

use crate::history::History;
use crate::release::Release;

/// A revision that is pending for longer was left by a helm that is gone. helm's own default
/// timeout is 5 minutes; hooks and waiting each have it.
pub(crate) const PENDING_MS_MAX: u64 = 15 * 60_000;
/// Between two looks at a hook Job that still runs.
const INTERVAL: Duration = Duration::from_millis(500);

/// Who is at work on a pending revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Nobody: an operation of this run, which has ended, left it.
    LeftByThisRun,
    /// Nobody: it is older than any helm works.
    LeftLongAgo,
    /// Perhaps somebody else.
    Fresh,
}

impl Release<'_> {
    /// Who is at work on the newest revision; nothing if it is not pending.
    pub(crate) fn pending(&self, history: &History) -> Result<Option<Pending>, Error> {
        let last = history.last();
        if !last.is_pending() {
            return Ok(None);
        }
        let is_ours = match last.status.as_str() {
            // It has no label of its own. On this run's way back it is taken for the run's: going
            // back to a named revision once more harms nobody, and helm's lock stops nobody.
            "pending-rollback" => self.run().is_some(),
            _ => self.key_of(last.revision)?.is_some_and(|key| run_of(&key) == self.run()),
        };
        if is_ours {
            return Ok(Some(Pending::LeftByThisRun));
        }
        let is_old = last.age_ms(clock::now_ms()).is_none_or(|age| age > PENDING_MS_MAX);
        Ok(Some(if is_old { Pending::LeftLongAgo } else { Pending::Fresh }))
    }

    /// A sentence on somebody else's work; nothing if nobody is at work.
    pub(crate) fn busy(&self, history: &History) -> Result<Option<String>, Error> {
        let last = history.last();
        Ok(match self.pending(history)? {
            Some(Pending::Fresh) => Some(format!(
                "revision {} of `{}` is {} since {}",
                last.revision,
                self.name(),
                last.status,
                last.updated
            )),
            _ => None,
        })
    }

    /// Makes sure that nothing of an interrupted helm is under way or in the way. The way back is
    /// to the last deployed revision. Gives what is there afterwards.
    ///
    /// # Errors
    /// [`vaultup_sdk::Case::Conflict`] while somebody else is at work.
    pub(crate) fn settle(&self) -> Result<(History, Cluster), Error> {
        let (history, cluster) = (self.ask_history(), self.ask_cluster());
        let history = history.answer()?;
        if let Some(busy) = self.busy(&history)? {
            return Err(Error::conflict(busy));
        }
        let cluster = self.let_hooks_end(&history, cluster.answer()?)?;
        let last = history.last();
        if !last.is_pending() {
            return Ok((history, cluster));
        }
        let Some(deployed) = history.deployed().map(|entry| entry.revision) else {
            let message = format!(
                "`{}` was never deployed: revision {} is {}",
                self.name(),
                last.revision,
                last.status
            );
            return Err(Error::conflict(message));
        };
        let pending = (last.revision, last.status.clone());
        log::warning(format!(
            "revision {} was left {} by a helm that is gone; going back to revision {deployed}",
            pending.0, pending.1
        ));
        let history = self.roll_back(deployed, true, &cluster)?;
        Ok((history, self.cluster()?))
    }

    /// Waits until no hook Job of the newest revision runs: it may be migrating. Begins with what
    /// was seen of the cluster, and gives what was seen last.
    ///
    /// # Errors
    /// [`vaultup_sdk::Case::TimedOut`] naming the Job.
    pub(crate) fn let_hooks_end(
        &self,
        history: &History,
        cluster: Cluster,
    ) -> Result<Cluster, Error> {
        if self.running_hook(history, &cluster)?.is_none() {
            return Ok(cluster);
        }
        let hooks = self.hook_jobs(history.last().revision)?;
        wait_until(self.operation.deadline, INTERVAL, || {
            let cluster = self.cluster()?;
            Ok(match running(&cluster, &hooks).map(|job| job.metadata.name.clone()) {
                None => Wait::Over(cluster),
                Some(job) => Wait::NotYet(format!("hook Job {job} still runs")),
            })
        })
    }

    /// The hook Job of the newest revision that still runs.
    pub(crate) fn running_hook(
        &self,
        history: &History,
        cluster: &Cluster,
    ) -> Result<Option<String>, Error> {
        // Mostly no Job runs at all, and then helm need not be asked which would be its own.
        if cluster.jobs.iter().all(|job| job.status.active == 0) {
            return Ok(None);
        }
        let hooks = self.hook_jobs(history.last().revision)?;
        Ok(running(cluster, &hooks).map(|job| job.metadata.name.clone()))
    }

    /// Names of the Jobs among a revision's hooks.
    pub(crate) fn hook_jobs(&self, revision: u64) -> Result<Vec<String>, Error> {
        let objects = manifest::objects(&self.hooks(revision)?)?;
        let jobs = objects.iter().filter(|object| object["kind"] == "Job");
        let name = |job: &Value| job["metadata"]["name"].as_str().map(str::to_owned);
        Ok(jobs.filter_map(name).collect())
    }

    /// The run that the operation belongs to; none if it only observes.
    fn run(&self) -> Option<&str> {
        run_of(&self.operation.key)
    }
}

fn run_of(key: &str) -> Option<&str> {
    key.split_once('.').map(|(run, _)| run)
}

fn running<'c>(cluster: &'c Cluster, hooks: &[String]) -> Option<&'c Job> {
    let is_hook = |job: &&Job| hooks.contains(&job.metadata.name);
    cluster.jobs.iter().filter(is_hook).find(|job| job.status.active > 0)
}
