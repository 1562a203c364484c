//! The lock of a release or workload as a `Lease` in its namespace.
//!
//! # Invariants
//! - Each change of the lock is one request that the API server carries out only if the Lease is
//!   still what it was read as: a creation that fails if there is one, a patch that names the
//!   `resourceVersion`, or one that tests holder and epoch. Of two who ask at once one wins.
//! - `leaseTransitions` is the fencing epoch: every acquisition raises it, and the Lease is never
//!   removed, so that it never falls.
//! - Whether a lock of somebody else has run out is told by the API server's clock alone: when it
//!   last saw the Lease change, and what time it has now. A clock that goes wrong, here or there,
//!   makes nobody lose a lock that is renewed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use vaultup_sdk::deploy::{Claim, Lock};
use vaultup_sdk::{Case, Error, clock};

use crate::access::Kubectl;
use crate::{digest, moment};

/// The rights that the lock needs.
pub const RIGHTS: [(&str, &str); 3] = [
    ("get", "leases.coordination.k8s.io"),
    ("create", "leases.coordination.k8s.io"),
    ("patch", "leases.coordination.k8s.io"),
];
/// Annotation with who holds it, for people.
const OWNER: &str = "vaultup.dev/owner";
/// Annotation with who held it last, also after it was released.
const LAST_HOLDER: &str = "vaultup.dev/holder";
/// Who sets its fields.
const MANAGER: &str = "--field-manager=vaultup";
/// What is created without being created, to be told the time; a literal of the manifests.
const NOTHING: &str = concat!(
    r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","#,
    r#""metadata":{"generateName":"vaultup-time-"}}"#
);
/// How often an acquisition is tried when the Lease changes under it: each time somebody else came
/// first, and is then seen.
const ATTEMPTS_MAX: usize = 4;
/// The longest name of an object.
const NAME_BYTES_MAX: usize = 253;
/// The largest epoch that a Lease can carry.
const EPOCH_MAX: u64 = i32::MAX as u64;

/// The lock of one release or workload.
#[derive(Debug)]
pub struct Lease<'k> {
    kubectl: &'k Kubectl,
    name: String,
}

/// A Lease as the cluster tells it.
#[derive(Debug, Deserialize)]
struct Record {
    metadata: Metadata,
    #[serde(default)]
    spec: Specification,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    managed_fields: Vec<Managed>,
}

#[derive(Debug, Deserialize)]
struct Managed {
    time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Specification {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u32>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: u64,
}

impl<'k> Lease<'k> {
    /// The lock of what is called `name` among its kind.
    #[must_use]
    pub fn of(kubectl: &'k Kubectl, kind: &str, name: &str) -> Self {
        let plain = format!("vaultup-{kind}-{name}");
        let name = match plain.len() <= NAME_BYTES_MAX {
            true => plain,
            false => {
                let digest = digest::of([name]);
                let digest = digest.trim_start_matches("sha256:");
                format!("vaultup-{kind}-{}", digest.get(..32).unwrap_or(digest))
            }
        };
        Self { kubectl, name }
    }

    /// The lock as it is.
    ///
    /// # Errors
    /// If the cluster cannot be asked; [`Case::Corrupt`] if what lies there is no lock.
    pub fn state(&self) -> Result<Lock, Error> {
        match self.read()? {
            Some(record) => self.told(&record),
            None => Ok(self.free(0, None)),
        }
    }

    /// Takes the lock if nobody else holds it, and tells it as it is afterwards.
    ///
    /// # Errors
    /// As [`Lease::state`]; [`Case::Conflict`] if others change it all the time.
    pub fn acquire(&self, claim: &Claim) -> Result<Lock, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let changed = match self.read()? {
                None => self.create(claim).map(|()| self.held(claim, 1, None)),
                Some(record) => {
                    if record.holder().is_some_and(|holder| holder != claim.holder) {
                        let lock = self.told(&record)?;
                        if lock.seconds_left > 0 {
                            return Ok(lock);
                        }
                    }
                    let epoch = raised(record.spec.lease_transitions)?;
                    let before = record.metadata.annotations.get(LAST_HOLDER).cloned();
                    self.take(claim, epoch, &record.metadata.resource_version)
                        .map(|()| self.held(claim, epoch, before))
                }
            };
            match changed {
                Err(error) if error.case() == &Case::Conflict => {}
                other => return other,
            }
        }
        let message = format!("{} is changed by others all the time", self.place());
        Err(Error::conflict(message))
    }

    /// Renews the lock if this holder has it with this epoch, and tells it as it is afterwards.
    ///
    /// # Errors
    /// As [`Lease::state`].
    pub fn renew(&self, claim: &Claim, epoch: u64) -> Result<Lock, Error> {
        let renewed = self.patch_held(
            &claim.holder,
            epoch,
            json!([
                {"op": "add", "path": "/spec/renewTime", "value": now()},
                {"op": "add", "path": "/spec/leaseDurationSeconds", "value": claim.seconds},
            ]),
        );
        let Err(error) = renewed else { return Ok(self.held(claim, epoch, None)) };
        // The cluster's words for a test that fails are those of any bad request: it is looked.
        let Ok(lock) = self.state() else { return Err(error) };
        let is_ours = lock.holder.as_ref() == Some(&claim.holder) && lock.epoch == epoch;
        if is_ours { Err(error) } else { Ok(lock) }
    }

    /// Lets go of the lock if this holder has it with this epoch.
    ///
    /// # Errors
    /// As [`Lease::state`].
    pub fn release(&self, holder: &str, epoch: u64) -> Result<(), Error> {
        let owner = format!("/metadata/annotations/{}", OWNER.replace('/', "~1"));
        let remove = |path: &str| json!({"op": "remove", "path": path});
        let holder_alone = vec![remove("/spec/holderIdentity")];
        let all = [&holder_alone[..], &[remove("/spec/acquireTime"), remove(&owner)]].concat();
        // An acquisition sets all of it. Somebody may have taken away some since; the holder is
        // what counts.
        let mut refused = None;
        for steps in [all, holder_alone] {
            match self.patch_held(holder, epoch, Value::Array(steps)) {
                Ok(()) => return Ok(()),
                // The cluster's words for a test that fails are those of any bad request.
                Err(_) if !self.is_held_by(holder, epoch)? => return Ok(()),
                Err(error) => refused = Some(error),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn is_held_by(&self, holder: &str, epoch: u64) -> Result<bool, Error> {
        let record = self.read()?;
        let is_it = |record: Record| {
            record.holder() == Some(holder) && record.spec.lease_transitions == epoch
        };
        Ok(record.is_some_and(is_it))
    }

    fn read(&self) -> Result<Option<Record>, Error> {
        let reference = self.reference();
        let words =
            ["get", &reference, "--ignore-not-found", "--show-managed-fields", "--output=json"];
        let text = self.kubectl.text(&words)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|error| self.no_lock(&error.to_string()))
    }

    fn create(&self, claim: &Claim) -> Result<(), Error> {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {
                "name": self.name,
                "labels": {"app.kubernetes.io/managed-by": "vaultup"},
                "annotations": {OWNER: claim.owner, LAST_HOLDER: claim.holder},
            },
            "spec": specification(claim, 1),
        });
        let words = ["create", "--filename=-", "--output=name"];
        self.kubectl.feed(&words, lease.to_string()).map(drop)
    }

    /// Takes a Lease that is still what it was read as.
    fn take(&self, claim: &Claim, epoch: u64, version: &str) -> Result<(), Error> {
        let annotations = json!({OWNER: claim.owner, LAST_HOLDER: claim.holder});
        self.patch(
            "merge",
            &json!({
                "metadata": {"resourceVersion": version, "annotations": annotations},
                "spec": specification(claim, epoch),
            }),
        )
    }

    /// Changes a Lease that this holder still has with this epoch.
    fn patch_held(&self, holder: &str, epoch: u64, steps: Value) -> Result<(), Error> {
        let mut tested = vec![
            json!({"op": "test", "path": "/spec/holderIdentity", "value": holder}),
            json!({"op": "test", "path": "/spec/leaseTransitions", "value": epoch}),
        ];
        tested.extend(steps.as_array().cloned().unwrap_or_default());
        self.patch("json", &Value::Array(tested))
    }

    fn patch(&self, kind: &str, patch: &Value) -> Result<(), Error> {
        let reference = self.reference();
        let (kind, patch) = (format!("--type={kind}"), format!("--patch={patch}"));
        self.kubectl.text(&["patch", &reference, &kind, &patch, MANAGER]).map(drop)
    }

    /// What time the API server has: what it would write at an object that was created now.
    fn server_now_ms(&self) -> Result<u64, Error> {
        let words = ["create", "--dry-run=server", "--filename=-", "--output=json"];
        let text = self.kubectl.feed(&words, NOTHING)?;
        let created: Value = crate::access::read_json(&text, "`kubectl create --dry-run`")?;
        let moment = created["metadata"]["creationTimestamp"].as_str();
        moment
            .and_then(moment::milliseconds)
            .ok_or_else(|| Error::corrupt("`kubectl create --dry-run=server` tells no time"))
    }

    /// The lock that a Lease is.
    fn told(&self, record: &Record) -> Result<Lock, Error> {
        let Record { metadata, spec } = record;
        let epoch = spec.lease_transitions;
        let Some(holder) = record.holder() else {
            return Ok(self.free(epoch, metadata.annotations.get(LAST_HOLDER).cloned()));
        };
        let Some(seconds) = spec.lease_duration_seconds else {
            return Err(self.no_lock("it is held and has no leaseDurationSeconds"));
        };
        let times = metadata.managed_fields.iter().filter_map(|its| its.time.as_deref());
        let changed = times.filter_map(moment::milliseconds).max();
        // A server that tells no times leaves what the holder's own clock says.
        let renewed = || spec.renew_time.as_deref().and_then(moment::milliseconds);
        let Some(changed) = changed.or_else(renewed) else {
            return Err(self.no_lock("nothing tells when it was renewed"));
        };
        let ends = changed.saturating_add(u64::from(seconds) * 1000);
        // The server's times are whole seconds: what ends within this one has not ended.
        let left = ends.saturating_add(999).saturating_sub(self.server_now_ms()?) / 1000;
        let owner = metadata.annotations.get(OWNER).map_or(holder, String::as_str);
        Ok(Lock {
            place: self.place(),
            holder: Some(holder.to_owned()),
            owner: owner.to_owned(),
            since_ms: spec.acquire_time.as_deref().and_then(moment::milliseconds),
            epoch,
            seconds_left: u32::try_from(left).unwrap_or(u32::MAX),
            before: None,
        })
    }

    fn held(&self, claim: &Claim, epoch: u64, before: Option<String>) -> Lock {
        Lock {
            place: self.place(),
            holder: Some(claim.holder.clone()),
            owner: claim.owner.clone(),
            since_ms: Some(clock::now_ms()),
            epoch,
            seconds_left: claim.seconds,
            before,
        }
    }

    fn free(&self, epoch: u64, before: Option<String>) -> Lock {
        Lock {
            place: self.place(),
            holder: None,
            owner: String::new(),
            since_ms: None,
            epoch,
            seconds_left: 0,
            before,
        }
    }

    fn no_lock(&self, why: &str) -> Error {
        let message = format!("{} is no lock that vaultup made", self.place());
        Error::corrupt(message).with_platform(format!(
            "{why}; `kubectl delete {} --namespace={}` removes it",
            self.reference(),
            self.kubectl.namespace()
        ))
    }

    fn reference(&self) -> String {
        format!("lease.coordination.k8s.io/{}", self.name)
    }

    /// Where it lies; the same for the same Lease of the same cluster.
    fn place(&self) -> String {
        format!("Lease {} in {}", self.name, self.kubectl.address())
    }
}

impl Record {
    /// Who holds it; a name that is empty is nobody's.
    fn holder(&self) -> Option<&str> {
        self.spec.holder_identity.as_deref().filter(|its| !its.is_empty())
    }
}

fn specification(claim: &Claim, epoch: u64) -> Value {
    json!({
        "holderIdentity": claim.holder,
        "leaseDurationSeconds": claim.seconds,
        "acquireTime": now(),
        "renewTime": now(),
        "leaseTransitions": epoch,
    })
}

fn now() -> String {
    moment::text(clock::now_ms())
}

fn raised(epoch: u64) -> Result<u64, Error> {
    match epoch < EPOCH_MAX {
        true => Ok(epoch + 1),
        false => Err(Error::corrupt(format!("the Lease's epoch is {epoch}, the last there is"))),
    }
}

#[cfg(test)]
mod tests;
