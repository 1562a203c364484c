//! Backup sets that a person asks for, outside a run: take, list, prove and prune.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::machine::Ending;
use engine::snapshot::Snapshot;
use model::Name;
use model::contract::{ProofLevel, Target};
use vault::{BackupSet, Keys, KeysOrigin, PruneRequest, Pruned, Retention, SetId, Vault, Written};

use crate::carry_out::state_directory;
use crate::error::Error;
use crate::operation::{Call, Releases};
use crate::perform::backup::{SET_SUFFIXES, SetRequest};
use crate::perform::{Worker, error_of};
use crate::platform::{Machinery, Platform};
use crate::platform_lock::PlatformLocks;
use crate::project::Project;
use crate::record::runs_newest_first;
use crate::writer::Writer;

/// File with this user's key, in the configuration directory.
pub const IDENTITY_FILE: &str = "identity.txt";

/// Opens a project's vault, and says where the key came from. One is made only where there is
/// something to back up.
///
/// # Errors
/// [`Error::Vault`].
pub fn open_vault(machinery: &Machinery, project: &Project) -> Result<(Vault, KeysOrigin), Error> {
    let identity = machinery.places.configuration.join(IDENTITY_FILE);
    let backups = &project.stack.backups;
    let (keys, origin) = match project.stack.datastores.is_empty() {
        true => Keys::load(&identity, &backups.recipients)?,
        false => Keys::load_or_create(&identity, &backups.recipients)?,
    };
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
    let written = names.iter().map(|name| (name.clone(), written(&platform, &snapshot, name)));
    let written = written.collect();
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
            written,
        })
        .await
        .map_err(|untaken| error_of(untaken.trouble))?;
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

fn worker(platform: Platform, vault: Vault) -> Result<Worker, Error> {
    let machinery = &platform.machinery;
    let directory = state_directory(machinery, &platform.project.stack.name);
    let writer = Writer::take(&directory, &machinery.owner, machinery.clock.clone())?;
    let seed = format!("{} {}", machinery.clock.now(), machinery.owner.process_id);
    let run = blake3::hash(seed.as_bytes()).to_hex()[..8].to_owned();
    // A backup taken by hand changes nothing at a platform.
    let locks = Arc::new(PlatformLocks::without(machinery.clock.clone()));
    Ok(Worker::new(platform, vault, Arc::new(writer), locks, run, (None, None)))
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

/// Who can write to a datastore now, outside of a run.
fn written(platform: &Platform, snapshot: &Snapshot, name: &Name) -> Written {
    let Some(its) = platform.project.stack.datastores.get(name) else { return Written::Unknown };
    if !its.writers_are_named {
        return Written::Unknown;
    }
    let runs = |writer: &&Name| {
        let seen = snapshot.components.get(*writer);
        seen.is_none_or(|seen| seen.running.instances.iter().any(|its| its.running))
    };
    let running: Vec<String> = its.written_by.iter().filter(runs).map(Name::to_string).collect();
    if running.is_empty() { Written::Nothing } else { Written::By(running) }
}

fn proof_wanted(worker: &Worker, name: &Name) -> ProofLevel {
    let its = worker.platform.project.stack.datastores.get(name);
    its.map_or(ProofLevel::Restored, |its| its.proof)
}

fn longest(project: &Project) -> Duration {
    project.stack.datastores.values().map(|its| its.within).max().unwrap_or_default()
}

/// Sets that a run which has not ended well may still need: those that it made and the one that it
/// restores. A run that holds may have been followed by a restore that has not ended well either.
fn needed(writer: &Writer) -> Result<BTreeSet<SetId>, Error> {
    let mut needed = BTreeSet::new();
    for run in runs_newest_first(&writer.journal()) {
        let run = run?;
        match run.machine.ending() {
            Some(Ending::Upgraded | Ending::RolledBack) => break,
            Some(Ending::Unchanged(_)) => continue,
            None | Some(Ending::Held(_)) => {}
        }
        for suffix in SET_SUFFIXES {
            needed.insert(SetId::parse(&format!("{}-{suffix}", run.id))?);
        }
        if let Some(set) = &run.machine.plan().restore_from {
            needed.insert(SetId::parse(set)?);
        }
    }
    Ok(needed)
}
