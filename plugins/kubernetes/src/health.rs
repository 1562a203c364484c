//! The interface `health-check`: the workload and its pods, as measurements.

use serde_json::Value;
use vaultup_kubectl::follow;
use vaultup_kubectl::rollout::{self, Rollout};
use vaultup_sdk::health_check::{Measurement, Verdict};
use vaultup_sdk::{Error, HealthCheck, Operation};

use crate::KubernetesPlugin;
use crate::batch::{Batch, Kind, awaits};
use crate::settings::Settings;
use crate::workload::Component;

impl HealthCheck for KubernetesPlugin {
    fn probe(operation: &Operation<Settings>) -> Result<Vec<Measurement>, Error> {
        if let Some(batch) = Batch::of(operation) {
            return Ok(vec![last_run(&batch)?]);
        }
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

/// How the newest run of a Job or CronJob ended. A CronJob's is worth knowing; it fails nothing.
fn last_run(batch: &Batch<'_>) -> Result<Measurement, Error> {
    let current = batch.current()?;
    let failed = match batch.kind {
        Kind::Job => {
            let conditions = current["status"]["conditions"].as_array();
            let is_failed = |its: &Value| its["type"] == "Failed" && its["status"] == "True";
            conditions.into_iter().flatten().any(is_failed)
        }
        // Held back by a run that was not ended.
        Kind::CronJob => awaits(&current),
    };
    let detail = match (batch.kind, failed) {
        (Kind::Job, true) => "the Job failed",
        (Kind::Job, false) => "the Job did not fail",
        (Kind::CronJob, true) => "vaultup suspended it and did not resume it",
        (Kind::CronJob, false) => "it is not suspended by vaultup",
    };
    let verdict = if failed { Verdict::Failing } else { Verdict::Healthy };
    Ok(Measurement::truth("runs", !failed, verdict).with_detail(detail))
}
