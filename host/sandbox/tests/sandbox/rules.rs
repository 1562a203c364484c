//! What the host refuses without touching the guest, and how errors speak.

use model::contract::{
    Interface, LockClaim, MigrateRequest, PluginError, Presence, ProofLevel, Target, Wave,
};
use model::problem::{Exit, Problem};
use sandbox::{CallError, Plugin, RestoreStage, Session};
use serde_json::json;

use crate::support::{Place, evil};

const WAVE: Wave = Wave { number: 1, of: 1, instances: 1 };

/// The guest would trap, so `Refused` shows that it was not asked.
async fn assert_refused(place: &Place, what: &str, result: Result<(), CallError>) {
    assert!(matches!(result, Err(CallError::Refused { .. })), "{what}: {result:?}");
    assert!(place.listener.lines.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_that_changes_is_called_while_only_reading_is_allowed() {
    let place = Place::new();
    let (plugin, session): (Plugin, &Session) = (evil(), &place.session);
    let operation = &place.operation("trap");
    let state = &json!({});
    assert_refused(&place, "prefetch", plugin.deploy_prefetch(session, operation).await).await;
    assert_refused(&place, "apply", plugin.deploy_apply(session, operation, WAVE).await).await;
    assert_refused(&place, "stop", plugin.deploy_stop(session, operation).await).await;
    assert_refused(&place, "start", plugin.deploy_start(session, operation, 1).await).await;
    assert_refused(&place, "hold", plugin.deploy_hold_traffic(session, operation).await).await;
    assert_refused(&place, "open", plugin.deploy_release_traffic(session, operation).await).await;
    let revert = plugin.deploy_revert(session, operation, "1", Presence::Stopped).await;
    assert_refused(&place, "revert", revert).await;
    assert_refused(&place, "discard", plugin.deploy_discard(session, operation).await).await;
    let claim = &LockClaim { holder: "a.1".to_owned(), owner: "a".to_owned(), seconds: 60 };
    let acquire = plugin.deploy_acquire_lock(session, operation, claim).await;
    assert_refused(&place, "acquire", acquire.map(drop)).await;
    let renew = plugin.deploy_renew_lock(session, operation, claim, 1).await;
    assert_refused(&place, "renew", renew.map(drop)).await;
    let release = plugin.deploy_release_lock(session, operation, "a.1", 1).await;
    assert_refused(&place, "release", release).await;
    assert_refused(&place, "take", plugin.backup_take(session, operation).await.map(drop)).await;
    let prove = plugin.backup_prove(session, operation, ProofLevel::Exists, state).await;
    assert_refused(&place, "prove", prove.map(drop)).await;
    assert_refused(&place, "clean", plugin.backup_clean(session, operation).await).await;
}

/// A plugin of which nothing is written about locks has none, and the host does without.
#[tokio::test]
async fn a_plugin_without_locks_says_so() {
    let place = Place::changing();
    let (plugin, session, operation) = (evil(), &place.session, &place.operation("none"));
    let claim = &LockClaim { holder: "a.1".to_owned(), owner: "a".to_owned(), seconds: 60 };
    let errors = [
        plugin.deploy_lock_state(session, operation).await.map(drop).unwrap_err(),
        plugin.deploy_acquire_lock(session, operation, claim).await.map(drop).unwrap_err(),
        plugin.deploy_renew_lock(session, operation, claim, 1).await.map(drop).unwrap_err(),
        plugin.deploy_release_lock(session, operation, "a.1", 1).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error.plugin_error(), Some(PluginError::Unsupported(_))), "{error}");
    }
}

#[tokio::test]
async fn the_live_stack_is_never_discarded() {
    let place = Place::changing();
    let mut operation = place.operation("trap");
    assert_refused(&place, "live", evil().deploy_discard(&place.session, &operation).await).await;
    operation.target = Target::Copy("rehearsal".to_owned());
    let copy = evil().deploy_discard(&place.session, &operation).await;
    assert!(!matches!(copy, Err(CallError::Refused { .. })), "{copy:?}");
}

#[tokio::test]
async fn what_is_not_exported_is_not_called() {
    let place = Place::changing();
    let (plugin, session) = (evil(), &place.session);
    assert_eq!(plugin.interfaces(), [Interface::Backup, Interface::Deploy]);
    let operation = &place.operation("trap");
    let request =
        &MigrateRequest { datastore: "store".to_owned(), command: Vec::new(), expected: None };
    let errors = [
        plugin.health_probe(session, operation).await.map(drop).unwrap_err(),
        plugin.migrate_schema(session, operation).await.map(drop).unwrap_err(),
        plugin.migrate_apply(session, operation, request).await.unwrap_err(),
        plugin.restore_switch(session, operation).await.map(drop).unwrap_err(),
        plugin.restore_status(session, operation, RestoreStage::Fill).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, CallError::NotExported { .. }), "{error}");
        assert_eq!(error.exit(), Exit::BadInput);
        assert!(error.state().is_none(), "nothing was changed");
        assert!(error.next().unwrap().contains("vaultup plugin list"));
    }
}

#[tokio::test]
async fn a_trap_names_plugin_and_function_and_shows_its_last_words() {
    let place = Place::new();
    let operation = place.operation("trap");
    let error = evil().deploy_observe(&place.session, &operation).await.unwrap_err();
    assert!(matches!(error, CallError::Trap { .. }), "{error}");
    assert!(error.to_string().starts_with("`deploy.observe` of plugin `evil` ended"), "{error}");
    assert_eq!(error.code().0, 133);
    assert!(error.state().unwrap().contains("found by observing"));
    assert!(error.next().is_some());
}

#[tokio::test]
async fn settings_that_the_plugin_cannot_use_are_its_own_error() {
    let place = Place::new();
    let mut operation = place.operation("none");
    operation.settings = json!({ "act": "unheard-of" });
    let error = evil().deploy_observe(&place.session, &operation).await.unwrap_err();
    assert!(matches!(error.plugin_error(), Some(PluginError::InvalidSettings(_))), "{error:?}");
    assert_eq!(error.exit(), Exit::BadInput);
}

#[tokio::test]
async fn a_deadline_of_nothing_ends_the_call() {
    let place = Place::new();
    let mut operation = place.operation("loop");
    operation.deadline_ms = 0;
    let error = evil().deploy_observe(&place.session, &operation).await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { deadline_ms: 0, .. }), "{error}");
    operation = place.operation("none");
    operation.deadline_ms = u64::MAX;
    evil().deploy_observe(&place.session, &operation).await.unwrap();
}

#[test]
fn calls_can_move_between_threads() {
    fn moves<T: Send>(_: &T) {}
    let place = Place::new();
    let operation = place.operation("none");
    let plugin = evil();
    moves(&plugin.deploy_observe(&place.session, &operation));
    moves(&plugin.backup_take(&place.session, &operation));
    moves(&plugin.health_probe(&place.session, &operation));
}
