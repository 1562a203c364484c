//! The locks of a run at its platforms, which vaultups with other state directories see too.
//!
//! The host's own lock ([`crate::writer`]) lies in one state directory. Where a platform has a
//! place for a lock (see `deploy.acquire-lock` of the contract), a run holds that as well: one for
//! each component, from after its own lock until it ends or holds.
//!
//! Invariants:
//! - Nothing is changed that is not covered by a lock which the platform confirmed less than its
//!   lifetime ago: [`PlatformLocks::confirm`] asks before an effect, [`PlatformLocks::fence`] looks
//!   at the clock before each command. Both clocks count, that of the wall and the one that never
//!   goes back, so that neither a paused process nor a clock that was set hides an expiry.
//! - A lock that was lost stays lost for this process.
//! - The holder's name is the stack's with the run's id. So `resume` after a crash takes its own
//!   lock over at once, and everybody else waits until it runs out.
//! - A run that holds keeps no lock: a person may need days. Its journal refuses another run from
//!   the same state directory. If somebody from elsewhere was at work since, `resume` and
//!   `rollback` say so once before they go on: see [`Error::WorkedOnSince`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use model::Name;
use model::contract::{LockClaim, Operation, PlatformLock, Target};
use sandbox::{Artifacts, BoxFuture, Fence, Mode, Plugin, Session};
use system::clock::Clock;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::observe::is_unsupported;
use crate::operation::{Call, Releases};
use crate::platform::{Platform, Unheard};

/// How long a lock holds without being renewed: as long as the host's own.
const LIFETIME: Duration = Duration::from_secs(60);

/// A lock that was confirmed so long ago counts as run out: what is begun under it must be seen by
/// the platform before others may take it.
const MARGIN: Duration = Duration::from_secs(5);

/// A lock that was confirmed so shortly ago is not asked for again. Within its lifetime only a
/// person's `vaultup unlock` can have taken it.
const FRESH: Duration = Duration::from_secs(3);

/// How long one question to a platform may take.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// How long letting go may take: the lock runs out by itself.
const RELEASED_WITHIN: Duration = Duration::from_secs(10);

/// The locks of one run.
pub struct PlatformLocks {
    claim: LockClaim,
    held: Vec<Held>,
    clock: Arc<dyn Clock>,
    lost: Mutex<Option<(Name, PlatformLock)>>,
}

/// One lock that was acquired.
struct Held {
    subject: Name,
    door: Arc<dyn Door>,
    place: String,
    epoch: u64,
    confirmed: Mutex<Moment>,
}

/// Where a component's lock is asked for.
trait Door: Send + Sync {
    /// Nothing if the platform has no lock.
    fn acquire(&self, claim: LockClaim) -> BoxFuture<'_, Result<Option<PlatformLock>, Error>>;
    fn renew(&self, claim: LockClaim, epoch: u64) -> BoxFuture<'_, Result<PlatformLock, Error>>;
    fn release(&self, holder: String, epoch: u64) -> BoxFuture<'_, Result<(), Error>>;
}

/// The door that a component's plugin is.
struct Asked {
    plugin: Plugin,
    session: Session,
    operation: Operation,
    /// Nobody cancels it: whoever stops a step still has to hold, and to let go of, its lock.
    _cancel: watch::Sender<bool>,
}

/// A moment by both clocks.
#[derive(Clone, Copy)]
struct Moment {
    by_wall: Timestamp,
    steady: Duration,
}

impl PlatformLocks {
    /// Takes the locks of a stack's components for a run. `fence` says whether the host's own lock
    /// is still held.
    ///
    /// # Errors
    /// [`Error::LockedElsewhere`] naming the holder; [`Error::WorkedOnSince`] if the run was begun
    /// before and somebody who is not `known` held a lock in between; [`Error::Call`]. Whatever was
    /// acquired is let go then.
    pub async fn acquire(
        platform: &Platform,
        fence: Fence,
        run: &str,
        resumes: bool,
        known: &[String],
    ) -> Result<Self, Error> {
        let machinery = &platform.machinery;
        let claim = LockClaim {
            holder: holder_of(&platform.project.stack.name, run),
            owner: machinery.owner.to_string(),
            seconds: u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX),
        };
        let mode = Mode::Change { fence };
        let mut doors: Vec<(Name, Arc<dyn Door>)> = Vec::new();
        for name in platform.project.stack.components.keys() {
            doors.push((name.clone(), Arc::new(platform.asked_of_lock(name, mode.clone())?)));
        }
        let mut locks = Self::none(claim, machinery.clock.clone());
        match locks.take_all(doors, known).await {
            Ok(Some((subject, holder))) if resumes => {
                locks.release().await;
                Err(Error::WorkedOnSince { run: run.to_owned(), subject, holder })
            }
            Ok(_) => Ok(locks),
            Err(error) => {
                locks.release().await;
                Err(error)
            }
        }
    }

    /// No lock, for work that changes nothing at a platform.
    #[must_use]
    pub fn without(clock: Arc<dyn Clock>) -> Self {
        Self::none(LockClaim { holder: String::new(), owner: String::new(), seconds: 0 }, clock)
    }

    fn none(claim: LockClaim, clock: Arc<dyn Clock>) -> Self {
        Self { claim, held: Vec::new(), clock, lost: Mutex::default() }
    }

    /// Takes each lock; says of which somebody who is neither this run nor `known` was the last
    /// holder.
    async fn take_all(
        &mut self,
        doors: Vec<(Name, Arc<dyn Door>)>,
        known: &[String],
    ) -> Result<Option<(Name, String)>, Error> {
        let mut others = None;
        for (subject, door) in doors {
            let before = self.take(&subject, door).await?;
            let unknown = before.filter(|before| !self.is_known(before, known));
            others = others.or(unknown.map(|holder| (subject, holder)));
        }
        Ok(others)
    }

    /// Takes one lock; says who held it before. Nothing if the platform has none.
    async fn take(&mut self, subject: &Name, door: Arc<dyn Door>) -> Result<Option<String>, Error> {
        let began = self.now();
        let Some(lock) = door.acquire(self.claim.clone()).await? else { return Ok(None) };
        if lock.holder.as_ref() != Some(&self.claim.holder) {
            let (subject, lock) = (subject.clone(), Box::new(lock));
            return Err(Error::LockedElsewhere { subject, lock });
        }
        // Two components at one place have one lock, and its last epoch is the one that counts.
        let twin = self.held.iter().position(|its| its.place == lock.place);
        let before = lock.before.filter(|_| twin.is_none());
        if let Some(twin) = twin {
            self.held.remove(twin);
        }
        let (subject, confirmed) = (subject.clone(), Mutex::new(began));
        self.held.push(Held { subject, door, place: lock.place, epoch: lock.epoch, confirmed });
        Ok(before)
    }

    fn is_known(&self, holder: &str, known: &[String]) -> bool {
        holder == self.claim.holder || known.iter().any(|its| its == holder)
    }

    /// Refuses if a lock was lost or may have run out since it was last confirmed.
    ///
    /// # Errors
    /// A sentence that says which.
    pub fn fence(&self) -> Result<(), String> {
        self.not_lost().map_err(|error| error.to_string())?;
        match self.held.iter().find(|its| self.age(its) + MARGIN >= LIFETIME) {
            None => Ok(()),
            Some(held) => Err(format!(
                "the lock of {} at the platform ({}) could not be renewed for {} s, so others may \
                 be at work",
                held.subject,
                held.place,
                self.age(held).as_secs()
            )),
        }
    }

    /// Makes sure that every lock is still held, before something is changed.
    ///
    /// # Errors
    /// [`Error::Overtaken`] naming who took it; [`Error::Call`] if the platform cannot be asked.
    pub async fn confirm(&self) -> Result<(), Error> {
        self.not_lost()?;
        self.renew_older_than(FRESH).await
    }

    /// Renews every lock. What cannot be renewed now is tried again with the next call, and noticed
    /// by [`PlatformLocks::fence`] when its time is over.
    pub async fn renew(&self) {
        if self.not_lost().is_ok() {
            // A lock that was lost is remembered, and found out before the next change.
            drop(self.renew_older_than(Duration::ZERO).await);
        }
    }

    async fn renew_older_than(&self, age: Duration) -> Result<(), Error> {
        let mut asking = JoinSet::new();
        for (place, held) in self.held.iter().enumerate().filter(|(_, its)| self.age(its) >= age) {
            let (door, claim, epoch) = (held.door.clone(), self.claim.clone(), held.epoch);
            let began = self.now();
            asking.spawn(async move { (place, began, door.renew(claim, epoch).await) });
        }
        let mut failed = None;
        while let Some(asked) = asking.join_next().await {
            let Ok((place, began, answer)) = asked else { continue };
            let Some(held) = self.held.get(place) else { continue };
            match answer {
                Ok(lock) => self.heard(held, began, lock),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.not_lost()?;
        failed.map_or(Ok(()), Err)
    }

    fn heard(&self, held: &Held, began: Moment, lock: PlatformLock) {
        if lock.epoch == held.epoch && lock.holder.as_ref() == Some(&self.claim.holder) {
            *held.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = began;
            return;
        }
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert((held.subject.clone(), lock));
    }

    /// Lets go of every lock. What cannot be reached runs out by itself.
    pub async fn release(&self) {
        let mut letting_go = JoinSet::new();
        for held in &self.held {
            let (door, holder, epoch) = (held.door.clone(), self.claim.holder.clone(), held.epoch);
            letting_go.spawn(async move {
                let released = tokio::time::timeout(RELEASED_WITHIN, door.release(holder, epoch));
                drop(released.await);
            });
        }
        while letting_go.join_next().await.is_some() {}
    }

    fn not_lost(&self) -> Result<(), Error> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match lost.as_ref() {
            None => Ok(()),
            Some((subject, lock)) => {
                Err(Error::Overtaken { subject: subject.clone(), lock: Box::new(lock.clone()) })
            }
        }
    }

    fn age(&self, held: &Held) -> Duration {
        let confirmed = *held.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        let by_wall = self.clock.now().duration_since(confirmed.by_wall);
        let by_wall = Duration::try_from(by_wall).unwrap_or(Duration::ZERO);
        by_wall.max(self.clock.monotonic().saturating_sub(confirmed.steady))
    }

    fn now(&self) -> Moment {
        Moment { by_wall: self.clock.now(), steady: self.clock.monotonic() }
    }
}

impl Door for Asked {
    fn acquire(&self, claim: LockClaim) -> BoxFuture<'_, Result<Option<PlatformLock>, Error>> {
        Box::pin(async move {
            let Self { plugin, session, operation, .. } = self;
            match plugin.deploy_acquire_lock(session, operation, &claim).await {
                Ok(lock) => Ok(Some(lock)),
                Err(error) if is_unsupported(&error) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn renew(&self, claim: LockClaim, epoch: u64) -> BoxFuture<'_, Result<PlatformLock, Error>> {
        Box::pin(async move {
            let Self { plugin, session, operation, .. } = self;
            Ok(plugin.deploy_renew_lock(session, operation, &claim, epoch).await?)
        })
    }

    fn release(&self, holder: String, epoch: u64) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let Self { plugin, session, operation, .. } = self;
            Ok(plugin.deploy_release_lock(session, operation, &holder, epoch).await?)
        })
    }
}

impl Platform {
    /// Refuses while somebody else holds a component at its platform: asked when a plan cannot be
    /// made, since what is observed in the middle of another run looks like a fault. What cannot be
    /// asked is passed over.
    ///
    /// # Errors
    /// [`Error::LockedElsewhere`] naming the holder.
    pub async fn require_unlocked(&self) -> Result<(), Error> {
        for subject in self.project.stack.components.keys() {
            let Ok(Some(lock)) = self.lock_of(subject).await else { continue };
            if lock.holder.is_some() && lock.seconds_left > 0 {
                let (subject, lock) = (subject.clone(), Box::new(lock));
                return Err(Error::LockedElsewhere { subject, lock });
            }
        }
        Ok(())
    }

    /// The components' locks at their platforms; those of platforms without one are left out.
    ///
    /// # Errors
    /// [`Error::Call`] when a platform cannot be asked.
    pub async fn locks(&self) -> Result<Vec<(Name, PlatformLock)>, Error> {
        let mut locks = Vec::new();
        for name in self.project.stack.components.keys() {
            locks.extend(self.lock_of(name).await?.map(|lock| (name.clone(), lock)));
        }
        Ok(locks)
    }

    async fn lock_of(&self, name: &Name) -> Result<Option<PlatformLock>, Error> {
        let asked = self.asked_of_lock(name, Mode::ReadOnly)?;
        match asked.plugin.deploy_lock_state(&asked.session, &asked.operation).await {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if is_unsupported(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets go of a component's lock in its holder's name: a person says that the holder is gone.
    ///
    /// # Errors
    /// [`Error::Call`] when the platform cannot be asked or refuses.
    pub async fn break_lock(&self, name: &Name, lock: &PlatformLock) -> Result<(), Error> {
        let Some(holder) = &lock.holder else { return Ok(()) };
        // A person's own command needs no lock: the holder and epoch that were read decide.
        let mode = Mode::Change { fence: Arc::new(|| Ok(())) };
        self.asked_of_lock(name, mode)?.release(holder.clone(), lock.epoch).await
    }

    fn asked_of_lock(&self, name: &Name, mode: Mode) -> Result<Asked, Error> {
        let call = Call {
            subject: name,
            target: &Target::Live,
            key: "lock",
            within: ASKED_WITHIN,
            releases: Releases::default(),
        };
        let mut session = self.session(mode, Artifacts::None, Arc::new(Unheard));
        let (cancel, cancelled) = watch::channel(false);
        session.cancel = cancelled;
        Ok(Asked {
            plugin: self.plugin(name)?.clone(),
            session,
            operation: self.operation(&call)?,
            _cancel: cancel,
        })
    }
}

/// What a run of a stack is called at a platform.
#[must_use]
pub fn holder_of(stack: &Name, run: &str) -> String {
    format!("{stack}.{run}")
}

#[cfg(test)]
mod tests;
