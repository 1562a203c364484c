//! What is known of a backup's worth, and the value without which nothing dangerous happens.
//!
//! Levels 2 and 3 say that every byte was read. A plugin's word is not taken for that: the vault
//! itself must have handed out every artifact to its verified end in this process. A level 3 must
//! show each figure that was recorded when the backup was taken. What an earlier proof read counts
//! for nothing: see [`Vault::forget_reads`]. Records are added durably, beside
//! the set; a record that is damaged proves nothing and is replaced by the next.

use std::fmt;
use std::io;
use std::sync::PoisonError;

use model::contract::{Figure, ProofLevel};

use crate::durable;
use crate::error::{Damage, Error};
use crate::name::SetId;
use crate::record::{BackupSet, Digest, ProofFile, ProofRecord, Purpose};
use crate::sealed::{self, Broken};
use crate::vault::{Inner, Vault};

/// How many records are kept of a datastore's backup. One more, and the oldest of the lowest level
/// goes, so that what was reached stays.
pub const PROOF_RECORDS_MAX: usize = 100;

/// How thoroughly the artifacts are looked at when a proof is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// Each artifact is there with its recorded length: cheap, for a run that made it just now.
    Lengths,
    /// Each stored byte is read and its hash compared: after a crash, before a restore.
    Stored,
}

/// What a proof is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The set.
    pub set: &'a SetId,
    /// The datastore whose data is at stake.
    pub datastore: &'a str,
    /// The stack that the set must be of.
    pub stack: &'a str,
    /// The run that must have made it.
    pub run: &'a str,
    /// What it must have been made for: a rehearsal's backup does not protect the live data, and a
    /// failed state is no way back.
    pub purpose: Purpose,
    /// The level that must be recorded.
    pub at_least: ProofLevel,
    /// How thoroughly to look.
    pub recheck: Recheck,
}

/// A datastore's backup was looked at and is proven: whoever destroys data asks for `&Proven`.
///
/// It cannot be made, copied or read from a file; only [`Vault::proven`] gives one.
///
/// ```
/// fn look(proven: &vaultup_vault::Proven) -> &str {
///     proven.datastore()
/// }
/// fn read(id: &str) -> vaultup_vault::SetId {
///     serde_json::from_str(id).unwrap()
/// }
/// ```
/// ```compile_fail
/// fn twice(proven: &vaultup_vault::Proven) -> vaultup_vault::Proven {
///     proven.clone()
/// }
/// ```
/// ```compile_fail
/// fn reach_in(proven: &vaultup_vault::Proven) -> &str {
///     &proven.datastore
/// }
/// ```
/// ```compile_fail
/// fn make() -> vaultup_vault::Proven {
///     Default::default()
/// }
/// ```
/// ```compile_fail
/// fn read(proven: &str) -> vaultup_vault::Proven {
///     serde_json::from_str(proven).unwrap()
/// }
/// ```
pub struct Proven {
    set: SetId,
    set_digest: Digest,
    stack: String,
    run: String,
    purpose: Purpose,
    datastore: String,
    level: ProofLevel,
}

impl Proven {
    /// The set.
    #[must_use]
    pub fn set(&self) -> &SetId {
        &self.set
    }

    /// Hash of the set's description.
    #[must_use]
    pub fn set_digest(&self) -> Digest {
        self.set_digest
    }

    /// The stack.
    #[must_use]
    pub fn stack(&self) -> &str {
        &self.stack
    }

    /// The run that made the set.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// What the set was made for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The datastore whose backup is proven; this says nothing of another one.
    #[must_use]
    pub fn datastore(&self) -> &str {
        &self.datastore
    }

    /// The best recorded level.
    #[must_use]
    pub fn level(&self) -> ProofLevel {
        self.level
    }
}

impl fmt::Debug for Proven {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proven({}/{} at level {})", self.set, self.datastore, self.level)
    }
}

impl Vault {
    /// Forgets which artifacts of a datastore's backup were read: called before a proof is asked
    /// of a plugin, so that only what it reads itself stands for it.
    pub fn forget_reads(&self, set: &SetId, datastore: &str) {
        let mut seen = self.inner.read_to_end.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|(of, its, _)| of != set || its != datastore);
    }

    /// Adds a proof to a datastore's backup, durably.
    ///
    /// # Errors
    /// [`Error::NoSet`], [`Error::NotInSet`]; [`Error::Damaged`] when an artifact is missing or has
    /// another length; [`Error::NotRead`] for levels 2 and 3 unless [`Vault::reader`] gave every
    /// artifact to its end in this process; [`Error::Figures`] when a figure contradicts the
    /// recorded one, or level 3 does not show all of them, or there are none; [`Error::Io`].
    pub fn record_proof(
        &self,
        set: &SetId,
        datastore: &str,
        proof: ProofRecord,
    ) -> Result<(), Error> {
        let inner = &self.inner;
        let _one_at_a_time = inner.proving.lock().unwrap_or_else(PoisonError::into_inner);
        let set = inner.set(set)?;
        inner.check_lengths(&set, datastore)?;
        if proof.level >= ProofLevel::Checked {
            inner.require_read(&set, datastore)?;
        }
        compare_figures(&set, datastore, &proof)?;
        let mut proofs = match inner.proofs(&set, datastore) {
            Err(error @ Error::Damaged { .. }) => {
                tracing::warn!(%error, "damaged proofs are replaced");
                Vec::new()
            }
            other => other?,
        };
        proofs.push(proof);
        if proofs.len() > PROOF_RECORDS_MAX {
            drop_least(&mut proofs);
        }
        inner.write_proofs(&set, datastore, proofs)
    }

    /// Every recorded proof of a datastore's backup, oldest first.
    ///
    /// # Errors
    /// [`Error::NotInSet`], [`Error::Damaged`], [`Error::NewerFormat`], [`Error::Io`].
    pub fn proofs(&self, set: &BackupSet, datastore: &str) -> Result<Vec<ProofRecord>, Error> {
        set.datastore(datastore)?;
        self.inner.proofs(set, datastore)
    }

    /// The best recorded level. Published and nothing more is [`ProofLevel::Exists`].
    ///
    /// # Errors
    /// As [`Vault::proofs`].
    pub fn proof_level(&self, set: &BackupSet, datastore: &str) -> Result<ProofLevel, Error> {
        set.datastore(datastore)?;
        self.inner.proof_level(set, datastore)
    }

    /// Gives the proof value, when everything that is asked for holds now.
    ///
    /// # Errors
    /// [`Error::NoSet`], [`Error::NotInSet`]; [`Error::Foreign`] when the set is of another stack,
    /// run or purpose; [`Error::NotProven`] when the level is not recorded; [`Error::Damaged`] when
    /// description, proofs or artifacts are not what they were; [`Error::Io`].
    pub fn proven(&self, demand: &Demand<'_>) -> Result<Proven, Error> {
        let set = self.inner.set(demand.set)?;
        let header = set.header();
        let facts = [
            ("stack", header.stack.as_str(), demand.stack),
            ("run", header.run.as_str(), demand.run),
            ("purpose", header.purpose.as_str(), demand.purpose.as_str()),
        ];
        for (what, found, wanted) in facts {
            if found != wanted {
                return Err(Error::foreign(set.id(), what, found, wanted));
            }
        }
        self.inner.check_lengths(&set, demand.datastore)?;
        let level = self.inner.proof_level(&set, demand.datastore)?;
        if level < demand.at_least {
            return Err(Error::NotProven {
                set: set.id().clone(),
                datastore: demand.datastore.to_owned(),
                reached: level,
                wanted: demand.at_least,
            });
        }
        if demand.recheck == Recheck::Stored {
            self.verify_stored(&set, demand.datastore)?;
        }
        Ok(Proven {
            set: set.id().clone(),
            set_digest: set.digest,
            stack: header.stack.clone(),
            run: header.run.clone(),
            purpose: header.purpose,
            datastore: demand.datastore.to_owned(),
            level,
        })
    }
}

impl Inner {
    pub(crate) fn proof_level(
        &self,
        set: &BackupSet,
        datastore: &str,
    ) -> Result<ProofLevel, Error> {
        let proofs = self.proofs(set, datastore)?;
        Ok(proofs.iter().map(|proof| proof.level).max().unwrap_or(ProofLevel::Exists))
    }

    fn proofs(&self, set: &BackupSet, datastore: &str) -> Result<Vec<ProofRecord>, Error> {
        let path = self.proofs_path(set.id(), datastore);
        let bytes = match durable::open_file(&path).and_then(durable::read_small) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let damaged = |damage| Error::Damaged {
            set: set.id().to_string(),
            what: format!("proofs/{datastore}.json"),
            damage,
        };
        let (file, _) = match sealed::unseal::<ProofFile>(&bytes) {
            Ok(read) => read,
            Err(Broken::Damaged(damage)) => return Err(damaged(damage)),
            Err(Broken::Newer(found)) => return Err(Error::NewerFormat { path, found }),
        };
        let own = (set.id(), set.digest, datastore);
        if (&file.set, file.set_blake3, file.datastore.as_str()) == own {
            Ok(file.proofs)
        } else {
            let reason = format!("it proves `{}` of set {}", file.datastore, file.set);
            Err(damaged(Damage::Record(reason)))
        }
    }

    fn write_proofs(
        &self,
        set: &BackupSet,
        datastore: &str,
        proofs: Vec<ProofRecord>,
    ) -> Result<(), Error> {
        let file = ProofFile {
            set: set.id().clone(),
            set_blake3: set.digest,
            datastore: datastore.to_owned(),
            proofs,
        };
        let (bytes, _) = sealed::seal(&file)?;
        let path = self.proofs_path(set.id(), datastore);
        let directory = self.set_path(set.id());
        let proofs = path.parent().unwrap_or(&directory);
        match durable::make_directory(proofs) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make", proofs, error));
            }
            _ => durable::sync_directory(&directory)
                .map_err(Error::with("synchronise", &directory))?,
        }
        durable::replace(&path, &bytes).map_err(Error::with("write", &path))
    }

    fn require_read(&self, set: &BackupSet, datastore: &str) -> Result<(), Error> {
        let seen = self.read_to_end.lock().unwrap_or_else(PoisonError::into_inner);
        for artifact in &set.datastore(datastore)?.artifacts {
            let key = (set.id().clone(), datastore.to_owned(), artifact.name.clone());
            if !seen.contains(&key) {
                return Err(Error::NotRead {
                    set: set.id().clone(),
                    datastore: datastore.to_owned(),
                    artifact: artifact.name.clone(),
                });
            }
        }
        Ok(())
    }

    fn proofs_path(&self, set: &SetId, datastore: &str) -> std::path::PathBuf {
        self.set_path(set).join("proofs").join(format!("{datastore}.json"))
    }
}

/// The host compares facts itself: a proof whose figures are others proves the opposite.
fn compare_figures(set: &BackupSet, datastore: &str, proof: &ProofRecord) -> Result<(), Error> {
    let recorded = &set.datastore(datastore)?.figures;
    let differs = |difference: String| {
        let (set, datastore) = (set.id().clone(), datastore.to_owned());
        Err(Error::Figures { set, datastore, difference })
    };
    let restored = proof.level == ProofLevel::Restored;
    if restored && recorded.is_empty() {
        return differs("no figure was recorded that a restore could show again".to_owned());
    }
    for figure in recorded {
        let name = figure.name.escape_debug();
        let mut shown = proof.figures.iter().filter(|one| one.name == figure.name).peekable();
        if restored && shown.peek().is_none() {
            return differs(format!("figure `{name}` is not shown"));
        }
        for one in shown {
            if let Some(difference) = contradiction(figure, one, restored) {
                return differs(format!("figure `{name}`: {difference}"));
            }
        }
    }
    Ok(())
}

/// How `shown` contradicts what was recorded; with `whole`, leaving out is contradicting.
fn contradiction(recorded: &Figure, shown: &Figure, whole: bool) -> Option<String> {
    fn one<T: fmt::Display + PartialEq>(
        what: &str,
        recorded: Option<&T>,
        shown: Option<&T>,
        whole: bool,
    ) -> Option<String> {
        match (recorded, shown) {
            (Some(recorded), Some(shown)) if recorded != shown => {
                Some(format!("{what} {shown}, and {recorded} was recorded"))
            }
            (Some(recorded), None) if whole => {
                Some(format!("{what} is not shown, and {recorded} was recorded"))
            }
            _ => None,
        }
    }
    one("count", recorded.count.as_ref(), shown.count.as_ref(), whole)
        .or_else(|| one("bytes", recorded.bytes.as_ref(), shown.bytes.as_ref(), whole))
        .or_else(|| one("digest", recorded.digest.as_ref(), shown.digest.as_ref(), whole))
}

fn drop_least(proofs: &mut Vec<ProofRecord>) {
    let least = proofs.iter().map(|proof| proof.level).min();
    if let Some(index) = proofs.iter().position(|proof| Some(proof.level) == least) {
        proofs.remove(index);
    }
}
