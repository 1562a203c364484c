//! Puts releases of one component onto the platform, and takes them off again.

use crate::Error;
use crate::bindings::deploys::exports::vaultup::plugin::deploy::Guest;
#[doc(inline)]
pub use crate::bindings::deploys::exports::vaultup::plugin::deploy::{
    Change, Claim, Difference, Forecast, Instance, Inventory, Lock, Presence, Running, Severity,
    Traffic, Wave,
};
use crate::bindings::imports::vaultup::plugin::types;
use crate::operation::{Observation, Operation, Plugin, understood};

/// Puts releases of one component onto the platform, and takes them off again.
///
/// The host decides what is called, in which order and how often; a plugin reports facts and
/// carries out one call. Every changing method
/// - is idempotent under the operation's key: what is done already is left alone;
/// - returns when its effect is there, not when it was asked for;
/// - has [`Deploy::status`] as its read-only twin. After a crash the host asks the twin first.
///
/// `observe`, `way_back`, `preview`, `status`, `inside` and `lock_state` change nothing: the host
/// refuses every `change` command in them while it only checks or plans.
///
/// # A lock that every machine sees
/// The host's own lock lies in a state directory, so two machines do not see each other's. A
/// platform that has a place for a lock (Kubernetes: a Lease) gives the host one through the four
/// methods `lock_state`, `acquire_lock`, `renew_lock` and `release_lock`. A plugin for a platform
/// without one writes none of them.
///
/// # Copies
/// A rehearsal makes the same calls with [`crate::Target::Copy`]. The first of them is
/// [`Deploy::revert`] to the revision that runs live, of which the copy knows nothing yet: it puts
/// the previous release in place there, from [`Operation::previous`] and [`Operation::copied`]. The
/// last is [`Deploy::discard`], on every path. Before a rehearsal is planned the host asks
/// [`Deploy::status`] of [`Change::Discard`]: a plugin answers with an error if the copy could not
/// be made where the settings say, or is somebody else's.
pub trait Deploy: Plugin {
    /// Says what runs now. The host records it before a run, and compares with it afterwards.
    ///
    /// # Errors
    /// If the platform cannot be asked; what does not run is no error.
    fn observe(operation: &Operation<Self::Settings>) -> Result<Running, Error>;

    /// Says whether the release that runs now could be deployed again. Without a way back the host
    /// begins nothing.
    ///
    /// # Errors
    /// If the platform cannot be asked.
    fn way_back(operation: &Operation<Self::Settings>) -> Result<Inventory, Error>;

    /// Says what [`Deploy::apply`] of the last wave would change. The plan shows it; a blocking
    /// difference stops it.
    ///
    /// # Errors
    /// If the platform cannot be asked.
    fn preview(operation: &Operation<Self::Settings>) -> Result<Forecast, Error>;

    /// The read-only twin of every changing method: what the platform knows of `change`. On
    /// `Done` the host goes on; otherwise it may make the call (again), except on `InProgress`,
    /// which it waits for, and `Unknown`, on which it holds.
    ///
    /// # Errors
    /// If the platform cannot be asked.
    fn status(operation: &Operation<Self::Settings>, change: Change) -> Result<Observation, Error>;

    /// Brings the next release's artifact to the platform without using it.
    ///
    /// # Errors
    /// If it cannot be had.
    fn prefetch(operation: &Operation<Self::Settings>) -> Result<(), Error>;

    /// Makes [`Wave::instances`] instances run the next release and waits until they are ready. If
    /// the component was stopped, this starts them. Other instances are left as they are.
    ///
    /// # Errors
    /// With the platform's reason for the first instance that does not become ready. What was
    /// changed stays as it is: the host observes and decides.
    fn apply(operation: &Operation<Self::Settings>, wave: Wave) -> Result<(), Error>;

    /// Stops every instance gracefully and waits until none is left. How many there were is
    /// remembered by the host.
    ///
    /// # Errors
    /// If one of them still runs.
    fn stop(operation: &Operation<Self::Settings>) -> Result<(), Error>;

    /// Starts `instances` instances of whatever release is in place and waits until they are ready.
    ///
    /// # Errors
    /// If one of them does not become ready.
    fn start(operation: &Operation<Self::Settings>, instances: u32) -> Result<(), Error>;

    /// Holds requests back and waits for those in flight. Unsupported unless written.
    ///
    /// # Errors
    /// If requests still reach the component.
    fn hold_traffic(operation: &Operation<Self::Settings>) -> Result<(), Error> {
        Err(unsupported(operation, "holding requests back"))
    }

    /// Lets requests in again. Unsupported unless written.
    ///
    /// # Errors
    /// If requests do not reach the component.
    fn release_traffic(operation: &Operation<Self::Settings>) -> Result<(), Error> {
        Err(unsupported(operation, "letting requests in"))
    }

    /// Puts a recorded revision in place again, with all its instances running or with none.
    /// `revision` is one that [`Deploy::way_back`] or [`Deploy::observe`] told.
    ///
    /// # Errors
    /// [`crate::Case::NotFound`] if the platform has no such revision any more.
    fn revert(
        operation: &Operation<Self::Settings>,
        revision: &str,
        presence: Presence,
    ) -> Result<(), Error>;

    /// Removes everything that was made for a copy. The host refuses it for what is live, and so
    /// should a plugin. Unsupported unless written: such a component cannot be rehearsed.
    ///
    /// # Errors
    /// If something is left.
    fn discard(operation: &Operation<Self::Settings>) -> Result<(), Error> {
        Err(unsupported(operation, "working on a copy"))
    }

    /// The arguments to put before a command so that it runs inside the component as it is now,
    /// such as `podman exec -i NAME`. Empty: it runs on this machine. Unsupported unless written.
    ///
    /// # Errors
    /// If there is nothing to run inside of.
    fn inside(operation: &Operation<Self::Settings>) -> Result<Vec<String>, Error> {
        Err(unsupported(operation, "running commands inside"))
    }

    /// Says who holds the component at the platform. Unsupported unless written.
    ///
    /// # Errors
    /// If the platform cannot be asked, or what lies there is no lock.
    fn lock_state(operation: &Operation<Self::Settings>) -> Result<Lock, Error> {
        Err(unsupported(operation, "locks"))
    }

    /// Takes the lock if nobody else holds it, and answers it as it is afterwards: [`Lock::holder`]
    /// tells who has it. Whoever asks under the holder's own name takes it over at once with a
    /// higher epoch, and anybody may once it has run out; of two who ask at once only one wins.
    /// Unsupported unless written.
    ///
    /// # Errors
    /// If the platform cannot be asked or refuses. That somebody else holds it is none.
    fn acquire_lock(operation: &Operation<Self::Settings>, claim: &Claim) -> Result<Lock, Error> {
        let _ = claim;
        Err(unsupported(operation, "locks"))
    }

    /// Makes the lock hold for [`Claim::seconds`] from now if the holder still has it with this
    /// epoch, and answers it as it is afterwards. Unsupported unless written.
    ///
    /// # Errors
    /// If the platform cannot be asked or refuses. That somebody else holds it is none.
    fn renew_lock(
        operation: &Operation<Self::Settings>,
        claim: &Claim,
        epoch: u64,
    ) -> Result<Lock, Error> {
        let _ = (claim, epoch);
        Err(unsupported(operation, "locks"))
    }

    /// Lets go of the lock if this holder has it with this epoch; otherwise nothing is to be done.
    /// The epoch stays. Unsupported unless written.
    ///
    /// # Errors
    /// If the platform cannot be asked or refuses.
    fn release_lock(
        operation: &Operation<Self::Settings>,
        holder: &str,
        epoch: u64,
    ) -> Result<(), Error> {
        let _ = (holder, epoch);
        Err(unsupported(operation, "locks"))
    }
}

fn unsupported<Settings>(operation: &Operation<Settings>, what: &str) -> Error {
    Error::unsupported(format!("the plugin of {} knows nothing of {what}", operation.subject))
}

impl<P: Deploy> Guest for P {
    fn observe(raw: types::Operation) -> Result<Running, types::Error> {
        Ok(<P as Deploy>::observe(&understood(raw)?)?)
    }
    fn way_back(raw: types::Operation) -> Result<Inventory, types::Error> {
        Ok(<P as Deploy>::way_back(&understood(raw)?)?)
    }
    fn preview(raw: types::Operation) -> Result<Forecast, types::Error> {
        Ok(<P as Deploy>::preview(&understood(raw)?)?)
    }
    fn status(raw: types::Operation, change: Change) -> Result<Observation, types::Error> {
        Ok(<P as Deploy>::status(&understood(raw)?, change)?)
    }
    fn prefetch(raw: types::Operation) -> Result<(), types::Error> {
        Ok(<P as Deploy>::prefetch(&understood(raw)?)?)
    }
    fn apply(raw: types::Operation, wave: Wave) -> Result<(), types::Error> {
        Ok(<P as Deploy>::apply(&understood(raw)?, wave)?)
    }
    fn stop(raw: types::Operation) -> Result<(), types::Error> {
        Ok(<P as Deploy>::stop(&understood(raw)?)?)
    }
    fn start(raw: types::Operation, instances: u32) -> Result<(), types::Error> {
        Ok(<P as Deploy>::start(&understood(raw)?, instances)?)
    }
    fn hold_traffic(raw: types::Operation) -> Result<(), types::Error> {
        Ok(<P as Deploy>::hold_traffic(&understood(raw)?)?)
    }
    fn release_traffic(raw: types::Operation) -> Result<(), types::Error> {
        Ok(<P as Deploy>::release_traffic(&understood(raw)?)?)
    }
    fn revert(
        raw: types::Operation,
        revision: String,
        presence: Presence,
    ) -> Result<(), types::Error> {
        Ok(<P as Deploy>::revert(&understood(raw)?, &revision, presence)?)
    }
    fn discard(raw: types::Operation) -> Result<(), types::Error> {
        Ok(<P as Deploy>::discard(&understood(raw)?)?)
    }
    fn inside(raw: types::Operation) -> Result<Vec<String>, types::Error> {
        Ok(<P as Deploy>::inside(&understood(raw)?)?)
    }
    fn lock_state(raw: types::Operation) -> Result<Lock, types::Error> {
        Ok(<P as Deploy>::lock_state(&understood(raw)?)?)
    }
    fn acquire_lock(raw: types::Operation, claim: Claim) -> Result<Lock, types::Error> {
        Ok(<P as Deploy>::acquire_lock(&understood(raw)?, &claim)?)
    }
    fn renew_lock(raw: types::Operation, claim: Claim, epoch: u64) -> Result<Lock, types::Error> {
        Ok(<P as Deploy>::renew_lock(&understood(raw)?, &claim, epoch)?)
    }
    fn release_lock(raw: types::Operation, holder: String, epoch: u64) -> Result<(), types::Error> {
        Ok(<P as Deploy>::release_lock(&understood(raw)?, &holder, epoch)?)
    }
}
