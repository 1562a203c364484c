//! The interface `deploy`.

use vaultup_kubectl::access::Place;
use vaultup_kubectl::objects::Pod;
use vaultup_kubectl::reason::{self, Warnings};
use vaultup_kubectl::rollout::{self, Rollout};
use vaultup_kubectl::{Cluster, digest, follow, rights, scale, waves};
use vaultup_sdk::deploy::{
    Change, Claim, Forecast, Instance, Inventory, Lock, Presence, Running, Traffic, Wave,
};
use vaultup_sdk::{Case, Deploy, Error, Observation, Operation};

use crate::HelmPlugin;
use crate::history::{Entry, History};
use crate::needs;
use crate::release::Release;
use crate::settings::Settings;
use crate::staged;

impl Deploy for HelmPlugin {
    fn observe(operation: &Operation<Settings>) -> Result<Running, Error> {
        let release = Release::of(operation);
        let explained = |error| rights::explained(&release.kubectl, error, &needs::ALWAYS);
        let (history, cluster) = (release.ask_history(), release.ask_cluster());
        let place = release.kubectl.ask_place();
        let (history, cluster) = (history.answer().map_err(explained)?, cluster.answer()?);
        let deployed = history.deployed();
        let wanted = cluster.workloads.iter().map(|workload| workload.wanted_when_open()).sum();
        Ok(Running {
            version: deployed.map(|entry| release.version(entry)).transpose()?.flatten(),
            revision: deployed.map(|entry| entry.revision.to_string()),
            artifacts: cluster.images(),
            instances_wanted: wanted,
            instances: instances(&release, &cluster)?,
            traffic: Traffic::NotApplicable,
            configuration_digest: Some(configuration(&place.answer()?, &history)),
            busy: release.busy(&history)?,
        })
    }

    fn way_back(operation: &Operation<Settings>) -> Result<Inventory, Error> {
        let release = Release::of(operation);
        let history = release.history()?;
        let Some(deployed) = history.deployed() else {
            let reason = format!("no revision of `{}` is deployed", release.name());
            return Ok(Inventory { available: false, revision: None, reason });
        };
        let (revision, chart) = (deployed.revision, &deployed.chart);
        let (revisions, most) = (history.len(), operation.settings.history_max());
        let (available, reason) = match release.ask_manifest(revision).answer() {
            Ok(manifest) => {
                let bytes = manifest.len();
                let kept = format!("chart, values and a manifest of {bytes} bytes");
                let of = format!("one of {revisions} in helm's history, which keeps {most}");
                (true, format!("revision {revision} ({chart}) is {of}: {kept}"))
            }
            Err(error) if error.case() == &Case::Unreachable => return Err(error),
            Err(error) => (false, format!("revision {revision} cannot be read: {error}")),
        };
        let revision = available.then(|| revision.to_string());
        Ok(Inventory { available, revision, reason })
    }

    fn preview(operation: &Operation<Settings>) -> Result<Forecast, Error> {
        Release::of(operation).forecast()
    }

    fn status(operation: &Operation<Settings>, change: Change) -> Result<Observation, Error> {
        Release::of(operation).status(&change)
    }

    fn prefetch(operation: &Operation<Settings>) -> Result<(), Error> {
        let release = Release::of(operation);
        let source = release.source()?;
        let chart = release.ask_chart(&source).answer()?;
        release.check_chart(&source, &chart)
    }

    fn apply(operation: &Operation<Settings>, wave: Wave) -> Result<(), Error> {
        let release = Release::of(operation);
        let (history, cluster) = release.settle()?;
        let next = &operation.next()?.version;
        let is_upgraded = history.last().status == "deployed"
            && release.version(history.last())?.as_ref() == Some(next);
        if is_upgraded && is_stopped(&cluster) {
            // A run that holds stopped it in the middle of its waves.
            return release.start_whole(&cluster);
        }
        if wave.number < wave.of {
            return release.upgrade_in_waves(&history, cluster, wave, is_upgraded);
        }
        match is_upgraded {
            true if is_complete(&cluster) => Ok(()),
            true if waves::is_any_held(&cluster) => release.let_go(&cluster),
            _ => {
                release.upgrade(&history, &cluster)?;
                release.let_go(&cluster)
            }
        }
    }

    fn stop(operation: &Operation<Settings>) -> Result<(), Error> {
        let release = Release::of(operation);
        let (history, cluster) = (release.ask_history(), release.ask_cluster());
        let cluster = release.let_hooks_end(&history.answer()?, cluster.answer()?)?;
        scale::stop(&release.kubectl, &cluster)?;
        follow::until_gone(operation.deadline, || release.cluster())
    }

    fn start(operation: &Operation<Settings>, instances: u32) -> Result<(), Error> {
        let release = Release::of(operation);
        let cluster = release.cluster()?;
        if let Some(revision) = staged::staged(&cluster) {
            return release.roll_back(revision, false, &cluster).map(drop);
        }
        scale::start(&release.kubectl, &cluster, instances)?;
        follow::until_complete(&release.kubectl, operation.deadline, || release.cluster())
    }

    fn revert(
        operation: &Operation<Settings>,
        revision: &str,
        presence: Presence,
    ) -> Result<(), Error> {
        let release = Release::of(operation);
        if !operation.is_live() {
            return release.put_previous(presence);
        }
        let (history, cluster) = (release.ask_history(), release.ask_cluster());
        let is_four = release.ask_is_four();
        let history = history.answer()?;
        let number = revision.parse().unwrap_or_default();
        if history.revision(number).is_none() {
            let message = format!("`{}` has no revision {revision} any more", release.name());
            return Err(Error::not_found(message));
        }
        if let Some(busy) = release.busy(&history)? {
            return Err(Error::conflict(busy));
        }
        let cluster = release.let_hooks_end(&history, cluster.answer()?)?;
        match presence {
            Presence::Stopped => release.stage(number),
            Presence::Running => {
                let is_stopped = is_stopped(&cluster);
                if history.is_back_at(number) && !is_stopped && is_complete(&cluster) {
                    return Ok(());
                }
                is_four.answer()?;
                release.roll_back(number, false, &cluster).map(drop)
            }
        }
    }

    fn inside(operation: &Operation<Settings>) -> Result<Vec<String>, Error> {
        let release = Release::of(operation);
        let settings = &operation.settings;
        let workload = match &settings.exec {
            Some(workload) => workload.clone(),
            None => {
                let cluster = release.cluster()?;
                let first = cluster.workloads.first().map(vaultup_kubectl::Workload::reference);
                first.ok_or_else(|| Error::not_found("the release has no workload to run in"))?
            }
        };
        let container = settings.container.as_ref().map(|name| format!("--container={name}"));
        let mut words = vec!["exec", "--stdin", workload.as_str()];
        words.extend(container.as_deref());
        let mut prefix = release.kubectl.shown(&words);
        prefix.push("--".to_owned());
        Ok(prefix)
    }

    fn discard(operation: &Operation<Settings>) -> Result<(), Error> {
        Release::of(operation).discard()
    }

    fn lock_state(operation: &Operation<Settings>) -> Result<Lock, Error> {
        Release::of(operation).lease().state()
    }

    fn acquire_lock(operation: &Operation<Settings>, claim: &Claim) -> Result<Lock, Error> {
        Release::of(operation).lease().acquire(claim)
    }

    fn renew_lock(
        operation: &Operation<Settings>,
        claim: &Claim,
        epoch: u64,
    ) -> Result<Lock, Error> {
        Release::of(operation).lease().renew(claim, epoch)
    }

    fn release_lock(
        operation: &Operation<Settings>,
        holder: &str,
        epoch: u64,
    ) -> Result<(), Error> {
        Release::of(operation).lease().release(holder, epoch)
    }
}

/// Digest of what decides how the release runs: the cluster itself, the values, and how far the
/// history is.
fn configuration(place: &Place, history: &History) -> String {
    let deployed = history.deployed();
    // A revision never changes: what it was made from is in it, the values too.
    let of = |entry: &Entry| format!("{} {} {}", entry.revision, entry.chart, entry.updated);
    let deployed = deployed.map(of).unwrap_or_default();
    let last = history.last().revision.to_string();
    digest::of(place.texts().into_iter().chain([deployed.as_str(), last.as_str()]))
}

/// The pods of a release's workloads.
pub(crate) fn instances(release: &Release<'_>, cluster: &Cluster) -> Result<Vec<Instance>, Error> {
    let pods: Vec<&Pod> = cluster.owned_pods().filter(|pod| !pod.is_over()).collect();
    let all_ready = pods.iter().all(|pod| pod.is_ready());
    let warnings = if all_ready { Warnings::default() } else { Warnings::look(&release.kubectl)? };
    let instance = |pod: &&Pod| Instance {
        name: pod.metadata.name.clone(),
        version: None,
        running: pod.is_running(),
        ready: pod.is_ready(),
        reason: reason::of(pod, &warnings).map(|reason| reason.text).unwrap_or_default(),
    };
    Ok(pods.iter().map(instance).collect())
}

/// Whether any workload was stopped and not started since.
pub(crate) fn is_stopped(cluster: &Cluster) -> bool {
    cluster.workloads.iter().any(scale::awaits_start)
}

pub(crate) fn is_complete(cluster: &Cluster) -> bool {
    rollout::of_all(cluster) == Rollout::Complete && !waves::is_any_held(cluster)
}
