//! The loop that carries a run out: journal the intent, perform, journal the outcome, say so.
//!
//! Invariants:
//! - The intent is durable before anything happens, the outcome before anything else begins.
//! - An effect that was begun by an earlier process is recovered, never performed anew as it is.
//! - Losing the lock, or the journal's disk, ends the loop at once with an error: what stands in
//!   the journal is then true, and `resume` goes on from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::act::Outcome;
use engine::machine::{Effect, Ending, Event, Machine, Request};
use engine::plan::{Intent as PlanIntent, Plan};
use model::Name;
use system::places::Places;
use tokio::task::JoinHandle;
use vault::Vault;

use crate::barrier::Instant;
use crate::error::Error;
use crate::flags;
use crate::news::{self, News};
use crate::perform::Worker;
use crate::platform::{Machinery, Platform, releases_of};
use crate::platform_lock::{PlatformLocks, holder_of};
use crate::project::Project;
use crate::record::{Beginning, Ended, Intent, Rehearsed, Run, replay, standing_run};
use crate::status::{backup_of, next_commands};
use crate::writer::{RENEWAL, Writer, is_alive};

/// File in a stack's state directory by which another process asks the run to hold.
pub const HOLD_REQUESTED: &str = "hold-requested";

/// A run that is being carried out, with all that it needs.
pub struct Carrier {
    worker: Worker,
    machine: Machine,
    renewal: JoinHandle<()>,
    state_directory: PathBuf,
}

/// Where journals lie, one directory a stack.
#[must_use]
pub fn stacks_directory(places: &Places) -> PathBuf {
    places.state.join("stacks")
}

/// Where a stack's journal lies.
#[must_use]
pub fn state_directory(machinery: &Machinery, stack: &Name) -> PathBuf {
    stacks_directory(&machinery.places).join(stack.as_str())
}

/// Begins a run of a plan.
///
/// # Errors
/// [`Error::Unfinished`] while an earlier run has not ended (a restore may follow one that holds);
/// [`Error::Journal`] and [`Error::LockedElsewhere`] while somebody else holds a lock.
pub async fn begin(platform: Platform, vault: Vault, plan: Plan) -> Result<Carrier, Error> {
    let (directory, writer) = take(&platform.machinery, &platform.project)?;
    if let Some(last) = standing_run(&writer.journal())? {
        refuse_unfinished(&last, &plan)?;
    }
    let plan_id = plan.id().map_err(not_json)?;
    let clock = platform.machinery.clock.now();
    let seed = format!("{plan_id} {clock} {}", platform.machinery.owner.process_id);
    let run = blake3::hash(seed.as_bytes()).to_hex()[..8].to_owned();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let beginning = Beginning { plan: plan.clone(), plan_id, vaultup: version };
    flags::remember(&directory, &platform.project)?;
    let writer = Arc::new(writer);
    let locks = PlatformLocks::acquire(&platform, fence_of(&writer), &run, false, &[]).await?;
    if let Err(error) = writer.append(&run, "run-begun", &beginning) {
        locks.release().await;
        return Err(error);
    }
    let (machine, _) = Machine::begin(plan);
    let run = Run { id: run, machine, began: clock, last: clock };
    carrier(platform, vault, (writer, locks), directory, run).await
}

/// Takes up the last run, after a crash or a hold.
///
/// # Errors
/// [`Error::NothingToResume`] when there is none; [`Error::Journal`] and [`Error::LockedElsewhere`]
/// while somebody else holds a lock; [`Error::WorkedOnSince`], once, if somebody did in between.
pub async fn take_up(platform: Platform, vault: Vault) -> Result<Carrier, Error> {
    let (directory, writer) = take(&platform.machinery, &platform.project)?;
    let nothing = |why: &str| Error::NothingToResume { what: "resume", why: why.to_owned() };
    let last = standing_run(&writer.journal())?.ok_or_else(|| nothing("no run was ever begun"))?;
    let own = writer.journal().runs()?;
    let stack = &platform.project.stack.name;
    let known: Vec<String> = own.iter().map(|run| holder_of(stack, &run.id)).collect();
    let writer = Arc::new(writer);
    let fence = fence_of(&writer);
    let locks = PlatformLocks::acquire(&platform, fence, &last.id, true, &known).await?;
    carrier(platform, vault, (writer, locks), directory, last).await
}

/// The run of this id, or the last one that begins with it.
///
/// # Errors
/// [`Error::NoSuchRun`].
pub fn run_named(journal: &journal::Journal, id: &str) -> Result<Run, Error> {
    let runs = journal.runs()?;
    let named = runs.iter().rev().find(|run| run.id.starts_with(id));
    let id = named.map(|run| run.id.clone()).ok_or_else(|| Error::NoSuchRun(id.to_owned()))?;
    let records = journal.records(Some(&id))?;
    replay(&records)?.ok_or(Error::NoSuchRun(id))
}

impl Carrier {
    /// The run as it stands.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.worker.run
    }

    /// Records what a person asks for.
    ///
    /// # Errors
    /// [`Error::Refused`] when it makes no sense now.
    pub fn ask(&mut self, request: Request) -> Result<(), Error> {
        let now = self.worker.platform.machinery.clock.now();
        self.machine.clone().handle(Event::Asked(request.clone()), now)?;
        let at = self.worker.writer.append(&self.worker.run, "asked", &request)?;
        self.machine.handle(Event::Asked(request), at)?;
        Ok(())
    }

    /// Brings a run that was interrupted to rest: the effect under way is found out, and nothing
    /// else is begun but the removal of a rehearsal's copy, which carrying it out completes.
    ///
    /// # Errors
    /// As [`Carrier::carry_out`].
    pub async fn settle(&mut self) -> Result<(), Error> {
        if let Some(effect) = self.machine.in_flight().cloned()
            && self.machine.in_flight_is_begun()
        {
            self.one(&effect).await?;
        }
        let goes_on = self.machine.ending().is_none() && !self.machine.is_cleaning_up();
        if goes_on { self.ask(Request::Hold) } else { Ok(()) }
    }

    /// Carries the run out until it ends.
    ///
    /// # Errors
    /// Only what makes it impossible to go on truthfully: the lock or the journal is lost.
    pub async fn carry_out(mut self) -> Result<Machine, Error> {
        let carried_out = self.until_it_ends().await;
        let (machine, released) = self.let_go().await;
        carried_out?;
        released?;
        Ok(machine)
    }

    /// Gives the locks back without doing anything.
    pub async fn give_up(self) {
        // What is not given back runs out by itself.
        drop(self.let_go().await);
    }

    async fn let_go(self) -> (Machine, Result<(), Error>) {
        let Self { worker, machine, renewal, .. } = self;
        renewal.abort();
        worker.locks.release().await;
        let released = match Arc::try_unwrap(worker.into_writer()) {
            Ok(writer) => writer.release(),
            Err(_) => Ok(()),
        };
        (machine, released)
    }

    async fn until_it_ends(&mut self) -> Result<(), Error> {
        let began = std::time::Instant::now();
        let steps = self.machine.remaining().len();
        let resumed = self.machine.in_flight().is_none_or(|effect| effect.number > 1)
            || self.machine.in_flight_is_begun();
        self.tell(&news::run(&self.worker.run, self.machine.plan(), steps, resumed));
        while let Some(effect) = self.machine.in_flight().cloned() {
            let may_stop = !self.machine.in_flight_is_begun() && !self.machine.is_cleaning_up();
            if may_stop && self.hold_requested() {
                self.ask(Request::Hold)?;
                continue;
            }
            self.one(&effect).await?;
        }
        self.end(began.elapsed())
    }

    /// One effect, from its intent to its outcome.
    async fn one(&mut self, effect: &Effect) -> Result<(), Error> {
        let began = std::time::Instant::now();
        let recovered = self.machine.in_flight_is_begun();
        let barrier = self.worker.platform.machinery.barrier.clone();
        if !recovered {
            let intent = Intent {
                effect: effect.number,
                key: self.worker.key(effect),
                what: format!("{} {}", effect.step.act.phase(), effect.step.act),
            };
            let at = self.worker.writer.append(&self.worker.run, "begun", &intent)?;
            self.machine.handle(Event::Begun { effect: effect.number }, at)?;
        }
        self.tell(&news::begun(effect));
        let outcome = if recovered {
            self.worker.recover(&self.machine, effect).await?
        } else {
            barrier.reached(Instant::Before, effect.number);
            self.worker.perform(&self.machine, effect).await?
        };
        barrier.reached(Instant::Unrecorded, effect.number);
        let elapsed = began.elapsed();
        self.record(effect, outcome, recovered, elapsed)?;
        barrier.reached(Instant::Recorded, effect.number);
        Ok(())
    }

    fn record(
        &mut self,
        effect: &Effect,
        outcome: Outcome,
        recovered: bool,
        elapsed: Duration,
    ) -> Result<(), Error> {
        let heard = self.worker.take_heard();
        let ended = Ended {
            effect: effect.number,
            outcome: outcome.clone(),
            milliseconds: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            recovered,
            commands: heard.commands,
            log: heard.log,
        };
        let at = self.worker.writer.append(&self.worker.run, "finished", &ended)?;
        let decided = self.machine.decision().cloned();
        let event = Event::Finished { effect: effect.number, outcome: outcome.clone() };
        self.machine.handle(event, at)?;
        self.tell(&news::ended(effect, &outcome, elapsed));
        if let Some(decision) = self.machine.decision().cloned()
            && Some(&decision) != decided.as_ref()
        {
            self.worker.writer.append(&self.worker.run, "decided", &decision)?;
            self.tell(&News::Decided {
                choice: decision.choice().to_string(),
                reason: decision.reason(),
                decision,
            });
        }
        Ok(())
    }

    /// What is left to be recorded and told when the run has ended.
    fn end(&mut self, elapsed: Duration) -> Result<(), Error> {
        let Some(ending) = self.machine.ending().cloned() else { return Ok(()) };
        self.worker.writer.append(&self.worker.run, "ended", &ending)?;
        let plan = self.machine.plan();
        if plan.intent == PlanIntent::Rehearsal && ending == Ending::Upgraded {
            let ran = self.machine.facts().previous_failed.is_empty();
            let names = plan.datastores.keys().filter(|_| ran).cloned();
            let rehearsed = Rehearsed {
                from: plan.from.clone(),
                to: plan.to.clone(),
                previous_runs_on: names.collect(),
            };
            self.worker.writer.append(&self.worker.run, "rehearsed", &rehearsed)?;
        }
        let lost = self.machine.decision().filter(|_| ending == Ending::RolledBack);
        let lost = lost.map(|decision| decision.lost()).unwrap_or_default();
        self.tell(&News::Over {
            run: self.worker.run.clone(),
            ending,
            state: self.machine.state().to_owned(),
            backup: backup_of(&self.machine).map(str::to_owned),
            aside: self.machine.facts().aside.clone(),
            next: next_commands(&self.machine),
            lost_ms: u64::try_from(lost.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX),
            elapsed,
        });
        Ok(())
    }

    fn hold_requested(&self) -> bool {
        let by_signal = *self.worker.platform.machinery.hold.borrow();
        let by_file = std::fs::remove_file(self.state_directory.join(HOLD_REQUESTED)).is_ok();
        by_signal || by_file
    }

    fn tell(&self, news: &News) {
        self.worker.platform.machinery.listener.hear(news);
    }
}

/// Asks the run that another process carries out to hold before its next effect.
///
/// # Errors
/// [`Error::NothingToResume`] when nobody carries a run out.
pub fn request_hold(machinery: &Machinery, stack: &Name) -> Result<journal::Holder, Error> {
    let directory = state_directory(machinery, stack);
    let journal = journal::Journal::open_read_only(&directory)?;
    let holder = journal.holder()?.filter(|holder| is_alive(&holder.owner));
    let holder = holder.ok_or_else(|| Error::NothingToResume {
        what: "hold",
        why: "nobody carries a run of this stack out".to_owned(),
    })?;
    let path = directory.join(HOLD_REQUESTED);
    std::fs::write(&path, b"").map_err(|source| Error::Unwritable { path, source })?;
    Ok(holder)
}

fn take(machinery: &Machinery, project: &Project) -> Result<(PathBuf, Writer), Error> {
    let directory = state_directory(machinery, &project.stack.name);
    let writer = Writer::take(&directory, &machinery.owner, machinery.clock.clone())?;
    Ok((directory, writer))
}

async fn carrier(
    mut platform: Platform,
    vault: Vault,
    (writer, locks): (Arc<Writer>, PlatformLocks),
    state_directory: PathBuf,
    run: Run,
) -> Result<Carrier, Error> {
    let releases = match releases_of(&mut platform.project, run.machine.plan()) {
        Ok(releases) => releases,
        Err(error) => {
            locks.release().await;
            return Err(error);
        }
    };
    forget_old_request(&state_directory);
    let locks = Arc::new(locks);
    let renewed = (Arc::downgrade(&writer), Arc::downgrade(&locks));
    let renewal = tokio::spawn(async move {
        loop {
            tokio::time::sleep(RENEWAL).await;
            let (Some(writer), Some(locks)) = (renewed.0.upgrade(), renewed.1.upgrade()) else {
                return;
            };
            // A lease that cannot be renewed is found out at the next fence.
            if writer.renew().is_err() {
                return;
            }
            drop(writer);
            locks.renew().await;
        }
    });
    let worker = Worker::new(platform, vault, writer, locks, run.id, releases);
    Ok(Carrier { worker, machine: run.machine, renewal, state_directory })
}

/// Whether the host's own lock is held, for plugins.
fn fence_of(writer: &Arc<Writer>) -> sandbox::Fence {
    let writer = Arc::downgrade(writer);
    Arc::new(move || match writer.upgrade() {
        Some(writer) => writer.fence().map_err(|error| error.to_string()),
        None => Err("the run is over".to_owned()),
    })
}

/// A request to hold is for the run that was under way when it was made.
fn forget_old_request(directory: &Path) {
    drop(std::fs::remove_file(directory.join(HOLD_REQUESTED)));
}

fn refuse_unfinished(last: &Run, plan: &Plan) -> Result<(), Error> {
    let unfinished = |state| Err(Error::Unfinished { run: last.id.clone(), state });
    match last.machine.ending() {
        None => unfinished("unfinished"),
        Some(Ending::Held(_)) if plan.intent == PlanIntent::Restore => Ok(()),
        Some(Ending::Held(_)) => unfinished("held"),
        Some(_) => Ok(()),
    }
}

fn not_json(error: serde_json::Error) -> Error {
    Error::Record { sequence: 0, reason: error.to_string() }
}
