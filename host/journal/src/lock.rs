//! Who may change a stack: one holder, with an expiry, fenced by an epoch.
//!
//! Invariants:
//! - The epoch never falls and never repeats: each acquisition and each breaking raises it, it is
//!   anchored before it is handed out, and a release leaves it where it is.
//! - [`LockHeld`] is made by a successful acquisition only, cannot be copied, and is consumed by
//!   the release. Whoever shows one whose epoch is not the current one is told who took over.
//! - An expired lease is an invitation, not a loss: until somebody accepts it, the epoch still
//!   holds.

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Fence};

/// Longest text of one field of an [`Owner`] in bytes: host names end at 253.
pub const OWNER_FIELD_BYTES_MAX: usize = 255;

/// Characters kept of an owner's command; it is shown to a person, on one line.
pub const OWNER_COMMAND_CHARACTERS_MAX: usize = 200;

/// Longest lease. A holder renews several times a lease, so a longer one would only keep a dead
/// holder's stack closed.
pub const LEASE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The largest epoch that the database can carry.
const EPOCH_MAX: u64 = i64::MAX as u64;

/// Keeps the lock's checksum from meaning anything elsewhere.
const DOMAIN: &[u8] = b"vaultup journal lock 1";

/// A process that wants to change a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Owner {
    /// The machine's name.
    pub host: String,
    /// The process id on that machine.
    pub process_id: u32,
    /// What tells this process from a later one with the same id, such as its start in ticks
    /// since boot together with the boot's id. Opaque here.
    pub process_started: String,
    /// The user's name.
    pub user: String,
    /// What it does, for people: `vaultup run --to 2.5.0`. Without secrets; cut to
    /// [`OWNER_COMMAND_CHARACTERS_MAX`] characters.
    pub command: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, process_id, process_started: _, user, command } = self;
        write!(formatter, "`{command}` of {user} on {host} (process {process_id})")
    }
}

/// Who holds the stack, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub owner: Owner,
    /// Since when.
    pub since: Timestamp,
    /// When others may take over if the lease is not renewed.
    pub expires_at: Timestamp,
    /// The fencing epoch of this holding.
    pub epoch: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, since, expires_at, epoch: _ } = self;
        write!(formatter, "{owner} since {since}; its lease ends at {expires_at}")
    }
}

/// Proof that this process acquired the stack's lock. Only [`crate::Journal::acquire`] makes it.
///
/// It proves that the lock *was* acquired; that it still is, only the journal knows: see
/// [`crate::Journal::fence`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a lock that is dropped stays held until its lease ends"]
pub struct LockHeld {
    directory: PathBuf,
    epoch: u64,
}

impl LockHeld {
    /// The fencing epoch, larger than that of every holding of this stack before.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn new(directory: &Path, epoch: u64) -> Self {
        Self { directory: directory.to_owned(), epoch }
    }

    /// Whether it was acquired from the journal in this directory.
    pub(crate) fn is_of(&self, directory: &Path) -> bool {
        self.directory == directory
    }
}

/// The one row that says who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct LockState {
    pub(crate) epoch: u64,
    /// Who raised the epoch to where it is, for those whom it fences.
    pub(crate) raised_by: Option<Owner>,
    pub(crate) raised_at: Option<Timestamp>,
    pub(crate) lease: Option<Lease>,
}

/// The current holding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Lease {
    pub(crate) owner: Owner,
    pub(crate) since: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl LockState {
    /// Nobody's lock, whose next epoch is greater than `epoch`.
    pub(crate) fn first(epoch: u64) -> Self {
        Self { epoch, raised_by: None, raised_at: None, lease: None }
    }

    /// The row's text and its checksum.
    pub(crate) fn encode(&self) -> (String, [u8; 32]) {
        // A struct of texts, numbers and times always becomes JSON.
        let text = serde_json::json!(self).to_string();
        let hash = checksum(&text);
        (text, hash)
    }

    /// Reads the row. `None`: it is not what was written.
    pub(crate) fn decode(text: &str, hash: &[u8]) -> Option<Self> {
        if checksum(text) != hash {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// Who holds it.
    pub(crate) fn holder(&self) -> Option<Holder> {
        let Lease { owner, since, expires_at } = self.lease.clone()?;
        Some(Holder { owner, since, expires_at, epoch: self.epoch })
    }

    /// The state after `owner` took the lock at `now`, or why it may not.
    pub(crate) fn acquired(
        &self,
        owner: &Owner,
        now: Timestamp,
        lease: SignedDuration,
        is_alive: &dyn Fn(&Owner) -> bool,
    ) -> Result<Self, Error> {
        let expires_at = expiry(now, lease)?;
        if let Some(holder) = self.holder() {
            let expired = holder.expires_at <= now;
            if !expired && is_alive(&holder.owner) {
                return Err(Error::Held(Box::new(holder)));
            }
            tracing::warn!(%holder, expired, "taking over the lock of another process");
        }
        let owner = bounded(owner)?;
        Ok(Self {
            epoch: self.epoch_raised()?,
            raised_by: Some(owner.clone()),
            raised_at: Some(now),
            lease: Some(Lease { owner, since: now, expires_at }),
        })
    }

    /// The state after the holder with this epoch renewed its lease at `now`.
    pub(crate) fn renewed(
        &self,
        epoch: u64,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Self, Error> {
        let mut state = self.clone();
        let expires_at = expiry(now, lease)?;
        match &mut state.lease {
            Some(current) if self.epoch == epoch => current.expires_at = expires_at,
            _ => return Err(self.fenced(epoch)),
        }
        Ok(state)
    }

    /// The state after the holder with this epoch let go.
    pub(crate) fn released(&self, epoch: u64) -> Result<Self, Error> {
        self.check(epoch)?;
        Ok(Self { lease: None, ..self.clone() })
    }

    /// The state after a person broke the lock. `None`: nobody holds it.
    pub(crate) fn broken(&self, by: &Owner, now: Timestamp) -> Result<Option<Self>, Error> {
        if self.lease.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            epoch: self.epoch_raised()?,
            raised_by: Some(bounded(by)?),
            raised_at: Some(now),
            lease: None,
        }))
    }

    /// Refuses an epoch that is not the current holder's.
    pub(crate) fn check(&self, epoch: u64) -> Result<(), Error> {
        if self.epoch == epoch && self.lease.is_some() { Ok(()) } else { Err(self.fenced(epoch)) }
    }

    fn fenced(&self, epoch: u64) -> Error {
        Error::Fenced(Box::new(Fence {
            epoch,
            epoch_now: self.epoch,
            by: self.raised_by.clone(),
            at: self.raised_at,
        }))
    }

    fn epoch_raised(&self) -> Result<u64, Error> {
        if self.epoch < EPOCH_MAX {
            return Ok(self.epoch + 1);
        }
        Err(Error::Limit {
            what: "the lock's epoch",
            found: format!("{}", self.epoch),
            allowed: format!("below {EPOCH_MAX}"),
        })
    }
}

fn checksum(text: &str) -> [u8; 32] {
    *blake3::Hasher::new().update(DOMAIN).update(text.as_bytes()).finalize().as_bytes()
}

fn expiry(now: Timestamp, lease: SignedDuration) -> Result<Timestamp, Error> {
    let refused = || Error::Limit {
        what: "a lease",
        found: format!("{lease:#}"),
        allowed: format!("above zero, at most {LEASE_MAX:#}"),
    };
    if !lease.is_positive() || lease > LEASE_MAX {
        return Err(refused());
    }
    now.checked_add(lease).map_err(|_| refused())
}

/// The owner as it is stored: the command is cut, everything else must fit.
fn bounded(owner: &Owner) -> Result<Owner, Error> {
    for text in [&owner.host, &owner.process_started, &owner.user] {
        if text.len() > OWNER_FIELD_BYTES_MAX {
            return Err(Error::Limit {
                what: "a field of the lock's owner",
                found: format!("{} bytes", text.len()),
                allowed: format!("at most {OWNER_FIELD_BYTES_MAX} bytes"),
            });
        }
    }
    let command = owner.command.chars().take(OWNER_COMMAND_CHARACTERS_MAX).collect();
    Ok(Owner { command, ..owner.clone() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const LEASE: SignedDuration = SignedDuration::from_secs(60);

    fn owner(process_id: u32) -> Owner {
        Owner {
            host: "one".to_owned(),
            process_id,
            process_started: "1".to_owned(),
            user: "ann".to_owned(),
            command: "vaultup run".to_owned(),
        }
    }

    fn held() -> LockState {
        LockState::first(0).acquired(&owner(1), NOW, LEASE, &|_| true).unwrap()
    }

    #[test]
    fn a_lease_may_be_taken_over_the_moment_it_ends_and_not_before() {
        let before = NOW + SignedDuration::new(59, 999_999_999);
        held().acquired(&owner(2), before, LEASE, &|_| true).unwrap_err();
        let taken = held().acquired(&owner(2), NOW + LEASE, LEASE, &|_| true).unwrap();
        assert_eq!(taken.epoch, 2);
    }

    #[test]
    fn a_dead_holder_is_replaced_at_once() {
        let taken = held().acquired(&owner(2), NOW, LEASE, &|owner| owner.process_id != 1).unwrap();
        assert_eq!(taken.holder().unwrap().owner, owner(2));
    }

    #[test]
    fn a_lease_is_accepted_at_its_limit_and_refused_one_past_it() {
        expiry(NOW, LEASE_MAX).unwrap();
        expiry(NOW, LEASE_MAX + SignedDuration::from_nanos(1)).unwrap_err();
        expiry(NOW, SignedDuration::from_nanos(1)).unwrap();
        expiry(NOW, SignedDuration::ZERO).unwrap_err();
        expiry(Timestamp::MAX, LEASE).unwrap_err();
    }

    #[test]
    fn an_owner_is_accepted_at_its_limits_and_refused_or_cut_past_them() {
        let host = "h".repeat(OWNER_FIELD_BYTES_MAX);
        bounded(&Owner { host: host.clone(), ..owner(1) }).unwrap();
        bounded(&Owner { host: host + "h", ..owner(1) }).unwrap_err();
        let command = "ü".repeat(OWNER_COMMAND_CHARACTERS_MAX);
        let longer = Owner { command: format!("{command}!"), ..owner(1) };
        assert_eq!(bounded(&longer).unwrap().command, command);
    }

    #[test]
    fn the_last_epoch_is_refused_rather_than_repeated() {
        let last = LockState { epoch: EPOCH_MAX - 1, ..LockState::first(0) };
        let last = last.acquired(&owner(1), NOW, LEASE, &|_| true).unwrap();
        assert_eq!(last.epoch, EPOCH_MAX);
        last.released(EPOCH_MAX).unwrap().acquired(&owner(1), NOW, LEASE, &|_| true).unwrap_err();
    }

    #[test]
    fn a_row_with_any_other_text_is_not_believed() {
        let (text, hash) = held().encode();
        assert_eq!(LockState::decode(&text, &hash), Some(held()));
        assert_eq!(LockState::decode(&text.replace("ann", "bob"), &hash), None);
        assert_eq!(LockState::decode(&text, &hash[1..]), None);
    }
}
