//! Upgrades and rollbacks: helm at work, the cluster watched meanwhile, and helm's history asked
//! for the outcome.

use std::time::Duration;

use vaultup_kubectl::objects::{Pod, REPLICAS_BEFORE};
use vaultup_kubectl::{Cluster, Kind, Workload, follow, scale, waves};
use vaultup_sdk::process::{Arguments, Asked, Command, Exit, Origin};
use vaultup_sdk::{Case, Error, cancel, clock, log};

use crate::history::History;
use crate::release::{KEY_LABEL, Release};

/// Between two questions whether helm has ended: nobody waits longer than this for nothing.
const ENDED_INTERVAL: Duration = Duration::from_millis(20);
/// helm takes whole seconds, and one at least.
const TIMEOUT_MIN: u64 = 1;
/// Lines of helm's standard error that an error shows.
const ERROR_LINES_MAX: usize = 20;

/// How a helm command ended.
struct Ended {
    exit: Exit,
    words: String,
}

impl Release<'_> {
    /// Upgrades to the next release's chart and waits until its workloads are ready, unless any is
    /// held for a wave.
    ///
    /// # Errors
    /// With the reasons of pods and hooks; what is left is found in the history.
    pub(crate) fn upgrade(&self, before: &History, cluster: &Cluster) -> Result<(), Error> {
        let source = self.source()?;
        let settings = &self.operation.settings;
        let was_stopped = self.give_fields_back(cluster)?;
        let mut words = self.upgrade_words(&source, &[]);
        if settings.take_over_fields && self.is_four()? {
            words.push("--force-conflicts".to_owned());
        }
        words.push(format!("--labels={KEY_LABEL}={}", self.operation.key));
        words.extend(self.limits(!waves::is_any_held(cluster)));
        let ended = self.follow(self.helm(words))?;
        let is_new = |history: &History| history.last().revision > before.last().revision;
        self.judge(&ended, "`helm upgrade`", |history| {
            is_new(history) && history.last().status == "deployed"
        })?;
        self.start_what_waits(was_stopped)
    }

    /// Goes back to a revision and waits until its workloads are ready.
    ///
    /// # Errors
    /// As [`Release::upgrade`].
    pub(crate) fn roll_back(
        &self,
        revision: u64,
        without_hooks: bool,
        cluster: &Cluster,
    ) -> Result<History, Error> {
        let was_stopped = self.give_fields_back(cluster)?;
        let mut words = vec!["rollback".to_owned(), self.name().to_owned(), revision.to_string()];
        words.extend(without_hooks.then(|| "--no-hooks".to_owned()));
        // On the way back nobody's changes of what this release owns are kept.
        words.extend(self.is_four()?.then(|| "--force-conflicts".to_owned()));
        words.extend(self.limits(!waves::is_any_held(cluster)));
        let ended = self.follow(self.helm(words))?;
        let history =
            self.judge(&ended, "`helm rollback`", |history| history.is_back_at(revision))?;
        // Not before: until then what would be let go is the other release.
        self.let_go(cluster)?;
        self.start_what_waits(was_stopped)?;
        Ok(history)
    }

    /// Runs helm with these words and its limits, and asks the history for the outcome.
    pub(crate) fn carry_out(
        &self,
        mut words: Vec<String>,
        attempt: &str,
        is_done: impl Fn(&History) -> bool,
    ) -> Result<(), Error> {
        words.extend(self.limits(true));
        let ended = self.follow(self.helm(words))?;
        self.judge(&ended, attempt, is_done).map(drop)
    }

    /// Fields that vaultup itself set while stopping are helm's again. A DaemonSet that is held by
    /// a node selector, which no chart knows of, is let go. Says whether anything was stopped.
    fn give_fields_back(&self, cluster: &Cluster) -> Result<bool, Error> {
        let marked =
            |workload: &&Workload| workload.metadata.annotations.contains_key(REPLICAS_BEFORE);
        cluster.workloads.iter().filter(marked).try_for_each(|workload| match workload.kind {
            Kind::DaemonSet => {
                let only = cluster.clone().only(|its| its.reference() == workload.reference());
                scale::start(&self.kubectl, &only, 0)
            }
            Kind::Deployment | Kind::StatefulSet => scale::disown(&self.kubectl, workload),
        })?;
        Ok(cluster.workloads.iter().any(|workload| marked(&workload)))
    }

    /// What was stopped and is still at no instance gets back what it had: a chart that leaves the
    /// number of instances to an autoscaler does not say how many.
    pub(crate) fn start_what_waits(&self, was_stopped: bool) -> Result<(), Error> {
        if !was_stopped {
            return Ok(());
        }
        let cluster = self.cluster()?;
        for workload in &cluster.workloads {
            if scale::awaits_start(workload) {
                let only = cluster.clone().only(|its| its.reference() == workload.reference());
                scale::start(&self.kubectl, &only, workload.wanted_when_open())?;
            } else if workload.metadata.annotations.contains_key(REPLICAS_BEFORE) {
                scale::forget(&self.kubectl, workload)?;
            }
        }
        let look = || self.cluster();
        follow::until_complete(&self.kubectl, self.operation.deadline, look)
    }

    /// How long helm may take. It waits for pods unless they are held, which it would wait for in
    /// vain; for hooks it always does.
    fn limits(&self, waits: bool) -> Vec<String> {
        // Less than the operation has, so that helm can say itself that it gave up.
        let seconds = follow::patience(self.operation.deadline).as_secs().max(TIMEOUT_MIN);
        let history = self.operation.settings.history_max();
        let mut words = vec![format!("--history-max={history}"), format!("--timeout={seconds}s")];
        words.extend(waits.then(|| "--wait".to_owned()));
        words
    }

    /// Runs helm, and tells meanwhile what hinders pods of the workloads and of hooks.
    fn follow(&self, command: Command<Arguments>) -> Result<Ended, Error> {
        let running = command.discard_output().start()?;
        let mut news = follow::News::default();
        let mut looking: Option<Asked<'_, Cluster>> = None;
        let mut looked_ms = clock::now_ms();
        while !running.has_ended()? && !cancel::requested() {
            if clock::pause(ENDED_INTERVAL).is_err() {
                break;
            }
            let is_due = Duration::from_millis(clock::now_ms().saturating_sub(looked_ms))
                >= follow::INTERVAL;
            looking = match looking {
                None if is_due => Some(self.ask_cluster()),
                Some(looked) if looked.has_ended()? => {
                    // What cannot be seen for a moment does not end helm's work.
                    let told = looked.answer().and_then(|cluster| {
                        news.tell(&self.kubectl, &cluster)?;
                        news.tell_of(&self.kubectl, &hook_pods(&cluster))
                    });
                    if let Err(error) = told {
                        log::debug(error.to_string());
                    }
                    looked_ms = clock::now_ms();
                    None
                }
                other => other,
            };
        }
        let mut lines = Vec::new();
        while let Some(line) = running.next_line()? {
            if line.origin == Origin::StandardError {
                lines.push(line.text);
            }
        }
        let skipped = lines.len().saturating_sub(ERROR_LINES_MAX);
        let words = lines.split_off(skipped).join("\n");
        Ok(Ended { exit: running.finish()?, words })
    }

    /// The outcome, as helm's history tells it. If it cannot be asked, nothing is claimed.
    fn judge(
        &self,
        ended: &Ended,
        attempt: &str,
        is_done: impl Fn(&History) -> bool,
    ) -> Result<History, Error> {
        let history = self.history()?;
        if is_done(&history) {
            return Ok(history);
        }
        let last = history.last();
        let said = match ended.exit {
            Exit::Status(0) => {
                let message = format!(
                    "{attempt} ended well, and revision {} is {}: {}",
                    last.revision, last.status, last.description
                );
                return Err(Error::failed(message));
            }
            exit => self.failure(exit, &ended.words, attempt),
        };
        if matches!(said.case(), Case::Cancelled | Case::Conflict | Case::Refused) {
            return Err(said);
        }
        let cluster = self.cluster();
        let mut reasons = vec![said.platform().to_owned()];
        if let Ok(cluster) = &cluster {
            let hooks =
                hook_pods(cluster).into_iter().filter(|pod| pod.status.phase != "Succeeded");
            let pods = hooks.chain(cluster.owned_pods());
            reasons.extend(follow::reasons_of(&self.kubectl, pods));
        }
        reasons.retain(|reason| !reason.trim().is_empty());
        let case = if said.case() == &Case::Unreachable { Case::Unreachable } else { Case::Failed };
        let revision = format!("revision {} is {}", last.revision, last.status);
        Err(Error::new(case, format!("{}; {revision}", said.message()))
            .with_platform(reasons.join("\n")))
    }
}

/// Pods of hook Jobs.
fn hook_pods(cluster: &Cluster) -> Vec<&Pod> {
    let is_hook = |annotations: &std::collections::BTreeMap<String, String>| {
        annotations.contains_key("helm.sh/hook")
    };
    let jobs = cluster.jobs.iter().filter(|job| is_hook(&job.metadata.annotations));
    jobs.flat_map(|job| cluster.pods_of(&job.metadata)).collect()
}
