//! The interface `health-check`: the workload and its pods, as measurements.

use vaultup_kubectl::follow;
use vaultup_kubectl::rollout::{self, Rollout};
use vaultup_sdk::health_check::{Measurement, Verdict};
use vaultup_sdk::{Error, HealthCheck, Operation};

use crate::KubernetesPlugin;
use crate::settings::Settings;
use crate::workload::Component;

impl HealthCheck for KubernetesPlugin {
    fn probe(operation: &Operation<Settings>) -> Result<Vec<Measurement>, Error> {
        let component = Component::of(operation);
        let cluster = component.cluster()?;
        let workload = &cluster.workloads[0];
        let partition = workload.spec.update_strategy.rolling_update.partition;
        let (complete, detail) = match rollout::of(workload) {
            Rollout::Complete if partition > 0 => {
                (false, format!("{partition} instances are held back by its partition"))
            }
            Rollout::Complete => (true, format!("{} instances", workload.wanted())),
            Rollout::UnderWay(why) | Rollout::GivenUp(why) => {
                let reasons = follow::reasons(&component.kubectl, &cluster).join("; ");
                (false, format!("{why}; {reasons}"))
            }
        };
        let verdict = if complete { Verdict::Healthy } else { Verdict::Failing };
        Ok(vec![Measurement::truth("rollout", complete, verdict).with_detail(detail)])
    }
}
