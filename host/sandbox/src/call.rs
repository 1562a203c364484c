//! One call: a fresh instance, watched while it runs, thrown away afterwards.
//!
//! Invariants:
//! - A call ends at the latest [`DEADLINE_GRACE_MS`] after the operation's deadline, and
//!   [`CANCEL_GRACE_MS`] after it was cancelled, whatever guest, platform or host function does:
//!   the future that runs it is dropped, and with it the instance, its commands and handles.
//! - A guest that computes is looked at every tick. It yields to the executor then, so that the
//!   first rule holds on a single thread too, and is ended after [`BUSY_MS_MAX`] of occupying a
//!   processor. Waiting does not count: only the time within `poll` does.
//! - Whatever happens in the guest becomes an error that names plugin and function.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use model::contract::{Interface, Operation, PluginError, Target};
use model::pattern::shown;
use tokio::sync::watch;
use wasmtime::component::ResourceTableError;
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::bindings::host::vaultup::plugin::types as wit;
use crate::command::is_granted_prefix;
use crate::convert::{FromAnswer, Reader};
use crate::error::{CallError, Context as CallContext};
use crate::limits::{
    BUSY_MS_MAX, CANCEL_GRACE_MS, DEADLINE_GRACE_MS, DEADLINE_MS_MAX, Exceeded, HANDLES_MAX, Limit,
    TRANSFER_BYTES_MAX,
};
use crate::plugin::Plugin;
use crate::session::{Mode, Session};
use crate::state::{Facts, State};

/// A function of the contract.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    pub(crate) interface: Interface,
    /// As in `deploy.apply`.
    pub(crate) name: &'static str,
    pub(crate) effect: Effect,
}

/// What a function may do, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes nothing: every effect of the class `change` is refused in it, in every mode.
    Reads,
    /// It may change something.
    Changes,
    /// As `Changes`, and it may make artifacts.
    Takes,
    /// As `Changes`, and only on a copy.
    Discards,
}

/// What the guest gave: a value, or the contract's error.
type Answer<A> = wasmtime::Result<Result<A, wit::Error>>;

impl Plugin {
    /// Refuses what can be refused without asking the guest.
    pub(crate) fn permit<'a, W>(
        &self,
        function: Function,
        world: Option<&'a W>,
        session: &Session,
        operation: &Operation,
    ) -> Result<&'a W, CallError> {
        let refuse = |reason: &str| CallError::Refused {
            context: self.context(function),
            reason: reason.to_owned(),
        };
        let Some(world) = world else {
            return Err(CallError::NotExported {
                context: self.context(function),
                interface: function.interface,
            });
        };
        if function.effect != Effect::Reads && matches!(session.mode, Mode::ReadOnly) {
            return Err(refuse("nothing may be changed now"));
        }
        if function.effect == Effect::Discards && operation.target == Target::Live {
            return Err(refuse("the live stack is never discarded, only copies of it"));
        }
        Ok(world)
    }

    /// Runs one function in an instance of its own.
    pub(crate) async fn run<A, T, F>(
        &self,
        function: Function,
        session: &Session,
        operation: &Operation,
        call: impl FnOnce(Store<State>) -> F,
    ) -> Result<T, CallError>
    where
        T: FromAnswer<A>,
        F: Future<Output = Answer<A>>,
    {
        let context = self.context(function);
        let within = Duration::from_millis(operation.deadline_ms.min(DEADLINE_MS_MAX));
        let deadline = Instant::now() + within;
        let ticking = self.inner.ticker.start();
        let _ticking = ticking.map_err(|source| CallError::NoTicks {
            context: context.clone(),
            source: Arc::new(source),
        })?;
        let busy = Arc::new(Busy::default());
        let state = State::new(&self.inner, function, session, operation, deadline);
        let said = state.said();
        let call = std::pin::pin!(call(self.store(state, &busy)));
        let answer = tokio::select! {
            biased;
            answer = Metered { busy: &busy, call } => answer,
            () = tokio::time::sleep_until((deadline + GRACE).into()) => {
                let deadline_ms = operation.deadline_ms;
                return Err(CallError::Deadline { context, deadline_ms, said: said.end(session) });
            }
            () = cancelled_for_long(session.cancel.clone()) => {
                return Err(CallError::Plugin { context, error: PluginError::Cancelled });
            }
        };
        let reader = Reader { redactor: &session.redactor };
        match answer {
            Ok(Ok(answer)) => T::from_answer(answer, &reader)
                .map_err(|reason| CallError::Answer { context, reason }),
            Ok(Err(error)) => Err(CallError::Plugin { context, error: reader.error(&error) }),
            Err(error) => Err(ended(context, &error, said.end(session), &reader)),
        }
    }

    pub(crate) fn check_prefix(
        &self,
        session: &Session,
        operation: &Operation,
        prefix: &[String],
    ) -> Result<(), CallError> {
        let effect = Effect::Reads;
        let function = Function { interface: Interface::Deploy, name: "deploy.inside", effect };
        let facts = Facts::new(&self.inner, function, session, operation, Instant::now());
        match is_granted_prefix(&facts, prefix) {
            true => Ok(()),
            false => Err(CallError::Answer {
                context: self.context(function),
                reason: format!(
                    "a prefix that it may not run itself: `{}`",
                    shown(&prefix.join(" "))
                ),
            }),
        }
    }

    fn context(&self, function: Function) -> CallContext {
        CallContext { plugin: self.name().clone(), function: function.name }
    }

    fn store(&self, state: State, busy: &Arc<Busy>) -> Store<State> {
        let mut store = Store::new(&self.inner.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(TRANSFER_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        let busy = Arc::clone(busy);
        store.epoch_deadline_callback(move |_| match busy.total() > BUSY_MAX {
            true => Err(wasmtime::Error::new(Exceeded(Limit::Busy))),
            false => Ok(UpdateDeadline::Yield(1)),
        });
        store
    }
}

const BUSY_MAX: Duration = Duration::from_millis(BUSY_MS_MAX);
const GRACE: Duration = Duration::from_millis(DEADLINE_GRACE_MS);

/// Ends when the operation was cancelled and the guest has had its time to stop.
async fn cancelled_for_long(mut cancel: watch::Receiver<bool>) {
    // The guard of the value must not be held across the next wait.
    let cancelled = cancel.wait_for(|cancelled| *cancelled).await.is_ok();
    match cancelled {
        true => {}
        // Whoever could cancel is gone, so nobody will.
        false => std::future::pending::<()>().await,
    }
    tokio::time::sleep(Duration::from_millis(CANCEL_GRACE_MS)).await;
}

/// How long a call has occupied a processor.
#[derive(Default)]
struct Busy {
    /// Nanoseconds of the polls that ended.
    ended: AtomicU64,
    /// Start of the poll that goes on, in nanoseconds since [`Busy::origin`], plus one; 0: none.
    since: AtomicU64,
    origin: Origin,
}

struct Origin(Instant);

impl Default for Origin {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Busy {
    /// Called from within a poll, by the thread that polls.
    fn total(&self) -> Duration {
        let going_on = match self.since.load(Ordering::Relaxed) {
            0 => 0,
            since => self.now().saturating_sub(since - 1),
        };
        Duration::from_nanos(self.ended.load(Ordering::Relaxed) + going_on)
    }

    fn begin(&self) {
        self.since.store(self.now() + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        let total = self.total();
        self.since.store(0, Ordering::Relaxed);
        self.ended.store(nanoseconds(total), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        nanoseconds(self.origin.0.elapsed())
    }
}

/// A call lives for a week at most, and 64 bits of nanoseconds are 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Measures how long polling takes.
struct Metered<'a, F> {
    busy: &'a Busy,
    call: F,
}

impl<F: Future + Unpin> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.busy.begin();
        let polled = Pin::new(&mut self.call).poll(context);
        self.busy.end();
        polled
    }
}

/// What to call the end of a guest that did not answer.
fn ended(
    context: CallContext,
    error: &wasmtime::Error,
    said: String,
    reader: &Reader<'_>,
) -> CallError {
    if let Some(limit) = limit(error) {
        return CallError::Limit { context, limit };
    }
    let reason = match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        Some(exit) => format!("it exited with status {}", exit.0),
        None => reader.short(&error.root_cause().to_string()),
    };
    CallError::Trap { context, reason, said }
}

/// Which limit ended a guest, if one did. Wasmtime says some of them only in words; the tests in
/// [`crate::limits`] notice when it changes these.
pub(crate) fn limit(error: &wasmtime::Error) -> Option<Limit> {
    const SAID: [(&str, Limit); 5] = [
        ("store handle limit exceeded", Limit::Handles),
        ("fuel allocated for hostcalls has been exhausted", Limit::Transfer),
        ("resource limit exceeded: instance", Limit::Instances),
        ("resource limit exceeded: memory", Limit::Memory),
        ("resource limit exceeded: table", Limit::Tables),
    ];
    if let Some(Exceeded(limit)) = error.downcast_ref::<Exceeded>() {
        return Some(*limit);
    }
    if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        return Some(Limit::Stack);
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Some(Limit::Handles);
    }
    let said = error.root_cause().to_string();
    SAID.into_iter().find(|(words, _)| said.contains(words)).map(|(_, limit)| limit)
}
