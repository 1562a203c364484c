//! The interface `health-check`: workloads and pods, as measurements.

use vaultup_kubectl::rollout::{self, Rollout};
use vaultup_sdk::health_check::{Measurement, Verdict};
use vaultup_sdk::{Error, HealthCheck, Operation};

use crate::HelmPlugin;
use crate::deploy::instances;
use crate::release::Release;
use crate::settings::Settings;

impl HealthCheck for HelmPlugin {
    fn probe(operation: &Operation<Settings>) -> Result<Vec<Measurement>, Error> {
        let release = Release::of(operation);
        let (history, cluster) = (release.ask_history(), release.ask_cluster());
        let (history, cluster) = (history.answer()?, cluster.answer()?);
        let mut measured = Vec::new();
        let last = history.last();
        let verdict = match last.status.as_str() {
            "deployed" => Verdict::Healthy,
            // What runs is judged by its workloads; an attempt that failed is worth knowing.
            _ => Verdict::Degraded,
        };
        let detail = format!("revision {}: {}", last.revision, last.description);
        measured.push(Measurement::text("release", &last.status, verdict).with_detail(detail));
        for workload in &cluster.workloads {
            let (complete, detail) = match rollout::of(workload) {
                Rollout::Complete => (true, format!("{} instances", workload.wanted())),
                Rollout::UnderWay(why) | Rollout::GivenUp(why) => (false, why),
            };
            let verdict = if complete { Verdict::Healthy } else { Verdict::Failing };
            let name = format!("workload.{}", workload.metadata.name);
            measured.push(Measurement::truth(name, complete, verdict).with_detail(detail));
        }
        let pods = instances(&release, &cluster)?;
        let ready = pods.iter().filter(|pod| pod.ready).count();
        let reasons: Vec<&str> =
            pods.iter().filter(|pod| !pod.ready).map(|pod| pod.reason.as_str()).collect();
        let verdict = if reasons.is_empty() { Verdict::Healthy } else { Verdict::Degraded };
        let detail = format!(
            "of {}{}{}",
            pods.len(),
            if reasons.is_empty() { "" } else { ": " },
            reasons.join("; ")
        );
        let ready = Measurement::number("pods-ready", ready as f64, "1", verdict);
        measured.push(ready.with_detail(detail));
        Ok(measured)
    }
}
