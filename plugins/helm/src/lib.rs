//! Helm releases on Kubernetes.
//!
//! What became of an upgrade is read from helm's history and from the workloads, never from an
//! exit status: helm answers 1 for every failure. helm's own lock does not hold (`helm rollback`
//! ignores it), so every rollback names the revision that was last deployed.
//!
//! # Settings
//! | key | meaning |
//! |---|---|
//! | `release` | name of the helm release |
//! | `chart` | directory, archive, `repository/chart` or `oci://…`; a release file outranks it |
//! | `plain-http` | fetch the chart without TLS, from a registry of your own |
//! | `namespace`, `kubeconfig`, `context` | where; default: `default`, and what `kubectl` finds |
//! | `values` | values files, later ones outrank earlier ones |
//! | `set`, `set-string` | `key=value`; `${release.version}` stands for the version |
//! | `keep-values` | keep values that only the running release has |
//! | `version-in` | `app-version` or `chart-version`: what of the chart is the release's version |
//! | `version-value` | the value that is the release's version, such as `image.tag` |
//! | `take-over-fields` | take over fields that somebody else has set |
//! | `history-max` | revisions that helm keeps, at least 3; default 10 |
//! | `exec`, `container` | what commands of other plugins run inside of |
//! | `objects` | under `rehearsal.settings`: file or directory that a copy's namespace gets first |
//!
//! A release file may say, under `[components.NAME]`, `chart`, `chart-version`, `values`, `set` and
//! `set-string`; its values come after those of the settings. Paths begin at the stack file. It may
//! also say `requires`, variables of which each must be configured for some container of the chart
//! before it is deployed; a file of variables (`.env.example`) that its `config` names adds those
//! that have no default.
//!
//! # A lock that every machine sees
//! A run holds the Lease `vaultup-helm-<release>` in the release's namespace: see
//! [`vaultup_kubectl::lease`].
//!
//! # Waves
//! helm upgrades a release once, with the first wave, while vaultup holds its workloads: a
//! StatefulSet by its partition, a Deployment by pausing it. Each wave then lets as many pods go as
//! it says, workload by workload. Hooks run with the first wave, those after the upgrade too, which
//! is told: helm knows of no later moment. New workloads, DaemonSets and what the chart itself
//! holds (`paused`, `partition`) go with the first wave; what was stopped before starts as a whole.
//!
//! # Rehearsal
//! A copy is a namespace of its own: `namespace` under `rehearsal.settings`, or else the live one's
//! name followed by `-rehearsal`. What a chart does not bring itself (Secrets, say) comes from
//! `objects`. The running release is installed there from the chart that its release file or the
//! settings name, with their values; `values`, `set` and `set-string` under `rehearsal.settings`
//! come last, so that a copy never gets at live data by a value of a release. Then the upgrade runs
//! as it would live, and `helm rollback` brings it back. The namespace is removed with all in it.
//!
//! # Versions of the tools
//! helm 3.14 or newer, below 5; kubectl 1.27 or newer. Both shapes of answers are read: helm 4 says
//! how it applies (`applyMethod`), helm 3 merges on its own side and knows no conflicts.
//!
//! # Invariants
//! - `--wait` stands in every upgrade and rollback, since helm's default waits for hooks only; not
//!   while pods are held for a wave, which are waited for here.
//! - Values are exactly those of the stack file and release (`--reset-values`), unless
//!   `keep-values` says otherwise.
//! - A release that somebody else is at work on is left alone. What a killed helm left is told from
//!   that by the label with this run's id, or by its age.
//! - Nothing is begun while a hook Job of an interrupted upgrade still runs.

mod chart;
mod definitions;
mod deploy;
mod health;
mod history;
mod needs;
mod preview;
mod rehearsal;
mod release;
mod settings;
mod settle;
mod staged;
#[cfg(test)]
mod tests;
mod twin;
mod upgrade;
mod waves;

pub use settings::Settings;

/// The plugin.
pub struct HelmPlugin;

impl vaultup_sdk::Plugin for HelmPlugin {
    type Settings = Settings;
}

vaultup_sdk::plugin!(HelmPlugin: deploy, health-check);
