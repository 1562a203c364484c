//! What is removed, and what never is.
//!
//! Never removed: the newest set that is wholly proven at the levels that were asked for; the best
//! backup of each datastore (the newest that is proven so; lacking one, the best proven); a set
//! that an unfinished run may need, is being written or belongs to another stack. Kept unless
//! named: what a failed upgrade left, and damaged sets, from which a person may still save
//! something. Removal renames to a name that no listing shows before it deletes, so that a crash
//! leaves no half set that looks whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::PoisonError;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use model::contract::ProofLevel;

use crate::durable;
use crate::error::Error;
use crate::name::SetId;
use crate::record::{BackupSet, Purpose};
use crate::vault::{Inner, Listed, Vault};

/// How old an unfinished set is when it is removed, unless somebody holds it open or needs it.
pub const PARTIAL_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// How many sets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest sets of live data, whatever their age.
    pub last: u32,
    /// Every set younger than so many days of 24 hours.
    pub days: u32,
}

/// What to prune.
#[derive(Clone, Copy, Debug)]
pub struct PruneRequest<'a> {
    /// Only sets of this stack.
    pub stack: &'a str,
    /// How many are kept.
    pub retention: Retention,
    /// Sets that an unfinished run may need.
    pub needed: &'a BTreeSet<SetId>,
    /// Sets that the operator named: retention, failed state and damage do not keep these; need and
    /// being the best backup still do.
    pub named: &'a BTreeSet<SetId>,
    /// The time now.
    pub now: Timestamp,
    /// Only say what would be done.
    pub dry: bool,
}

/// Why a set is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// An unfinished run may need it.
    Needed,
    /// It is the newest set whose every datastore is proven at the level that was asked for.
    NewestProven,
    /// It is the best backup of a datastore.
    Best {
        /// The first such datastore.
        datastore: String,
    },
    /// It is what a failed upgrade left; name it to remove it.
    FailedState,
    /// It is damaged; name it to remove it.
    Damaged,
    /// It is among the newest.
    Last,
    /// It is young.
    Young,
    /// It is unfinished, and somebody writes it or it is young.
    Unfinished,
}

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needed => formatter.write_str("an unfinished run may need it"),
            Self::NewestProven => formatter.write_str("it is the newest that is wholly proven"),
            Self::Best { datastore } => write!(formatter, "it is the best backup of `{datastore}`"),
            Self::FailedState => formatter.write_str("it is what a failed upgrade left"),
            Self::Damaged => formatter.write_str("it is damaged"),
            Self::Last => formatter.write_str("it is among the newest"),
            Self::Young => formatter.write_str("it is young"),
            Self::Unfinished => formatter.write_str("it is being written, or was until lately"),
        }
    }
}

/// What was pruned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Sets and leftovers of unfinished sets that are gone, or would be.
    pub removed: Vec<SetId>,
    /// What stays, newest first, and why.
    pub kept: Vec<(SetId, Kept)>,
    /// Bytes of the removed sets' artifacts.
    pub bytes_freed: u64,
}

impl Vault {
    /// Removes what retention does not keep.
    ///
    /// # Errors
    /// [`Error::Io`]. What was removed before stays removed; nothing is half removed.
    pub fn prune(&self, request: &PruneRequest<'_>) -> Result<Pruned, Error> {
        let inner = &self.inner;
        let mut pruned = Pruned::default();
        let sets = self.sets()?;
        let protected = inner.protected(&sets, request.stack);
        let mut live_sets = 0;
        for listed in &sets {
            let set = listed.whole();
            let other = listed.description().is_some_and(|one| one.header().stack != request.stack);
            if other {
                continue;
            }
            if set.is_some_and(|set| set.header().purpose.holds_good_live_data()) {
                live_sets += 1;
            }
            let id = listed.id();
            match reason_to_keep(listed, request, protected.get(id), live_sets) {
                Some(reason) => pruned.kept.push((id.clone(), reason)),
                None => {
                    pruned.bytes_freed += listed.description().map_or(0, BackupSet::bytes_stored);
                    pruned.removed.push(id.clone());
                }
            }
        }
        if !request.dry {
            for id in &pruned.removed {
                inner.remove_set(id)?;
            }
        }
        inner.remove_leftovers(request, &mut pruned)?;
        Ok(pruned)
    }
}

fn reason_to_keep(
    listed: &Listed,
    request: &PruneRequest<'_>,
    protected: Option<&Kept>,
    live_sets: u32,
) -> Option<Kept> {
    if request.needed.contains(listed.id()) {
        return Some(Kept::Needed);
    }
    if let Some(reason) = protected {
        return Some(reason.clone());
    }
    if request.named.contains(listed.id()) {
        return None;
    }
    let Some(set) = listed.whole() else { return Some(Kept::Damaged) };
    let header = set.header();
    if header.purpose == Purpose::FailedState {
        return Some(Kept::FailedState);
    }
    if header.purpose.holds_good_live_data() && live_sets <= request.retention.last {
        return Some(Kept::Last);
    }
    let age = request.now.duration_since(header.began_at);
    let days = SignedDuration::from_hours(24 * i64::from(request.retention.days));
    (age < days).then_some(Kept::Young)
}

impl Inner {
    /// Sets that no retention and no name removes: the newest that is wholly proven, because its
    /// datastores are of one moment; and the best of each datastore, the newest among equals.
    fn protected(&self, sets: &[Listed], stack: &str) -> BTreeMap<SetId, Kept> {
        let mut protected = BTreeMap::new();
        let mut best: BTreeMap<&String, (ProofLevel, &SetId)> = BTreeMap::new();
        for set in sets.iter().filter_map(Listed::whole) {
            let header = set.header();
            if header.stack != stack || !header.purpose.holds_good_live_data() {
                continue;
            }
            let mut wholly_proven = true;
            for (datastore, contents) in &set.record().datastores {
                // Above what was asked for counts no more: a newer set that has it is better.
                // Proofs that cannot be read prove nothing.
                let level = self.proof_level(set, datastore).unwrap_or(ProofLevel::Exists);
                let level = level.min(contents.proof_wanted);
                wholly_proven &= level == contents.proof_wanted;
                // Sets come newest first, so that only a better level takes the place.
                if best.get(datastore).is_none_or(|(reached, _)| level > *reached) {
                    best.insert(datastore, (level, set.id()));
                }
            }
            if wholly_proven && protected.is_empty() {
                protected.insert(set.id().clone(), Kept::NewestProven);
            }
        }
        for (datastore, (_, set)) in best {
            let reason = || Kept::Best { datastore: datastore.clone() };
            protected.entry(set.clone()).or_insert_with(reason);
        }
        protected
    }

    fn remove_set(&self, id: &SetId) -> Result<(), Error> {
        let removing = self.removing_path(id);
        remove_all(&removing)?;
        let path = self.set_path(id);
        fs::rename(&path, &removing).map_err(Error::with("remove", &path))?;
        durable::sync_directory(&self.root).map_err(Error::with("synchronise", &self.root))?;
        let mut seen = self.read_to_end.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|(set, _, _)| set != id);
        drop(seen);
        remove_all(&removing)
    }

    fn remove_leftovers(
        &self,
        request: &PruneRequest<'_>,
        pruned: &mut Pruned,
    ) -> Result<(), Error> {
        let (partial, removing) = self.leftovers()?;
        for id in removing {
            if !request.dry {
                remove_all(&self.removing_path(&id))?;
            }
            pruned.removed.push(id);
        }
        for id in partial {
            let path = self.partial_path(&id);
            let lock = match durable::lock_directory(&path) {
                // Published or discarded since the listing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(Error::with("lock", &path))?,
            };
            if request.needed.contains(&id) {
                pruned.kept.push((id, Kept::Needed));
            } else if lock.is_none() || age(&path, request.now)? <= PARTIAL_AGE_MAX {
                pruned.kept.push((id, Kept::Unfinished));
            } else {
                if !request.dry {
                    remove_all(&path)?;
                }
                pruned.removed.push(id);
            }
        }
        Ok(())
    }
}

/// Since something was last added to a partial's directory.
fn age(path: &Path, now: Timestamp) -> Result<SignedDuration, Error> {
    let changed = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let changed = changed.map_err(Error::with("look at", path))?;
    let changed: SystemTime = changed;
    // A time that cannot be said is far away: as good as new.
    Ok(Timestamp::try_from(changed).map_or(SignedDuration::ZERO, |then| now.duration_since(then)))
}

fn remove_all(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
