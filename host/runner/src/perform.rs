//! One effect, carried out by a plugin, the vault or the system.
//!
//! A function that can destroy data asks for [`ProvenSet`]: a value that only this module makes,
//! and only from proofs that the vault has looked at. There is no other way to call it.

pub(crate) mod backup;
pub mod check;
mod deploy;
mod listen;
mod migrate;
mod restore;
mod verify;

use std::sync::{Arc, Mutex, PoisonError};

use engine::act::{Act, Answer, Failure, Outcome, Repeat};
use engine::machine::{Effect, Machine};
use engine::plan::Step;
use model::Name;
use model::Problem;
use model::contract::{Schema, Target};
use model::release::Release;
use sandbox::{Artifacts, CallError, Mode, Session};
use tokio::sync::watch;
use vault::Vault;

pub use backup::ProvenSet;
pub use listen::{Ear, Heard};

use crate::error::{Error, failures};
use crate::operation::{Call, Releases};
use crate::platform::Platform;
use crate::platform_lock::PlatformLocks;
use crate::writer::Writer;

/// Carries effects of one run out.
pub struct Worker {
    /// The plugins.
    pub platform: Platform,
    /// The backups.
    pub vault: Vault,
    /// The journal under its lock.
    pub writer: Arc<Writer>,
    /// The locks at the platforms.
    pub locks: Arc<PlatformLocks>,
    /// The run's id.
    pub run: String,
    previous: Option<Release>,
    next: Option<Release>,
    heard: Arc<Mutex<Heard>>,
}

impl Worker {
    /// A worker for a run.
    #[must_use]
    pub fn new(
        platform: Platform,
        vault: Vault,
        writer: Arc<Writer>,
        locks: Arc<PlatformLocks>,
        run: String,
        releases: (Option<Release>, Option<Release>),
    ) -> Self {
        let (previous, next) = releases;
        Self { platform, vault, writer, locks, run, previous, next, heard: Arc::default() }
    }

    /// The journal, when the run is over.
    #[must_use]
    pub fn into_writer(self) -> Arc<Writer> {
        self.writer
    }

    /// The idempotency key of an effect.
    #[must_use]
    pub fn key(&self, effect: &Effect) -> String {
        format!("{}.{}", self.run, effect.key)
    }

    /// What was heard of plugins since this was last asked.
    #[must_use]
    pub fn take_heard(&self) -> Heard {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The releases of the run.
    #[must_use]
    pub fn releases(&self) -> Releases<'_> {
        Releases { previous: self.previous.as_ref(), next: self.next.as_ref(), version: None }
    }

    /// Carries an effect out.
    ///
    /// # Errors
    /// Only what makes it impossible to go on truthfully; every failure of the effect itself is an
    /// [`Outcome`].
    pub async fn perform(&self, machine: &Machine, effect: &Effect) -> Result<Outcome, Error> {
        self.writer.fence()?;
        let done = match self.confirmed(effect).await {
            Ok(()) => self.act(machine, effect).await,
            Err(trouble) => Err(trouble),
        };
        match done {
            Ok(answer) => Ok(Outcome::Done(answer)),
            Err(Trouble::Failed(failure)) => {
                // A lock that was lost in the meantime explains any failure, and must not be
                // recorded as one of the stack.
                self.writer.fence()?;
                if let Err(overtaken @ Error::Overtaken { .. }) = self.locks.confirm().await {
                    return Err(overtaken);
                }
                Ok(Outcome::Failed(failure))
            }
            Err(Trouble::Fatal(error)) => Err(error),
        }
    }

    /// That the locks at the platforms are still held, if the effect changes something there. A
    /// platform that cannot be asked is a failure like any other: the engine decides.
    async fn confirmed(&self, effect: &Effect) -> Result<(), Trouble> {
        if effect.step.act.repeat() == Repeat::Freely {
            return Ok(());
        }
        Ok(self.locks.confirm().await?)
    }

    async fn act(&self, machine: &Machine, effect: &Effect) -> Result<Answer, Trouble> {
        match &effect.step.act {
            Act::Check => self.check(machine.plan()).await,
            Act::BackUp(purpose, names) => self.back_up(effect, *purpose, names, machine).await,
            Act::Prove(name, level) => self.prove(effect, name, *level, machine).await,
            Act::Migrate(migrate) => {
                let proofs = self.proven(machine)?;
                self.migrate(effect, migrate, &machine.plan().snapshot, &proofs).await
            }
            Act::CheckSchema(name, expected) => {
                let snapshot = &machine.plan().snapshot;
                self.check_schema(effect, name, expected.as_deref(), snapshot).await
            }
            Act::Verify(name, version) => self.verify(effect, name, version.as_deref()).await,
            Act::Smoke(name) => self.smoke(effect, name).await,
            Act::Survey => {
                let target = &effect.step.target;
                let survey = self.platform.survey(target, self.releases()).await?;
                Ok(Answer::Surveyed(survey))
            }
            Act::Fill(name) => self.fill(effect, name, machine).await,
            Act::Switch(name) => {
                let proofs = self.proven(machine)?;
                self.switch(effect, name, &proofs).await
            }
            Act::DiscardAside(name) if !is_live(&effect.step.target) => {
                self.discard_copy(effect, name).await
            }
            Act::DiscardAside(name) => {
                let proofs = self.proven(machine)?;
                self.discard_aside(effect, name, &proofs).await
            }
            Act::Apply(..) => {
                let proofs = self.proven(machine)?;
                self.apply(effect, &proofs).await
            }
            _ => self.deploy(effect).await,
        }
    }

    /// The schema of a datastore now; none if its plugin knows of none.
    pub(crate) async fn schema(
        &self,
        name: &Name,
        target: &Target,
    ) -> Result<Option<Schema>, Error> {
        self.platform.schema(&self.platform.quiet(), name, target, self.releases()).await
    }

    /// A session in which a plugin may change what was granted to it, while the lock is held.
    fn changing(&self, artifacts: Artifacts) -> Session {
        let (writer, locks) = (self.writer.clone(), self.locks.clone());
        let fence = Arc::new(move || {
            writer.fence().map_err(|error| error.to_string())?;
            locks.fence()
        });
        self.platform.session(Mode::Change { fence }, artifacts, Arc::new(self.ear()))
    }

    /// As [`Worker::changing`]. Removing a copy is not stopped by a person's second signal, which
    /// stopped the step before: what is made for a copy stays on no path. The sender must be kept.
    fn session_for(&self, step: &Step) -> (Session, watch::Sender<bool>) {
        let mut session = self.changing(Artifacts::None);
        let (sender, cancelled) = watch::channel(false);
        if !is_live(&step.target) && matches!(step.act, Act::DiscardCopy(_) | Act::DiscardAside(_))
        {
            session.cancel = cancelled;
        }
        (session, sender)
    }

    fn ear(&self) -> Ear {
        Ear::new(
            self.platform.machinery.listener.clone(),
            self.writer.clone(),
            self.run.clone(),
            self.heard.clone(),
        )
    }

    fn call<'a>(&'a self, effect: &'a Effect, subject: &'a Name, key: &'a str) -> Call<'a> {
        Call {
            subject,
            target: &effect.step.target,
            key,
            within: effect.step.within,
            releases: self.releases(),
        }
    }
}

/// Why an effect did not come to its end.
pub enum Trouble {
    /// It failed; the engine decides what follows.
    Failed(Failure),
    /// Nothing can be recorded truthfully any more.
    Fatal(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Journal(_) | Error::Record { .. } | Error::Overtaken { .. } => {
                Self::Fatal(error)
            }
            other => Self::Failed(failure_of(&other)),
        }
    }
}

impl From<vault::Error> for Trouble {
    fn from(error: vault::Error) -> Self {
        Error::from(error).into()
    }
}

/// An error that trouble outside a run amounts to.
#[must_use]
pub fn error_of(trouble: Trouble) -> Error {
    match trouble {
        Trouble::Failed(failure) => Error::act(failure),
        Trouble::Fatal(error) => error,
    }
}

/// A failure that an error of the runner amounts to.
#[must_use]
pub fn failure_of(error: &Error) -> Failure {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    Failure { code: error.code().0, message: error.to_string(), causes, unknown: false }
}

/// A failure with the number of its page.
#[must_use]
pub fn failed(code: u16, message: impl Into<String>) -> Trouble {
    Trouble::Failed(Failure { code, message: message.into(), ..Failure::default() })
}

/// A failed call of a plugin, as a failure of this kind.
#[must_use]
pub fn call_failed(code: u16, message: impl Into<String>, error: &CallError) -> Trouble {
    let message = message.into();
    match error.plugin_error() {
        Some(said) => Trouble::Failed(Failure::new(code, message, &said.said())),
        None => Trouble::Failed(Failure {
            code,
            message,
            causes: vec![error.to_string()],
            unknown: false,
        }),
    }
}

/// Whether a target is the stack that people use.
#[must_use]
pub fn is_live(target: &Target) -> bool {
    *target == Target::Live
}

/// The failure of an outcome that nobody can tell.
#[must_use]
pub fn not_known(message: impl Into<String>, seen: &str) -> Failure {
    Failure {
        code: failures::UNKNOWN,
        message: message.into(),
        causes: vec![seen.to_owned()],
        unknown: true,
    }
}
