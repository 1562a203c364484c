//! Taking backup sets, proving them, and the value that says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::act::{Answer, Failure, Purpose};
use engine::machine::{Effect, Machine};
use engine::plan::{Intent, Plan};
use model::Name;
use model::contract::{Consistency, ProofLevel, Target};
use sandbox::{Artifacts, BackupRead, BackupTaken};
use vault::{
    BackupSet, DatastoreRecord, Demand, Meanwhile, ProofRecord, Proven, Recheck, SetHeader, SetId,
    Written,
};

use super::{Trouble, Worker, call_failed, failed};
use crate::error::{Error, failures};
use crate::operation::Call;

/// Every datastore of a plan has a backup of this run that is proven as well as it must be.
///
/// Only [`Worker`] makes one, from values that only the vault makes: there is no other way to call
/// what can destroy data.
pub struct ProvenSet {
    _proofs: Vec<Proven>,
}

/// What the ids of sets end with that a run makes; they begin with the run's own id.
pub(crate) const SET_SUFFIXES: [&str; 3] = ["before", "failed", "replaced"];

/// What a set is to be made of.
#[derive(Clone)]
pub(crate) struct SetRequest<'a> {
    pub(crate) id: SetId,
    pub(crate) purpose: vault::Purpose,
    pub(crate) release: &'a str,
    pub(crate) names: &'a [Name],
    pub(crate) target: &'a Target,
    pub(crate) key: &'a str,
    pub(crate) within: std::time::Duration,
    /// Who may write to each datastore meanwhile; unknown for one that is not here.
    pub(crate) written: BTreeMap<Name, Written>,
}

/// Why a set was not taken.
pub(crate) struct Untaken {
    /// The datastore that could not be backed up, if it was one.
    pub(crate) datastore: Option<Name>,
    pub(crate) trouble: Trouble,
}

impl<T: Into<Trouble>> From<T> for Untaken {
    fn from(trouble: T) -> Self {
        Self { datastore: None, trouble: trouble.into() }
    }
}

impl Worker {
    /// Looks at the proofs of every datastore of the plan.
    pub(super) fn proven(&self, machine: &Machine) -> Result<ProvenSet, Trouble> {
        let plan = machine.plan();
        let proven = |(name, its): (&Name, &engine::plan::DatastorePlan)| {
            let (set, run, purpose) = match &plan.restore_from {
                Some(id) => {
                    let set = self.vault.set(&SetId::parse(id)?)?;
                    let header = set.header();
                    (header.id.clone(), header.run.clone(), header.purpose)
                }
                None => {
                    let purpose = set_purpose(plan, Purpose::BeforeUpgrade);
                    (self.set_id(Purpose::BeforeUpgrade)?, self.run.clone(), purpose)
                }
            };
            let demand = Demand {
                set: &set,
                datastore: name.as_str(),
                stack: plan.stack.as_str(),
                run: &run,
                purpose,
                at_least: its.proof_required,
                recheck: Recheck::Lengths,
            };
            Ok(self.vault.proven(&demand)?)
        };
        let proofs = plan.datastores.iter().map(proven).collect::<Result<Vec<_>, Trouble>>()?;
        Ok(ProvenSet { _proofs: proofs })
    }

    /// The id of a set of this run.
    pub(crate) fn set_id(&self, purpose: Purpose) -> Result<SetId, Trouble> {
        let [before, failed, replaced] = SET_SUFFIXES;
        let suffix = match purpose {
            Purpose::BeforeUpgrade => before,
            Purpose::FailedState => failed,
            Purpose::BeforeRestore => replaced,
        };
        Ok(SetId::parse(&format!("{}-{suffix}", self.run))?)
    }

    /// Backs datastores up as one set of this run.
    pub(super) async fn back_up(
        &self,
        effect: &Effect,
        purpose: Purpose,
        names: &[Name],
        machine: &Machine,
    ) -> Result<Answer, Trouble> {
        let plan = machine.plan();
        let request = SetRequest {
            id: self.set_id(purpose)?,
            purpose: set_purpose(plan, purpose),
            release: &plan.from,
            names,
            target: &effect.step.target,
            key: &self.key(effect),
            within: effect.step.within,
            written: names.iter().map(|name| (name.clone(), written(machine, name))).collect(),
        };
        if purpose == Purpose::BeforeRestore {
            return self.keep(request).await;
        }
        let set = self.take_set(request).await.map_err(|untaken| untaken.trouble)?;
        Ok(backed_up(&set, BTreeMap::new()))
    }

    /// Takes a set of all that can be read. What cannot is left out: the restore that follows sets
    /// it aside, and does not remove it then.
    async fn keep(&self, request: SetRequest<'_>) -> Result<Answer, Trouble> {
        let mut names = request.names.to_vec();
        let mut left_out = BTreeMap::new();
        loop {
            let one = SetRequest { names: &names, ..request.clone() };
            let untaken = match self.take_set(one).await {
                Ok(set) => return Ok(backed_up(&set, left_out)),
                Err(untaken) => untaken,
            };
            match (untaken.datastore, untaken.trouble) {
                (Some(name), Trouble::Failed(failure)) if names.len() > 1 => {
                    names.retain(|other| *other != name);
                    left_out.insert(name, sentence(&failure));
                }
                (_, trouble) => return Err(trouble),
            }
        }
    }

    /// Takes a set and publishes it; nothing is published unless everything went well.
    pub(crate) async fn take_set(&self, request: SetRequest<'_>) -> Result<BackupSet, Untaken> {
        self.vault.discard_partial(&request.id)?;
        let set = self.vault.begin(SetHeader {
            id: request.id.clone(),
            stack: self.platform.project.stack.name.to_string(),
            run: self.run.clone(),
            release: request.release.to_owned(),
            purpose: request.purpose,
            began_at: self.platform.machinery.clock.now(),
        })?;
        let set = Arc::new(set);
        let mut contents = BTreeMap::new();
        for name in request.names {
            let record = self.take_one(&request, &set, name).await;
            let record =
                record.map_err(|trouble| Untaken { datastore: Some(name.clone()), trouble })?;
            contents.insert(name.to_string(), record);
        }
        let set = Arc::try_unwrap(set).map_err(|_| {
            failed(failures::BACKUP, "an artifact of the backup is still being written")
        })?;
        Ok(blocking(move || set.publish(contents)).await?)
    }

    /// Proves this run's backup of a datastore, and records it. The plugin's claim is compared
    /// with what was recorded when the backup was taken, and with what was really read.
    pub(super) async fn prove(
        &self,
        effect: &Effect,
        name: &Name,
        level: ProofLevel,
        machine: &Machine,
    ) -> Result<Answer, Trouble> {
        let id = match &machine.plan().restore_from {
            Some(id) => SetId::parse(id)?,
            None => self.set_id(Purpose::BeforeUpgrade)?,
        };
        if machine.plan().restore_from.is_some()
            && let Some(known) = self.proven_before(&id, name, level).await?
        {
            return Ok(known);
        }
        let key = self.key(effect);
        let call = self.call(effect, name, &key);
        self.prove_set(&id, name, level, &call).await
    }

    /// A proof that was recorded well enough needs no second one on a stack that may be broken:
    /// reading every byte shows that nothing has happened to the backup since.
    async fn proven_before(
        &self,
        id: &SetId,
        name: &Name,
        level: ProofLevel,
    ) -> Result<Option<Answer>, Trouble> {
        let set = self.vault.set(id)?;
        let reached = self.vault.proof_level(&set, name.as_str())?;
        if reached < level {
            return Ok(None);
        }
        let figures = set.datastore(name.as_str())?.figures.clone();
        let (vault, datastore) = (self.vault.clone(), name.to_string());
        blocking(move || vault.verify_bytes(&set, &datastore)).await?;
        Ok(Some(Answer::Proven { level: reached, figures, answers: Vec::new() }))
    }

    /// Proves a set's backup of a datastore, and records it.
    pub(crate) async fn prove_set(
        &self,
        id: &SetId,
        name: &Name,
        level: ProofLevel,
        call: &Call<'_>,
    ) -> Result<Answer, Trouble> {
        let set = self.vault.set(id)?;
        let record = set.datastore(name.as_str())?;
        let operation = self.platform.operation(call)?;
        let session = self.changing(self.artifacts_of(&set, name));
        let plugin = self.platform.plugin(name)?;
        self.vault.forget_reads(id, name.as_str());
        let proven = plugin.backup_prove(&session, &operation, level, &record.state).await;
        let proof = proven.map_err(|error| {
            let message = format!("backup {id} of {name} could not be proven at level {level}");
            call_failed(failures::PROOF, message, &error)
        })?;
        if proof.level < level {
            let message = format!("backup {id} of {name} reached proof {} of {level}", proof.level);
            return Err(failed(failures::PROOF, message));
        }
        let recorded = ProofRecord {
            level,
            at: self.platform.machinery.clock.now(),
            figures: proof.figures.clone(),
            answers: proof.answers.clone(),
        };
        match self.vault.record_proof(id, name.as_str(), recorded.clone()) {
            // Nobody but the plugin could have restored it, and it never had the bytes.
            Err(error @ vault::Error::NotRead { .. }) if level == ProofLevel::Restored => {
                return Err(Trouble::Failed(Failure {
                    code: failures::PROOF,
                    message: format!("backup {id} of {name} was never restored to prove it"),
                    causes: vec![error.to_string()],
                    unknown: false,
                }));
            }
            // That every byte can be read is a fact that the host finds out itself.
            Err(vault::Error::NotRead { .. }) => {
                let (vault, set, datastore) = (self.vault.clone(), set, name.to_string());
                blocking(move || vault.verify_bytes(&set, &datastore)).await?;
                self.vault.record_proof(id, name.as_str(), recorded)?;
            }
            other => other?,
        }
        Ok(Answer::Proven { level, figures: proof.figures, answers: proof.answers })
    }

    /// A set of this run that was published, as the journal has it.
    pub(crate) fn published(
        &self,
        purpose: Purpose,
        names: &[Name],
    ) -> Result<Option<Answer>, Trouble> {
        match self.vault.set(&self.set_id(purpose)?) {
            Ok(set) => Ok(Some(backed_up(&set, left_out(&set, names)))),
            Err(vault::Error::NoSet { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What a plugin may read of a set.
    pub(super) fn artifacts_of(&self, set: &BackupSet, name: &Name) -> Artifacts {
        Artifacts::Read(BackupRead {
            vault: self.vault.clone(),
            set: Arc::new(set.clone()),
            datastore: name.to_string(),
        })
    }

    async fn take_one(
        &self,
        request: &SetRequest<'_>,
        set: &Arc<vault::SetWriter>,
        name: &Name,
    ) -> Result<DatastoreRecord, Trouble> {
        let call = Call {
            subject: name,
            target: request.target,
            key: request.key,
            within: request.within,
            releases: self.releases(),
        };
        let operation = self.platform.operation(&call)?;
        let plugin = self.platform.plugin(name)?;
        let schema = self.schema(name, request.target).await;
        // What a failed upgrade left may not be readable; it is kept all the same.
        let schema = match schema {
            Err(Error::Call(_)) if request.purpose == vault::Purpose::FailedState => None,
            other => other?,
        };
        let began = std::time::Instant::now();
        let taken_at = self.platform.machinery.clock.now();
        let written = BackupTaken::new(set.clone(), name.as_str());
        let session = self.changing(Artifacts::Write(written.clone()));
        let taken = plugin.backup_take(&session, &operation).await;
        drop(session);
        let taken = taken.map_err(|error| {
            let message = format!("backup of {name} failed");
            call_failed(failures::BACKUP, message, &error)
        })?;
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let meanwhile = Meanwhile {
            milliseconds,
            written: request.written.get(name).cloned().unwrap_or_default(),
        };
        let stack = &self.platform.project.stack;
        let wanted = stack.datastores.get(name).map_or(ProofLevel::Restored, |its| its.proof);
        Ok(DatastoreRecord {
            plugin: plugin.digest().to_owned(),
            schema_version: schema.as_ref().and_then(|schema| schema.version.clone()),
            schema_fingerprint: schema.map(|schema| schema.fingerprint),
            proof_wanted: wanted,
            artifacts: written.written(),
            figures: taken.figures,
            consistency: consistency(taken.consistency, &meanwhile.written),
            taken_at,
            state: taken.state,
            meanwhile,
        })
    }
}

/// Who can write to a datastore at this point of a run.
fn written(machine: &Machine, name: &Name) -> Written {
    match machine.facts().open_writers(machine.plan(), name) {
        None => Written::Unknown,
        Some(writers) if writers.is_empty() => Written::Nothing,
        Some(writers) => Written::By(writers.iter().map(Name::to_string).collect()),
    }
}

/// A plugin knows whether its datastore gave one moment; whether writers were held, the host does.
fn consistency(claimed: Consistency, written: &Written) -> Consistency {
    match (claimed, written) {
        (Consistency::OneMoment, _) => Consistency::OneMoment,
        (_, Written::Nothing) => Consistency::WritersHeld,
        (_, Written::Unknown | Written::By(_)) => Consistency::None,
    }
}

fn set_purpose(plan: &Plan, purpose: Purpose) -> vault::Purpose {
    match (purpose, &plan.intent) {
        (Purpose::FailedState | Purpose::BeforeRestore, _) => vault::Purpose::FailedState,
        (Purpose::BeforeUpgrade, Intent::Rehearsal) => vault::Purpose::Rehearsal,
        (Purpose::BeforeUpgrade, _) => vault::Purpose::BeforeUpgrade,
    }
}

fn backed_up(set: &BackupSet, left_out: BTreeMap<Name, String>) -> Answer {
    let sizes = set.record().datastores.iter().filter_map(|(name, record)| {
        let bytes = record.artifacts.iter().map(|artifact| artifact.bytes).sum();
        let stored = record.artifacts.iter().map(|artifact| artifact.bytes_stored).sum();
        Some((Name::parse(name).ok()?, (bytes, stored)))
    });
    Answer::BackedUp { set: set.id().to_string(), bytes: sizes.collect(), left_out }
}

/// What a published set lacks of what it was to hold; why, the process that died knew.
fn left_out(set: &BackupSet, names: &[Name]) -> BTreeMap<Name, String> {
    let held = &set.record().datastores;
    let lacking = names.iter().filter(|name| !held.contains_key(name.as_str()));
    lacking.map(|name| (name.clone(), "it could not be read".to_owned())).collect()
}

fn sentence(failure: &Failure) -> String {
    failure.causes.first().unwrap_or(&failure.message).clone()
}

/// Runs what blocks for long away from the executor, so that the lease is renewed meanwhile.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, vault::Error> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(gone) => Err(failed(failures::BACKUP, format!("a thread ended early: {gone}"))),
    }
}
