//! Waiting for workloads, with news of what hinders as soon as the cluster says it.

use std::collections::BTreeSet;
use std::time::Duration;

use vaultup_sdk::clock::{Deadline, Wait, wait_until};
use vaultup_sdk::{Case, Error, log, progress};

use crate::access::Kubectl;
use crate::objects::{Cluster, Pod, Workload};
use crate::reason::{self, Reason, Warnings};
use crate::rollout::{self, Rollout};

/// Between two looks at the cluster: news of a pod is at most this old, and a look more.
pub const INTERVAL: Duration = Duration::from_millis(700);
/// The share of an operation's time that is kept for finding out why something did not come: one
/// fifth, within limits. A machine under load needs seconds for a look.
const MARGIN_SHARE: u32 = 5;
const MARGIN_MIN: Duration = Duration::from_secs(3);
const MARGIN_MAX: Duration = Duration::from_secs(30);
/// The most pods of which an error tells; more of the same only hide the first.
const PODS_TOLD_MAX: usize = 3;

/// What was told already, so that each reason is told once.
#[derive(Debug, Default)]
pub struct News {
    told: BTreeSet<String>,
}

impl News {
    /// Tells what is new of the pods of the workloads, and how many are ready.
    ///
    /// # Errors
    /// If the cluster cannot be asked.
    pub fn tell(&mut self, kubectl: &Kubectl, cluster: &Cluster) -> Result<(), Error> {
        let wanted: u64 = cluster.workloads.iter().map(|its| u64::from(its.wanted())).sum();
        let pods: Vec<&Pod> = cluster.owned_pods().collect();
        let ready = pods.iter().filter(|pod| pod.is_ready()).count() as u64;
        progress::report(ready.min(wanted), Some(wanted), "pods");
        let short: Vec<&Workload> = short(cluster).collect();
        if !short.is_empty() {
            let warnings = Warnings::look(kubectl)?;
            short.iter().filter_map(|its| not_made(its, &warnings)).for_each(|text| {
                if self.told.insert(text.clone()) {
                    log::warning(text);
                }
            });
        }
        self.tell_of(kubectl, &pods)
    }

    /// Tells what is new of these pods.
    ///
    /// # Errors
    /// If the cluster cannot be asked.
    pub fn tell_of(&mut self, kubectl: &Kubectl, pods: &[&Pod]) -> Result<(), Error> {
        let hindered = pods.iter().any(|pod| !pod.is_ready() && !pod.is_over());
        let warnings = if hindered { Warnings::look(kubectl)? } else { Warnings::default() };
        for &pod in pods {
            let Some(reason) = reason::of(pod, &warnings) else { continue };
            if self.told.insert(key(&reason)) {
                match reason.is_trouble {
                    true => {
                        let text = reason::with_log(kubectl, pod, &reason);
                        text.lines().for_each(log::warning);
                    }
                    false => log::info(&reason.text),
                }
            }
        }
        Ok(())
    }
}

/// The time that is waited for something, so that enough is left to find out why it did not come.
#[must_use]
pub fn patience(deadline: Deadline) -> Duration {
    let left = deadline.time_left();
    left.saturating_sub((left / MARGIN_SHARE).clamp(MARGIN_MIN, MARGIN_MAX))
}

/// Looks until every workload is complete. What cannot be asked for a moment is asked again.
///
/// # Errors
/// [`Case::TimedOut`] and [`Case::Failed`] with the reasons of the pods that are not ready.
pub fn until_complete(
    kubectl: &Kubectl,
    deadline: Deadline,
    mut look: impl FnMut() -> Result<Cluster, Error>,
) -> Result<(), Error> {
    let mut news = News::default();
    let waited = wait_until(Deadline::after(patience(deadline)), INTERVAL, || {
        let cluster = match look() {
            Err(error) if error.case() == &Case::Unreachable => {
                return Ok(Wait::NotYet(error.message().to_owned()));
            }
            looked => looked?,
        };
        match rollout::of_all(&cluster) {
            Rollout::Complete => Ok(Wait::Over(())),
            Rollout::GivenUp(why) => Err(Error::failed(why)),
            Rollout::UnderWay(why) => {
                let told = news.tell(kubectl, &cluster);
                told.map_or_else(unreachable_is_not_yet, |()| Ok(Wait::NotYet(why)))
            }
        }
    });
    waited.map_err(|error| match error.case() {
        Case::TimedOut | Case::Failed => with_reasons(kubectl, error, look()),
        _ => error,
    })
}

/// Looks until no pod of the workloads is left.
///
/// # Errors
/// [`Case::TimedOut`] naming the pods that are.
pub fn until_gone(
    deadline: Deadline,
    mut look: impl FnMut() -> Result<Cluster, Error>,
) -> Result<(), Error> {
    wait_until(deadline, INTERVAL, || {
        let cluster = match look() {
            Err(error) if error.case() == &Case::Unreachable => {
                return Ok(Wait::NotYet(error.message().to_owned()));
            }
            looked => looked?,
        };
        let left: Vec<&str> =
            rollout::left(&cluster).iter().map(|pod| pod.metadata.name.as_str()).collect();
        Ok(match left.as_slice() {
            [] => Wait::Over(()),
            left => Wait::NotYet(format!("still there: {}", left.join(", "))),
        })
    })
}

/// The reasons of pods that do not serve, each with the end of its log, the gravest first.
#[must_use]
pub fn reasons(kubectl: &Kubectl, cluster: &Cluster) -> Vec<String> {
    let mut reasons = reasons_of(kubectl, cluster.owned_pods());
    let short: Vec<&Workload> = short(cluster).collect();
    if !short.is_empty() {
        let warnings = Warnings::look(kubectl).unwrap_or_default();
        reasons.extend(short.into_iter().filter_map(|its| not_made(its, &warnings)));
    }
    reasons
}

/// As [`reasons`], of these pods.
#[must_use]
pub fn reasons_of<'p>(kubectl: &Kubectl, pods: impl Iterator<Item = &'p Pod>) -> Vec<String> {
    let warnings = Warnings::look(kubectl).unwrap_or_default();
    let each = pods.filter_map(|pod| Some((pod, reason::of(pod, &warnings)?)));
    let mut found: Vec<(&Pod, Reason)> = each.collect();
    found.sort_by_key(|(_, reason)| !reason.is_trouble);
    let told = found.iter().take(PODS_TOLD_MAX);
    told.map(|(pod, reason)| reason::with_log(kubectl, pod, reason)).collect()
}

/// An error with the reasons of the pods behind the platform's words. What did not come in time,
/// and of which it can be seen why, has failed.
#[must_use]
pub fn with_reasons(kubectl: &Kubectl, error: Error, looked: Result<Cluster, Error>) -> Error {
    let Ok(cluster) = looked else { return error };
    let error = match error.case() {
        Case::TimedOut => Error::failed(error.message()).with_platform(error.platform()),
        _ => error,
    };
    let reasons = reasons(kubectl, &cluster);
    let words = [error.platform().to_owned(), reasons.join("\n")];
    let words = words.into_iter().filter(|words| !words.is_empty());
    error.with_platform(words.collect::<Vec<_>>().join("\n"))
}

/// What a Deployment says of itself when the cluster makes no pods of it.
fn failing(workload: &Workload) -> Option<&str> {
    let mut conditions = workload.status.conditions.iter();
    let its = conditions.find(|its| its.kind == "ReplicaFailure" && its.status == "True")?;
    Some(&its.message)
}

/// Workloads of which there are fewer pods than are wanted, or of which none can be made.
fn short(cluster: &Cluster) -> impl Iterator<Item = &Workload> {
    cluster.workloads.iter().filter(|workload| {
        if failing(workload).is_some() {
            return true;
        }
        let pods = cluster.pods_of(&workload.metadata).filter(|pod| !pod.is_over());
        pods.count() < usize::try_from(workload.wanted()).unwrap_or(usize::MAX)
    })
}

fn not_made(workload: &Workload, warnings: &Warnings) -> Option<String> {
    let text = failing(workload).or_else(|| warnings.creation(&workload.metadata.name))?;
    Some(format!("{workload} gets no pod: {text}"))
}

fn unreachable_is_not_yet(error: Error) -> Result<Wait<()>, Error> {
    match error.case() {
        Case::Unreachable => Ok(Wait::NotYet(error.message().to_owned())),
        _ => Err(error),
    }
}

/// A back-off that grows is no news.
fn key(reason: &Reason) -> String {
    let stable: String = reason.text.chars().filter(|c| !c.is_ascii_digit()).collect();
    stable.split("back-off").next().unwrap_or_default().to_owned()
}
