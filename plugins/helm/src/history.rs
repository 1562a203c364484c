//! helm's history of a release, and what it says. Pure.

use serde::Deserialize;
use vaultup_kubectl::moment;

use crate::settings::VersionIn;

/// One revision of a release, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    /// Its number.
    pub(crate) revision: u64,
    /// When it last changed.
    pub(crate) updated: String,
    /// `deployed`, `superseded`, `failed`, `uninstalled`, `pending-install`, `pending-upgrade`,
    /// `pending-rollback`.
    pub(crate) status: String,
    /// Name and version of the chart, joined by a dash.
    pub(crate) chart: String,
    /// The chart's `appVersion`.
    pub(crate) app_version: String,
    /// What helm says of it.
    pub(crate) description: String,
}

/// The revisions of a release, oldest first; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    entries: Vec<Entry>,
}

impl History {
    /// A history; nothing if it has no revision.
    pub(crate) fn new(mut entries: Vec<Entry>) -> Option<Self> {
        entries.sort_by_key(|entry| entry.revision);
        (!entries.is_empty()).then_some(Self { entries })
    }

    /// The newest revision.
    pub(crate) fn last(&self) -> &Entry {
        &self.entries[self.entries.len() - 1]
    }

    /// The newest revision that is deployed. helm's own rollback can leave two.
    pub(crate) fn deployed(&self) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.status == "deployed")
    }

    /// The revisions that are or were deployed, oldest first.
    pub(crate) fn that_were_deployed(&self) -> impl Iterator<Item = &Entry> {
        let deployed = |entry: &&Entry| matches!(&*entry.status, "deployed" | "superseded");
        self.entries.iter().filter(deployed)
    }

    /// The revision of this number.
    pub(crate) fn revision(&self, number: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.revision == number)
    }

    /// How many revisions there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether what a revision holds is what runs as the newest one: it is it, or the newest one is
    /// a rollback to it.
    pub(crate) fn is_back_at(&self, revision: u64) -> bool {
        let last = self.last();
        let says = format!("Rollback to {revision}");
        last.status == "deployed" && (last.revision == revision || last.description == says)
    }
}

impl Entry {
    /// Whether a helm is at work on it, or was and did not end.
    pub(crate) fn is_pending(&self) -> bool {
        self.status.starts_with("pending-")
    }

    /// Milliseconds since it last changed.
    pub(crate) fn age_ms(&self, now_ms: u64) -> Option<u64> {
        moment::milliseconds(&self.updated).map(|then| now_ms.saturating_sub(then))
    }

    /// The release's version that it is.
    pub(crate) fn version(&self, version_in: Option<VersionIn>) -> Option<String> {
        version_of(chart_version(&self.chart), &self.app_version, version_in)
    }
}

/// The release's version by what a chart says of itself. Without a word of the operator's it is
/// the `appVersion`, if that is a semantic version, else the chart's own.
pub(crate) fn version_of(chart: &str, app: &str, version_in: Option<VersionIn>) -> Option<String> {
    match version_in {
        Some(VersionIn::AppVersion) => semantic(app),
        Some(VersionIn::ChartVersion) => semantic(chart),
        None => semantic(app).or_else(|| semantic(chart)),
    }
}

/// A semantic version, without the `v` that some write before it.
pub(crate) fn semantic(text: &str) -> Option<String> {
    let plain = text.strip_prefix('v').unwrap_or(text);
    semver::Version::parse(plain).ok().map(|version| version.to_string())
}

/// The version in `name-version`: names have dashes, and so have versions.
fn chart_version(chart: &str) -> &str {
    let mut dashes = chart.match_indices('-').map(|(place, _)| &chart[place + 1..]);
    dashes.find(|rest| semantic(rest).is_some()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::json;

    use super::*;

    fn history(rows: &[(u64, &str, &str)]) -> History {
        let entry = |(revision, status, description): &(u64, &str, &str)| Entry {
            revision: *revision,
            status: (*status).to_owned(),
            description: (*description).to_owned(),
            ..Entry::default()
        };
        History::new(rows.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn both_shapes_of_helm_are_read() {
        let three = json!({"revision": 4, "updated": "2024-01-01T10:00:00.1+01:00",
            "status": "deployed", "chart": "web-2.5.0", "app_version": "2.5.0",
            "description": "Upgrade complete"});
        let four = json!({"revision": 4, "updated": "2026-11-21T10:23:14.753636032Z",
            "status": "deployed", "chart": "web-2.5.0", "app_version": "2.5.0",
            "description": "Upgrade complete", "apply_method": "ssa"});
        for row in [three, four] {
            let entry: Entry = serde_json::from_value(row).unwrap();
            assert_eq!(entry.version(None).as_deref(), Some("2.5.0"));
            assert!(entry.age_ms(u64::MAX).is_some());
        }
        serde_json::from_value::<Entry>(json!({"revision": "4"})).unwrap_err();
    }

    #[test]
    fn the_way_back_is_the_last_deployed_revision_and_never_a_failed_one() {
        let rows =
            [(1, "superseded", ""), (2, "deployed", ""), (3, "failed", ""), (4, "failed", "")];
        assert_eq!(history(&rows).deployed().unwrap().revision, 2);
        assert_eq!(history(&[(1, "failed", "")]).deployed(), None);
        // After a rollback during an upgrade there are two: the newer one runs.
        let two = [(1, "deployed", ""), (2, "deployed", "")];
        assert_eq!(history(&two).deployed().unwrap().revision, 2);
    }

    #[test]
    fn a_rollback_is_recognised_by_what_helm_says_of_it() {
        let rows = [(2, "superseded", "Upgrade complete"), (4, "deployed", "Rollback to 2")];
        assert!(history(&rows).is_back_at(2));
        assert!(!history(&rows).is_back_at(3));
        assert!(!history(&[(2, "superseded", ""), (4, "failed", "Rollback to 2")]).is_back_at(2));
        assert!(history(&[(2, "deployed", "")]).is_back_at(2));
    }

    #[test]
    fn a_version_is_found_behind_the_dashes_of_a_name() {
        assert_eq!(chart_version("web-0.1.0"), "0.1.0");
        assert_eq!(chart_version("policy-node-2.5.0-rc.1"), "2.5.0-rc.1");
        assert_eq!(chart_version("a-2-b-1.0.0"), "1.0.0");
        assert_eq!(chart_version("web"), "");
    }

    #[test]
    fn the_version_is_the_apps_if_that_is_one_and_the_charts_otherwise() {
        assert_eq!(version_of("0.1.0", "v2.5.0", None).as_deref(), Some("2.5.0"));
        assert_eq!(version_of("0.1.0", "latest", None).as_deref(), Some("0.1.0"));
        let chart = Some(VersionIn::ChartVersion);
        assert_eq!(version_of("0.1.0", "2.5.0", chart).as_deref(), Some("0.1.0"));
        assert_eq!(version_of("0.1.0", "1", Some(VersionIn::AppVersion)), None);
    }
}
