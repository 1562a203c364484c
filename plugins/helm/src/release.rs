//! A helm release and the commands about it.

use std::cell::OnceCell;

use serde::de::DeserializeOwned;
use serde_json::Value;
use vaultup_kubectl::access::{case_of, read_json};
use vaultup_kubectl::lease::Lease;
use vaultup_kubectl::{Cluster, Kubectl, Workload, copy};
use vaultup_sdk::process::{Arguments, Asked, Command, Exit, Finished};
use vaultup_sdk::{Case, Error, Operation, process};

use crate::history::{self, History};
use crate::settings::{Entry, Settings};

/// The most revisions that are asked for. helm keeps 10 by default.
const REVISIONS_MAX: &str = "--max=1000";
/// Annotation by which helm says whose an object is.
const RELEASE_NAME: &str = "meta.helm.sh/release-name";
/// Label of an upgrade by which it is known again: the operation's key.
pub(crate) const KEY_LABEL: &str = "vaultup-key";

/// A helm release that an operation is about.
pub(crate) struct Release<'o> {
    pub(crate) operation: &'o Operation<Settings>,
    pub(crate) kubectl: Kubectl,
    is_four: OnceCell<bool>,
}

/// What an upgrade is made from: chart and values, as the operator and the release say them.
pub(crate) struct Source {
    pub(crate) chart: String,
    pub(crate) chart_version: Option<String>,
    values: Vec<String>,
    set: Vec<String>,
    set_string: Vec<String>,
}

impl<'o> Release<'o> {
    pub(crate) fn of(operation: &'o Operation<Settings>) -> Self {
        let access = copy::access(operation, |settings| &settings.access);
        Self { operation, kubectl: Kubectl::new(&access), is_four: OnceCell::new() }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.operation.settings.release
    }

    /// The release's lock, which every machine sees.
    pub(crate) fn lease(&self) -> Lease<'_> {
        Lease::of(&self.kubectl, "helm", self.name())
    }

    /// A helm command; what names the cluster is added at its end.
    pub(crate) fn helm<Text: Into<String>>(
        &self,
        words: impl IntoIterator<Item = Text>,
    ) -> Command<Arguments> {
        let words = words.into_iter().map(Into::into);
        let flags = self.kubectl.access().flags("--kube-context");
        process::command("helm").arguments(words).arguments(flags)
    }

    /// Asks for what a helm command that only looks writes.
    pub(crate) fn ask(&self, words: &[&str]) -> Asked<'_, String> {
        let attempt = format!("`helm {}`", words[..2.min(words.len())].join(" "));
        self.helm(words.iter().copied()).ask(move |finished| self.told(finished, &attempt))
    }

    fn ask_json<Answer: DeserializeOwned + 'static>(&self, words: &[&str]) -> Asked<'_, Answer> {
        let attempt = format!("`helm {}`", words[0]);
        self.ask(words).and_then(move |text| read_json(&text, &attempt))
    }

    /// What a finished helm command wrote, or what its failure means.
    pub(crate) fn told(&self, finished: Finished, attempt: &str) -> Result<String, Error> {
        if finished.is_success() {
            return Ok(finished.output);
        }
        Err(self.failure(finished.exit, finished.words(), attempt))
    }

    /// What the failure of a helm command means, by what it says.
    pub(crate) fn failure(&self, exit: Exit, words: &str, attempt: &str) -> Error {
        let (name, namespace) = (self.name(), self.kubectl.namespace());
        let (case, message) = match exit {
            Exit::Cancelled => return Error::cancelled(),
            Exit::Deadline => (Case::TimedOut, format!("{attempt}: no answer in time")),
            Exit::Signal(signal) => (Case::Failed, format!("{attempt}: killed by signal {signal}")),
            _ if words.contains("release: not found") || words.contains("has no deployed") => {
                let message = format!("there is no release `{name}` in namespace `{namespace}`");
                (Case::NotFound, message)
            }
            _ if words.contains("another operation (install/upgrade/rollback)") => {
                (Case::Conflict, format!("another helm is at work on release `{name}`"))
            }
            _ => (case_of(words), format!("{attempt}: {}", said(words))),
        };
        Error::new(case, message).with_platform(plain(words))
    }

    /// Asks for its revisions: [`Case::NotFound`] if there is no such release.
    pub(crate) fn ask_history(&self) -> Asked<'_, History> {
        let words = ["history", self.name(), REVISIONS_MAX, "--output=json"];
        self.ask_json(&words).and_then(|entries: Vec<history::Entry>| {
            let nothing = || Error::corrupt(format!("release `{}` has no revision", self.name()));
            History::new(entries).ok_or_else(nothing)
        })
    }

    /// Its revisions.
    pub(crate) fn history(&self) -> Result<History, Error> {
        self.ask_history().answer()
    }

    /// Asks for the workloads that belong to it, with all pods of the namespace.
    pub(crate) fn ask_cluster(&self) -> Asked<'_, Cluster> {
        let name = self.name();
        let is_its = move |workload: &Workload| {
            workload.metadata.annotations.get(RELEASE_NAME).is_some_and(|its| its == name)
        };
        Cluster::ask(&self.kubectl).and_then(move |cluster| Ok(cluster.only(is_its)))
    }

    /// The workloads that belong to it, with all pods of the namespace.
    pub(crate) fn cluster(&self) -> Result<Cluster, Error> {
        self.ask_cluster().answer()
    }

    /// The version that a revision is.
    pub(crate) fn version(&self, entry: &history::Entry) -> Result<Option<String>, Error> {
        let settings = &self.operation.settings;
        let Some(key) = &settings.version_value else {
            return Ok(entry.version(settings.version_in));
        };
        let values = self.ask_values(entry.revision, true).answer()?;
        let at = key.split('.').try_fold(&values, |value, part| value.get(part));
        Ok(at.and_then(Value::as_str).and_then(history::semantic))
    }

    /// Asks for values of a revision: all of them, or those that were given.
    pub(crate) fn ask_values(&self, revision: u64, all: bool) -> Asked<'_, Value> {
        let revision = format!("--revision={revision}");
        let mut words = vec!["get", "values", self.name()];
        words.extend(all.then_some("--all"));
        words.extend([revision.as_str(), "--output=json"]);
        self.ask_json(&words)
    }

    /// Asks for the manifest of a revision: YAML.
    pub(crate) fn ask_manifest(&self, revision: u64) -> Asked<'_, String> {
        let revision = format!("--revision={revision}");
        self.ask(&["get", "manifest", self.name(), &revision])
    }

    /// The hooks of a revision: YAML.
    pub(crate) fn hooks(&self, revision: u64) -> Result<String, Error> {
        let revision = format!("--revision={revision}");
        self.ask(&["get", "hooks", self.name(), &revision]).answer()
    }

    /// The key of the operation that made a revision, if it was one of vaultup's.
    pub(crate) fn key_of(&self, revision: u64) -> Result<Option<String>, Error> {
        let record = format!("secret/sh.helm.release.v1.{}.v{revision}", self.name());
        let words = ["get", record.as_str(), "--output=jsonpath={.metadata.labels}"];
        let labels: Option<Value> = self.kubectl.json_if_there(&words)?;
        Ok(labels.and_then(|labels| labels[KEY_LABEL].as_str().map(str::to_owned)))
    }

    /// Whether helm has the flags of version 4.
    pub(crate) fn is_four(&self) -> Result<bool, Error> {
        match self.is_four.get() {
            Some(is_four) => Ok(*is_four),
            None => self.ask_is_four().answer(),
        }
    }

    /// As [`Release::is_four`]; a helm that is not understood is refused.
    pub(crate) fn ask_is_four(&self) -> Asked<'_, bool> {
        let command = process::command("helm").arguments(["version", "--short"]);
        command.ask(|finished| {
            let is_four = is_four(self.told(finished, "`helm version`")?.trim())?;
            Ok(*self.is_four.get_or_init(|| is_four))
        })
    }

    /// Chart and values of the next release.
    ///
    /// # Errors
    /// [`Case::InvalidSettings`] if nobody names a chart.
    pub(crate) fn source(&self) -> Result<Source, Error> {
        self.source_of(self.operation.next()?)
    }

    /// Chart and values of a release. What the stack file says for a copy outranks the release.
    ///
    /// # Errors
    /// As [`Release::source`].
    pub(crate) fn source_of(&self, next: &vaultup_sdk::Release) -> Result<Source, Error> {
        let settings = &self.operation.settings;
        let (entry, copys): (Entry, Entry) = (next.entry()?, self.of_the_copy()?);
        let chart = next.artifact.clone().or_else(|| settings.chart.clone()).ok_or_else(|| {
            let subject = &self.operation.subject;
            Error::invalid_settings(format!(
                "neither the settings nor the release name a chart for {subject}"
            ))
        })?;
        let is_fetched = !is_local(&chart);
        let by_version = is_fetched && !chart.contains('@');
        let joined =
            |first: &[String], then: &[String], last: &[String]| [first, then, last].concat();
        Ok(Source {
            chart_version: entry.chart_version.or_else(|| by_version.then(|| next.version.clone())),
            chart,
            values: joined(&settings.values, &entry.values, &copys.values),
            set: joined(&settings.set, &entry.set, &copys.set),
            set_string: joined(&settings.set_string, &entry.set_string, &copys.set_string),
        })
    }

    /// The words that say what is fetched, and how.
    pub(crate) fn fetch_words(&self, source: &Source) -> impl Iterator<Item = String> {
        let version = source.chart_version.as_ref().map(|its| format!("--version={its}"));
        let plain_http = self.operation.settings.plain_http.then(|| "--plain-http".to_owned());
        version.into_iter().chain(plain_http)
    }

    /// The words of an upgrade from its chart to its values.
    pub(crate) fn upgrade_words(&self, source: &Source, between: &[&str]) -> Vec<String> {
        let mut words = vec!["upgrade".to_owned(), self.name().to_owned(), source.chart.clone()];
        words.extend(between.iter().map(|&word| word.to_owned()));
        words.extend(self.fetch_words(source));
        words.extend(source.values.iter().map(|file| format!("--values={file}")));
        words.extend(source.set.iter().map(|set| format!("--set={set}")));
        words.extend(source.set_string.iter().map(|set| format!("--set-string={set}")));
        let keep = self.operation.settings.keep_values;
        let values = if keep { "--reset-then-reuse-values" } else { "--reset-values" };
        words.push(values.to_owned());
        words
    }
}

impl Source {
    /// The chart with its version, as people name it.
    pub(crate) fn shown(&self) -> String {
        match &self.chart_version {
            Some(version) => format!("{} {version}", self.chart),
            None => self.chart.clone(),
        }
    }
}

/// Whether a version is one of helm 4, or of helm 3.
fn is_four(version: &str) -> Result<bool, Error> {
    let version = version.trim_start_matches('v');
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(4)), _) => Ok(true),
        (Some(Ok(3)), Some(Ok(14..))) => Ok(false),
        _ => {
            let message = format!("helm is {version}; 3.14 or newer and below 5 is supported");
            Err(Error::invalid_settings(message))
        }
    }
}

/// helm's own sentence on why it failed.
fn said(words: &str) -> &str {
    let sentence = words.lines().find_map(|line| line.strip_prefix("Error: "));
    sentence.or(words.lines().last()).unwrap_or("it does not say why")
}

/// What helm said without its own log lines, which say the same once more.
fn plain(words: &str) -> String {
    let lines = words.lines().filter(|line| !line.starts_with("level="));
    lines.skip_while(|line| line.starts_with("Error: ")).collect::<Vec<_>>().join("\n")
}

/// Whether a chart is a file or directory, as opposed to something that is fetched.
fn is_local(chart: &str) -> bool {
    let is_path = chart.starts_with(['.', '/']) || chart.ends_with(".tgz");
    is_path || !(chart.contains("://") || chart.contains('/'))
}
