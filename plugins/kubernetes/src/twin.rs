//! The read-only twins: what the cluster says of a change.

use serde_json::Value;
use vaultup_kubectl::rollout::{self, Rollout};
use vaultup_kubectl::{Cluster, Workload, scale};
use vaultup_sdk::deploy::{Change, Presence};
use vaultup_sdk::{Error, Observation};

use crate::batch::{Batch, Kind, awaits};
use crate::deploy::awaited;
use crate::job::job_of;
use crate::workload::Component;

impl Component<'_> {
    pub(crate) fn status(&self, change: &Change) -> Result<Observation, Error> {
        if !self.operation.is_live() {
            match change {
                Change::Discard => return self.left_of_copy(),
                Change::Revert(_) => return self.previous_in_copy(),
                _ => {}
            }
        }
        let cluster = self.cluster()?;
        let workload = &cluster.workloads[0];
        match change {
            Change::Prefetch => Ok(Observation::NotStarted),
            Change::Apply(wave) => Ok(match self.has_next(workload)? {
                true => match awaited(&cluster, *wave) {
                    Ok(None) => Observation::done(format!(
                        "{workload} has the image and its pods are ready"
                    )),
                    // It goes on by itself, or is made to; whoever asks again finds out.
                    Ok(Some(seen)) => Observation::failed(seen),
                    Err(error) => Observation::failed(error.message()),
                },
                false => Observation::NotStarted,
            }),
            Change::Stop => Ok(stopped(&cluster)),
            Change::Start if scale::awaits_start(workload) => Ok(Observation::NotStarted),
            Change::Start => Ok(progress(&cluster)),
            Change::Revert((revision, presence)) => {
                let current = self.current(workload)?.map(|its| its.name);
                if current.as_ref() != Some(revision) || workload.spec.paused {
                    return Ok(Observation::NotStarted);
                }
                match presence {
                    Presence::Stopped => Ok(stopped(&cluster)),
                    Presence::Running if scale::awaits_start(workload) => {
                        Ok(Observation::NotStarted)
                    }
                    Presence::Running => Ok(progress(&cluster)),
                }
            }
            Change::HoldTraffic | Change::ReleaseTraffic | Change::Discard => {
                Ok(Observation::unknown("a workload has no notion of it"))
            }
        }
    }
}

impl Batch<'_> {
    pub(crate) fn status(&self, change: &Change) -> Result<Observation, Error> {
        if !self.operation.is_live() {
            match change {
                Change::Discard => return Component::of(self.operation).left_of_copy(),
                Change::Revert((_, presence)) => return self.previous_in_copy(*presence),
                _ => {}
            }
        }
        let current = self.current()?;
        match change {
            Change::Prefetch => Ok(Observation::NotStarted),
            Change::Apply(_) if self.kind == Kind::Job => self.ran(),
            Change::Apply(_) => Ok(match self.has_next(&current)? && !awaits(&current) {
                true => Observation::done("it has the image and is not suspended by vaultup"),
                false => Observation::NotStarted,
            }),
            Change::Stop => {
                let cluster = Cluster::look(&self.kubectl)?;
                let left = self.active(&cluster, &current).len();
                Ok(match (self.kind == Kind::Job || awaits(&current), left) {
                    (true, 0) => Observation::done("no Job of it runs"),
                    (true, left) => Observation::in_progress(format!("{left} Jobs still run")),
                    (false, _) => Observation::NotStarted,
                })
            }
            Change::Start => Ok(match awaits(&current) {
                false => Observation::done("it is not suspended by vaultup"),
                true => Observation::NotStarted,
            }),
            Change::Revert((revision, presence)) => self.is_in_place(&current, revision, *presence),
            Change::HoldTraffic | Change::ReleaseTraffic | Change::Discard => {
                Ok(Observation::unknown("a Job has no notion of it"))
            }
        }
    }

    /// Whether a revision is in place, and as present as it is to be.
    pub(crate) fn is_in_place(
        &self,
        current: &Value,
        revision: &str,
        presence: Presence,
    ) -> Result<Observation, Error> {
        let is_held = self.kind == Kind::Job || awaits(current);
        let fits = match presence {
            Presence::Stopped => is_held,
            Presence::Running => !awaits(current),
        };
        Ok(match self.revision(current)? == revision && fits {
            true => Observation::done(format!("{revision} is in place")),
            false => Observation::NotStarted,
        })
    }

    /// What became of the Job of this operation.
    fn ran(&self) -> Result<Observation, Error> {
        let (cluster, name) = (Cluster::look(&self.kubectl)?, self.job_name());
        Ok(match job_of(&cluster, &name).map(vaultup_kubectl::objects::Job::ended) {
            None => Observation::NotStarted,
            Some(None) => Observation::in_progress(format!("Job {name} runs")),
            Some(Some(true)) => Observation::done(format!("Job {name} is complete")),
            Some(Some(false)) => Observation::failed(format!("Job {name} failed")),
        })
    }
}

pub(crate) fn progress(cluster: &Cluster) -> Observation {
    let partition = |its: &Workload| its.spec.update_strategy.rolling_update.partition;
    if cluster.workloads.iter().any(|its| partition(its) > 0) {
        return Observation::NotStarted;
    }
    match rollout::of_all(cluster) {
        Rollout::Complete => Observation::done("every pod is new and ready"),
        // It goes on by itself; whoever asks again finds out how it ends.
        Rollout::UnderWay(seen) => Observation::failed(seen),
        Rollout::GivenUp(why) => Observation::failed(why),
    }
}

fn stopped(cluster: &Cluster) -> Observation {
    let left = rollout::left(cluster).len();
    match (cluster.workloads.iter().all(scale::is_held), left) {
        (true, 0) => Observation::done("no pod is left"),
        (true, left) => Observation::in_progress(format!("{left} pods are left")),
        (false, _) => Observation::NotStarted,
    }
}
