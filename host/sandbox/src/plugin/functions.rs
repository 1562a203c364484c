//! One method for every function of the contract, named `<interface>_<function>`.

use model::contract::{
    DeployChange, Estimate, Figure, Interface, LockClaim, Measurement, MigrateRequest, Observation,
    Operation, Pending, PlatformLock, Presence, Preview, Proof, ProofLevel, Running, Schema, Taken,
    Watch, Wave, WayBack,
};
use serde_json::Value;

use super::{BackupChange, Plugin, RestoreStage};
use crate::call::{Effect, Function};
use crate::convert;
use crate::{CallError, Session};

/// Writes the method of one function: which world it is in, what it is called, whether it may
/// change something, and how the guest is called.
macro_rules! functions {
    ($(
        $(#[$documentation:meta])*
        $effect:ident $interface:ident $world:ident $name:literal
        $visibility:vis fn $method:ident($($argument:ident: $type:ty),*) -> $answer:ty
        = |$guest:ident, $store:ident, $operation:ident| $call:expr;
    )*) => {
        impl Plugin {$(
            $(#[$documentation])*
            ///
            /// # Errors
            /// [`CallError`], naming plugin and function.
            $visibility async fn $method(
                &self,
                session: &Session,
                operation: &Operation,
                $($argument: $type,)*
            ) -> Result<$answer, CallError> {
                let function = Function {
                    interface: Interface::$interface,
                    name: $name,
                    effect: Effect::$effect,
                };
                let world = self.inner.worlds.$world.as_ref();
                let world = self.permit(function, world, session, operation)?;
                let told = convert::operation(operation);
                self.run(function, session, operation, |mut store| async move {
                    let $guest = world.instantiate_async(&mut store).await?;
                    let ($store, $operation) = (&mut store, &told);
                    $call.await
                })
                .await
            }
        )*}
    };
}

functions! {
    /// What runs now.
    Reads Deploy deploy "deploy.observe"
    pub fn deploy_observe() -> Running
    = |guest, store, told| guest.vaultup_plugin_deploy().call_observe(store, told);

    /// Whether the release that runs now could be deployed again.
    Reads Deploy deploy "deploy.way-back"
    pub fn deploy_way_back() -> WayBack
    = |guest, store, told| guest.vaultup_plugin_deploy().call_way_back(store, told);

    /// What applying the last wave would change.
    Reads Deploy deploy "deploy.preview"
    pub fn deploy_preview() -> Preview
    = |guest, store, told| guest.vaultup_plugin_deploy().call_preview(store, told);

    /// What the platform knows of a change.
    Reads Deploy deploy "deploy.status"
    pub fn deploy_status(change: &DeployChange) -> Observation
    = |guest, store, told| {
        let change = convert::deploy::change(change);
        async move { guest.vaultup_plugin_deploy().call_status(store, told, &change).await }
    };

    /// Brings the next release's artifact to the platform.
    Changes Deploy deploy "deploy.prefetch"
    pub fn deploy_prefetch() -> ()
    = |guest, store, told| guest.vaultup_plugin_deploy().call_prefetch(store, told);

    /// Runs the next release on the instances of a wave.
    Changes Deploy deploy "deploy.apply"
    pub fn deploy_apply(wave: Wave) -> ()
    = |guest, store, told| {
        let wave = convert::deploy::wave(wave);
        async move { guest.vaultup_plugin_deploy().call_apply(store, told, wave).await }
    };

    /// Stops every instance.
    Changes Deploy deploy "deploy.stop"
    pub fn deploy_stop() -> ()
    = |guest, store, told| guest.vaultup_plugin_deploy().call_stop(store, told);

    /// Starts so many instances of whatever release is in place.
    Changes Deploy deploy "deploy.start"
    pub fn deploy_start(instances: u32) -> ()
    = |guest, store, told| guest.vaultup_plugin_deploy().call_start(store, told, instances);

    /// Holds requests back.
    Changes Deploy deploy "deploy.hold-traffic"
    pub fn deploy_hold_traffic() -> ()
    = |guest, store, told| guest.vaultup_plugin_deploy().call_hold_traffic(store, told);

    /// Lets requests in.
    Changes Deploy deploy "deploy.release-traffic"
    pub fn deploy_release_traffic() -> ()
    = |guest, store, told| guest.vaultup_plugin_deploy().call_release_traffic(store, told);

    /// Puts a recorded revision in place.
    Changes Deploy deploy "deploy.revert"
    pub fn deploy_revert(revision: &str, presence: Presence) -> ()
    = |guest, store, told| {
        let presence = convert::deploy::presence(presence);
        async move {
            guest.vaultup_plugin_deploy().call_revert(store, told, revision, presence).await
        }
    };

    /// Removes a copy. The live stack is never discarded: [`Target::Live`] is refused.
    Discards Deploy deploy "deploy.discard"
    pub fn deploy_discard() -> ()
    = |guest, store, told| guest.vaultup_plugin_deploy().call_discard(store, told);

    /// Who holds the component at the platform.
    Reads Deploy deploy "deploy.lock-state"
    pub fn deploy_lock_state() -> PlatformLock
    = |guest, store, told| guest.vaultup_plugin_deploy().call_lock_state(store, told);

    /// Takes the component's lock at the platform if nobody else holds it.
    Changes Deploy deploy "deploy.acquire-lock"
    pub fn deploy_acquire_lock(claim: &LockClaim) -> PlatformLock
    = |guest, store, told| {
        let claim = convert::deploy::claim(claim);
        async move { guest.vaultup_plugin_deploy().call_acquire_lock(store, told, &claim).await }
    };

    /// Makes the lock hold for longer, if it is still held with this epoch.
    Changes Deploy deploy "deploy.renew-lock"
    pub fn deploy_renew_lock(claim: &LockClaim, epoch: u64) -> PlatformLock
    = |guest, store, told| {
        let claim = convert::deploy::claim(claim);
        async move {
            guest.vaultup_plugin_deploy().call_renew_lock(store, told, &claim, epoch).await
        }
    };

    /// Lets go of the lock, if it is still held with this epoch.
    Changes Deploy deploy "deploy.release-lock"
    pub fn deploy_release_lock(holder: &str, epoch: u64) -> ()
    = |guest, store, told| {
        guest.vaultup_plugin_deploy().call_release_lock(store, told, holder, epoch)
    };

    /// As [`Plugin::deploy_inside`], not yet compared with what was granted.
    Reads Deploy deploy "deploy.inside"
    fn deploy_prefix() -> Vec<String>
    = |guest, store, told| guest.vaultup_plugin_deploy().call_inside(store, told);

    /// What schema there is.
    Reads Migrate migrate "migrate.schema"
    pub fn migrate_schema() -> Schema
    = |guest, store, told| guest.vaultup_plugin_migrate().call_schema(store, told);

    /// What would be applied.
    Reads Migrate migrate "migrate.pending"
    pub fn migrate_pending(request: &MigrateRequest) -> Pending
    = |guest, store, told| {
        let request = convert::migrate::request(request);
        async move { guest.vaultup_plugin_migrate().call_pending(store, told, &request).await }
    };

    /// Applies what is pending.
    Changes Migrate migrate "migrate.apply"
    pub fn migrate_apply(request: &MigrateRequest) -> ()
    = |guest, store, told| {
        let request = convert::migrate::request(request);
        async move { guest.vaultup_plugin_migrate().call_apply(store, told, &request).await }
    };

    /// What is known of an `apply`.
    Reads Migrate migrate "migrate.status"
    pub fn migrate_status(request: &MigrateRequest) -> Observation
    = |guest, store, told| {
        let request = convert::migrate::request(request);
        async move { guest.vaultup_plugin_migrate().call_status(store, told, &request).await }
    };

    /// How to follow a service that migrates when it starts.
    Reads Migrate migrate "migrate.watch"
    pub fn migrate_watch() -> Watch
    = |guest, store, told| guest.vaultup_plugin_migrate().call_watch(store, told);

    /// What a backup will cost.
    Reads Backup backup "backup.estimate"
    pub fn backup_estimate() -> Estimate
    = |guest, store, told| guest.vaultup_plugin_backup().call_estimate(store, told);

    /// Takes a backup into the session's artifacts.
    Takes Backup backup "backup.take"
    pub fn backup_take() -> Taken
    = |guest, store, told| guest.vaultup_plugin_backup().call_take(store, told);

    /// What the artifacts contain.
    Reads Backup backup "backup.inspect"
    pub fn backup_inspect(state: &Value) -> Vec<Figure>
    = |guest, store, told| {
        let state = state.to_string();
        async move { guest.vaultup_plugin_backup().call_inspect(store, told, &state).await }
    };

    /// Proves a backup. The answer is the plugin's claim: the host compares the figures itself.
    Changes Backup backup "backup.prove"
    pub fn backup_prove(level: ProofLevel, state: &Value) -> Proof
    = |guest, store, told| {
        let (level, state) = (convert::backup::level(level), state.to_string());
        async move { guest.vaultup_plugin_backup().call_prove(store, told, level, &state).await }
    };

    /// What an interrupted change left or still does.
    Reads Backup backup "backup.status"
    pub fn backup_status(change: BackupChange) -> Observation
    = |guest, store, told| {
        let change = convert::backup::change(change);
        async move { guest.vaultup_plugin_backup().call_status(store, told, change).await }
    };

    /// Removes scratch space.
    Changes Backup backup "backup.clean"
    pub fn backup_clean() -> ()
    = |guest, store, told| guest.vaultup_plugin_backup().call_clean(store, told);

    /// What a restore will need.
    Reads Restore restore "restore.estimate"
    pub fn restore_estimate(state: &Value) -> Estimate
    = |guest, store, told| {
        let state = state.to_string();
        async move { guest.vaultup_plugin_restore().call_estimate(store, told, &state).await }
    };

    /// Restores into an empty target beside the live one.
    Changes Restore restore "restore.fill"
    pub fn restore_fill(state: &Value) -> Vec<Figure>
    = |guest, store, told| {
        let state = state.to_string();
        async move { guest.vaultup_plugin_restore().call_fill(store, told, &state).await }
    };

    /// Puts the filled copy in the live one's place; gives the name of what was live.
    Changes Restore restore "restore.switch"
    pub fn restore_switch() -> String
    = |guest, store, told| guest.vaultup_plugin_restore().call_switch(store, told);

    /// Removes what a restore left beside the live data.
    Changes Restore restore "restore.discard"
    pub fn restore_discard() -> ()
    = |guest, store, told| guest.vaultup_plugin_restore().call_discard(store, told);

    /// Measures the live data as `take` did.
    Reads Restore restore "restore.figures"
    pub fn restore_figures() -> Vec<Figure>
    = |guest, store, told| guest.vaultup_plugin_restore().call_figures(store, told);

    /// What is known of a stage.
    Reads Restore restore "restore.status"
    pub fn restore_status(stage: RestoreStage) -> Observation
    = |guest, store, told| {
        let stage = convert::backup::stage(stage);
        async move { guest.vaultup_plugin_restore().call_status(store, told, stage).await }
    };

    /// Measures now.
    Reads HealthCheck health_check "health-check.probe"
    pub fn health_probe() -> Vec<Measurement>
    = |guest, store, told| guest.vaultup_plugin_health_check().call_probe(store, told);
}

impl Plugin {
    /// The arguments that are put before a command so that it runs inside the component. Empty: it
    /// runs on this machine. They must be a command that this plugin was granted itself, or it
    /// could run anything in another plugin's name.
    ///
    /// # Errors
    /// [`CallError`], naming plugin and function.
    pub async fn deploy_inside(
        &self,
        session: &Session,
        operation: &Operation,
    ) -> Result<Vec<String>, CallError> {
        let prefix = self.deploy_prefix(session, operation).await?;
        self.check_prefix(session, operation, &prefix)?;
        Ok(prefix)
    }
}
