//! The read-only twins: what the cluster says of a change.

use vaultup_kubectl::rollout::{self, Rollout};
use vaultup_kubectl::{Cluster, Workload, scale};
use vaultup_sdk::deploy::{Change, Presence};
use vaultup_sdk::{Error, Observation};

use crate::deploy::serves;
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
                true if serves(workload, *wave) => {
                    Observation::done(format!("{workload} has the image and its pods are ready"))
                }
                true => progress(&cluster),
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
