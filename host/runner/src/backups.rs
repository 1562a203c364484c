//! Backup sets that a person asks for, outside a run: take, list, prove, prune, and the plan of a
//! restore.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::act::{Act, Purpose};
use engine::machine::Ending;
use engine::plan::{Intent, Plan, Step};
use model::Name;
use model::contract::{ProofLevel, Target};
use vault::{BackupSet, Keys, KeysOrigin, PruneRequest, Pruned, Retention, SetId, Vault};

use crate::carry_out::{last_run, state_directory};
use crate::error::Error;
use crate::perform::backup::SetRequest;
use crate::perform::{Worker, error_of};
use crate::platform::{Call, Machinery, Platform, Releases};
use crate::project::Project;
use crate::record::replay;
use crate::writer::Writer;

/// File with this user's key, in the configuration directory.
pub const IDENTITY_FILE: &str = "identity.txt";

/// Opens a project's vault, and says where the key came from.
///
/// # Errors
/// [`Error::Vault`].
pub fn open_vault(machinery: &Machinery, project: &Project) -> Result<(Vault, KeysOrigin), Error> {
    let identity = machinery.places.configuration.join(IDENTITY_FILE);
    let backups = &project.stack.backups;
    let (keys, origin) = Keys::load_or_create(&identity, &backups.recipients)?;
    let root = match &backups.directory {
        Some(directory) => project.directory.join(directory),
        None => machinery.places.data.join("backups").join(project.stack.name.as_str()),
    };
    Ok((Vault::open(&root, keys)?, origin))
}

/// Takes a set of every datastore and proves it as well as the stack file asks.
///
/// # Errors
/// [`Error::Act`] with what failed; [`Error::Journal`] while a run is under way.
pub async fn create(platform: Platform, vault: Vault) -> Result<BackupSet, Error> {
    let names: Vec<Name> = platform.project.stack.datastores.keys().cloned().collect();
    let snapshot = platform.snapshot(Releases::default()).await?;
    let release = snapshot.version().unwrap_or("unknown").to_owned();
    let within = longest(&platform.project);
    let worker = worker(platform, vault)?;
    let set = worker
        .take_set(SetRequest {
            id: SetId::parse(&worker.run)?,
            purpose: vault::Purpose::Manual,
            release: &release,
            names: &names,
            target: &Target::Live,
            key: &worker.run,
            within,
        })
        .await
        .map_err(error_of)?;
    for name in &names {
        let level = proof_wanted(&worker, name);
        let proven = prove_one(&worker, set.id(), name, level).await;
        proven.map_err(|error| error.of_unproven(set.id()))?;
    }
    done(worker)?;
    Ok(set)
}

/// Proves an existing set at a level, or as well as the stack file asks.
///
/// # Errors
/// [`Error::Act`] with what was found wrong.
pub async fn prove(
    platform: Platform,
    vault: Vault,
    id: &SetId,
    level: Option<ProofLevel>,
) -> Result<BackupSet, Error> {
    let worker = worker(platform, vault)?;
    let set = worker.vault.set(id)?;
    for name in set.record().datastores.keys() {
        let Ok(name) = Name::parse(name) else { continue };
        let level = level.unwrap_or_else(|| proof_wanted(&worker, &name));
        prove_one(&worker, id, &name, level).await?;
    }
    done(worker)?;
    Ok(set)
}

/// Removes sets that nothing needs any more: never the last proven one, never one that an
/// unfinished run may need.
///
/// # Errors
/// [`Error::Vault`], [`Error::Journal`].
pub fn prune(
    machinery: &Machinery,
    project: &Project,
    vault: &Vault,
    named: &BTreeSet<SetId>,
    dry: bool,
) -> Result<Pruned, Error> {
    let directory = state_directory(machinery, &project.stack.name);
    let writer = Writer::take(&directory, &machinery.owner, machinery.clock.clone())?;
    let needed = needed(&writer)?;
    let backups = &project.stack.backups;
    let pruned = vault.prune(&PruneRequest {
        stack: project.stack.name.as_str(),
        retention: Retention { last: backups.keep_last, days: backups.keep_days },
        needed: &needed,
        named,
        now: machinery.clock.now(),
        dry,
    })?;
    writer.release()?;
    Ok(pruned)
}

impl Platform {
    /// The plan of restoring a set over what is there: proven first, what is there kept, writers
    /// stopped, restored beside, switched in.
    ///
    /// # Errors
    /// [`Error::NoPlan`], [`Error::Vault`].
    pub async fn restore_plan(&mut self, vault: &Vault, id: &SetId) -> Result<Plan, Error> {
        let set = vault.set(id)?;
        let snapshot = self.snapshot(Releases::default()).await?;
        let running = snapshot.version().unwrap_or_default().to_owned();
        let mut plan = self.plan(&running, Intent::Restore).await?;
        let names: Vec<Name> =
            set.record().datastores.keys().filter_map(|name| Name::parse(name).ok()).collect();
        plan.datastores.retain(|name, _| names.contains(name));
        let writers: BTreeSet<Name> =
            plan.datastores.values().flat_map(|its| its.written_by.clone()).collect();
        let writers: Vec<Name> =
            plan.components().filter(|name| writers.contains(*name)).cloned().collect();
        let mut acts = vec![Act::Check];
        let proofs = plan.datastores.iter();
        acts.extend(proofs.map(|(name, its)| Act::Prove(name.clone(), its.proof_required)));
        acts.extend(writers.iter().rev().cloned().map(Act::Stop));
        acts.push(Act::BackUp(Purpose::FailedState, names.clone()));
        acts.extend(names.iter().cloned().map(Act::Fill));
        acts.extend(names.iter().cloned().map(Act::Switch));
        acts.extend(writers.iter().map(|name| {
            let seen = plan.snapshot.components.get(name);
            Act::Start(name.clone(), seen.map_or(1, |its| its.running.instances_wanted))
        }));
        acts.extend(writers.iter().map(|name| Act::Verify(name.clone(), running.clone())));
        acts.extend(names.into_iter().map(Act::DiscardAside));
        let step = |act| engine::way_back::step(&plan, act, Target::Live);
        let steps: Vec<Step> = acts.into_iter().map(step).collect();
        plan.point_of_no_return = steps.iter().position(|s| matches!(s.act, Act::Switch(_)));
        plan.steps = steps;
        plan.restore_from = Some(id.to_string());
        Ok(plan)
    }
}

fn worker(platform: Platform, vault: Vault) -> Result<Worker, Error> {
    let machinery = &platform.machinery;
    let directory = state_directory(machinery, &platform.project.stack.name);
    let writer = Writer::take(&directory, &machinery.owner, machinery.clock.clone())?;
    let seed = format!("{} {}", machinery.clock.now(), machinery.owner.process_id);
    let run = blake3::hash(seed.as_bytes()).to_hex()[..8].to_owned();
    Ok(Worker::new(platform, vault, Arc::new(writer), run, None, None))
}

fn done(worker: Worker) -> Result<(), Error> {
    match Arc::try_unwrap(worker.into_writer()) {
        Ok(writer) => writer.release(),
        Err(_) => Ok(()),
    }
}

async fn prove_one(
    worker: &Worker,
    id: &SetId,
    name: &Name,
    level: ProofLevel,
) -> Result<(), Error> {
    let key = format!("{}.prove", worker.run);
    let call = Call {
        subject: name,
        target: &Target::Live,
        key: &key,
        within: longest(&worker.platform.project),
        releases: Releases::default(),
    };
    worker.prove_set(id, name, level, &call).await.map(drop).map_err(error_of)
}

fn proof_wanted(worker: &Worker, name: &Name) -> ProofLevel {
    let its = worker.platform.project.stack.datastores.get(name);
    its.map_or(ProofLevel::Restored, |its| its.proof)
}

fn longest(project: &Project) -> Duration {
    project.stack.datastores.values().map(|its| its.within).max().unwrap_or_default()
}

/// Sets that the last run may still need: all of them unless it has ended well.
fn needed(writer: &Writer) -> Result<BTreeSet<SetId>, Error> {
    let Some(last) = last_run(writer)? else { return Ok(BTreeSet::new()) };
    let records = writer.journal().records(Some(&last.id))?;
    let run = replay(&records)?;
    let open = run.is_some_and(|run| matches!(run.machine.ending(), None | Some(Ending::Held(_))));
    let names = ["before", "failed"].map(|suffix| format!("{}-{suffix}", last.id));
    let sets = names.iter().filter(|_| open).map(|name| SetId::parse(name));
    Ok(sets.collect::<Result<_, _>>()?)
}
