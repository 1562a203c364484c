//! The read-only twins: what history and workloads say of a change.

use vaultup_kubectl::rollout::{self, Rollout};
use vaultup_kubectl::{Cluster, scale, waves};
use vaultup_sdk::deploy::{Change, Presence, Wave};
use vaultup_sdk::{Error, Observation};

use crate::deploy::is_stopped;
use crate::history::History;
use crate::release::Release;
use crate::settle::Pending;
use crate::staged;

impl Release<'_> {
    pub(crate) fn status(&self, change: &Change) -> Result<Observation, Error> {
        match change {
            // It only looks whether the chart is there, so it is looked again.
            Change::Prefetch => Ok(Observation::NotStarted),
            Change::Apply(wave) => self.upgraded(*wave),
            Change::Stop => Ok(stopped(&self.cluster()?)),
            Change::Start => {
                let cluster = self.cluster()?;
                let hinders = staged::staged(&cluster).is_some() || is_stopped(&cluster);
                Ok(if hinders { Observation::NotStarted } else { ready(&cluster) })
            }
            Change::Discard if !self.operation.is_live() => self.left_of_copy(),
            Change::Revert(_) if !self.operation.is_live() => self.previous_in_copy(),
            Change::Revert((revision, Presence::Running)) => self.back(revision),
            Change::Revert((revision, Presence::Stopped)) => {
                let cluster = self.cluster()?;
                let staged = staged::staged(&cluster).map(|staged| staged.to_string());
                Ok(match stopped(&cluster) {
                    Observation::Done(seen) if staged.as_ref() == Some(revision) => {
                        Observation::done(format!("revision {revision} is in place; {seen}"))
                    }
                    _ => Observation::NotStarted,
                })
            }
            Change::HoldTraffic | Change::ReleaseTraffic | Change::Discard => {
                Ok(Observation::unknown("helm has no notion of it"))
            }
        }
    }

    fn upgraded(&self, wave: Wave) -> Result<Observation, Error> {
        let history = self.history()?;
        if let Some(left) = self.interrupted(&history)? {
            return Ok(left);
        }
        let (last, next) = (history.last(), &self.operation.next()?.version);
        if self.version(last)?.as_ref() != Some(next) {
            return Ok(Observation::NotStarted);
        }
        Ok(match last.status.as_str() {
            "deployed" => {
                let cluster = self.cluster()?;
                match is_stopped(&cluster) {
                    true => Observation::NotStarted,
                    false if wave.number < wave.of => reached(&cluster, wave)?,
                    false => ready(&cluster),
                }
            }
            _ => Observation::failed(format!(
                "revision {} is {}: {}",
                last.revision, last.status, last.description
            )),
        })
    }

    fn back(&self, revision: &str) -> Result<Observation, Error> {
        let history = self.history()?;
        if let Some(left) = self.interrupted(&history)? {
            return Ok(left);
        }
        let number = revision.parse().unwrap_or_default();
        Ok(match history.is_back_at(number) {
            true => ready(&self.cluster()?),
            false => Observation::NotStarted,
        })
    }

    /// What a helm is at, or has left half-done.
    pub(crate) fn interrupted(&self, history: &History) -> Result<Option<Observation>, Error> {
        let last = history.last();
        let Some(pending) = self.pending(history)? else { return Ok(None) };
        if let Some(job) = self.running_hook(history, &self.cluster()?)? {
            return Ok(Some(Observation::in_progress(format!("hook Job {job} still runs"))));
        }
        let seen = format!("revision {} is {}", last.revision, last.status);
        Ok(Some(match pending {
            Pending::Fresh => Observation::in_progress(format!("{seen}, by another helm")),
            Pending::LeftByThisRun | Pending::LeftLongAgo => Observation::failed(seen),
        }))
    }
}

/// Whether no instance is wanted and none is left.
fn stopped(cluster: &Cluster) -> Observation {
    let left = rollout::left(cluster).len();
    match (left, cluster.workloads.iter().all(scale::is_held)) {
        (0, true) => Observation::done("no pod is left"),
        (_, true) => Observation::in_progress(format!("{left} pods are left")),
        (_, false) => Observation::NotStarted,
    }
}

/// Whether a wave is complete. What is held does not go on by itself.
fn reached(cluster: &Cluster, wave: Wave) -> Result<Observation, Error> {
    Ok(match waves::awaited(cluster, |its| waves::share_of_held(its, wave.instances))? {
        None => {
            Observation::done(format!("{} pods are new, and every pod is ready", wave.instances))
        }
        Some(seen) => Observation::failed(seen),
    })
}

/// Whether every workload runs what it should.
pub(crate) fn ready(cluster: &Cluster) -> Observation {
    if waves::is_any_held(cluster) {
        return Observation::failed("workloads are held for a wave");
    }
    match rollout::of_all(cluster) {
        Rollout::Complete => Observation::done("every workload is complete and ready"),
        Rollout::UnderWay(seen) => Observation::in_progress(seen),
        Rollout::GivenUp(why) => Observation::failed(why),
    }
}
