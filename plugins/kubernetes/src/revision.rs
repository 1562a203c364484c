//! Recorded revisions: ReplicaSets of a Deployment, ControllerRevisions of the others.
//!
//! Their numbers change when one is undone; their names stay. So a revision is known by its name,
//! and its number of the moment is looked up when it is needed.

use serde::Deserialize;
use serde_json::Value;
use vaultup_kubectl::objects::Metadata;
use vaultup_kubectl::{Kind, Workload};
use vaultup_sdk::Error;

use crate::workload::Component;

/// Annotation with a ReplicaSet's number.
const NUMBER: &str = "deployment.kubernetes.io/revision";

/// A recorded revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// Its name, which stays.
    pub(crate) name: String,
    /// Its number at this moment.
    pub(crate) number: u64,
}

#[derive(Deserialize)]
struct Listed {
    items: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    metadata: Metadata,
    #[serde(default)]
    revision: u64,
}

impl Component<'_> {
    /// The revisions that the cluster keeps of a workload, oldest first.
    pub(crate) fn revisions(&self, workload: &Workload) -> Result<Vec<Revision>, Error> {
        let records = if workload.kind == Kind::Deployment {
            // Among the ReplicaSets, in one answer with everything else.
            let words = ["get", vaultup_kubectl::objects::WORKLOADS_AND_PODS, "--output=json"];
            let answer: Value = self.kubectl.json(&words)?;
            let sets = answer["items"].as_array().cloned().unwrap_or_default();
            let sets = sets.into_iter().filter(|item| item["kind"] == "ReplicaSet");
            let sets = sets.map(serde_json::from_value::<Record>).collect::<Result<Vec<_>, _>>();
            sets.map_err(|error| {
                Error::corrupt("ReplicaSets are not what was expected")
                    .with_platform(error.to_string())
            })?
        } else {
            let words = ["get", "controllerrevisions.apps", "--output=json"];
            self.kubectl.json::<Listed>(&words)?.items
        };
        let owner = &workload.metadata.uid;
        let is_its = |record: &Record| {
            record.metadata.owner_references.iter().any(|reference| reference.uid == *owner)
        };
        let revision = |record: &Record| {
            let said = record.metadata.annotations.get(NUMBER).and_then(|text| text.parse().ok());
            let number = said.unwrap_or(record.revision);
            Revision { name: record.metadata.name.clone(), number }
        };
        let mut revisions: Vec<Revision> =
            records.iter().filter(|its| is_its(its)).map(revision).collect();
        revisions.sort_by_key(|revision| revision.number);
        Ok(revisions)
    }

    /// The revision that a workload has now: the newest.
    pub(crate) fn current(&self, workload: &Workload) -> Result<Option<Revision>, Error> {
        Ok(self.revisions(workload)?.pop())
    }
}
