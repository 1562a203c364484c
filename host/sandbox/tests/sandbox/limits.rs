//! Limits as a plugin meets them: what is allowed is had whole, and one more is not. Those of
//! WebAssembly itself are tested beside their numbers, in `limits.rs`, and those of the log in
//! `log.rs`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use model::contract::{PluginError, Wave};
use sandbox::limits::{
    ANSWER_ELEMENTS_MAX, COMMANDS_AT_ONCE_MAX, DEADLINE_MS_MAX, ENVIRONMENT_MAX, HEAD_BYTES_MAX,
    HEADERS_MAX, INPUT_TEXT_BYTES_MAX, MESSAGE_BYTES_MAX, PAUSE_MS_MAX, PLATFORM_BYTES_MAX,
    SAID_BYTES_MAX, STATE_BYTES_MAX, TRANSFER_BYTES_MAX,
};
use sandbox::{Artifacts, BackupRead, CallError, Limit, Surroundings};
use serde_json::json;
use system::clock::{Clock, Sleep};

use crate::effects::Backups;
use crate::support::{Place, evil};

/// Asks the plugin to take an amount of something, in a function that may change something.
pub(crate) async fn take(place: &Place, of: &str, amount: u64) -> CallError {
    let mut operation = place.operation("amount");
    operation.settings["of"] = json!(of);
    operation.settings["amount"] = json!(amount);
    operation.settings["url"] = json!(answering_server());
    let wave = Wave { number: 1, of: 1, instances: 1 };
    evil().deploy_apply(&place.session, &operation, wave).await.unwrap_err()
}

/// What the plugin saw, if it was given the amount.
fn seen(error: &CallError) -> Option<String> {
    match error.plugin_error() {
        Some(PluginError::Other(case, said)) if case == "done" => Some(said.platform.clone()),
        _ => None,
    }
}

async fn assert_given(of: &str, amount: u64, expected: &str) {
    let error = take(&Place::changing(), of, amount).await;
    assert_eq!(seen(&error).as_deref(), Some(expected), "{of}: {error}");
}

async fn assert_denied(of: &str, amount: u64) {
    let error = take(&Place::changing(), of, amount).await;
    assert!(matches!(error.plugin_error(), Some(PluginError::Denied(_))), "{of}: {error}");
}

#[tokio::test]
async fn as_many_commands_run_at_once_as_are_allowed_and_not_one_more() {
    assert_given("commands", COMMANDS_AT_ONCE_MAX as u64, "16").await;
    assert_denied("commands", COMMANDS_AT_ONCE_MAX as u64 + 1).await;
    assert_given("begun", COMMANDS_AT_ONCE_MAX as u64, "16").await;
    assert_denied("begun", COMMANDS_AT_ONCE_MAX as u64 + 1).await;
}

#[tokio::test]
async fn a_command_gets_as_many_variables_as_are_allowed_and_not_one_more() {
    assert_given("variables", ENVIRONMENT_MAX as u64, "128").await;
    assert_denied("variables", ENVIRONMENT_MAX as u64 + 1).await;
}

#[tokio::test]
async fn a_request_has_as_many_headers_as_are_allowed_and_not_one_more() {
    // The server reads them all, so they have been sent.
    assert_given("headers", HEADERS_MAX as u64, "200").await;
    assert_denied("headers", HEADERS_MAX as u64 + 1).await;
}

#[tokio::test]
async fn a_command_gets_as_much_text_as_is_allowed_and_not_one_byte_more() {
    assert_given("input", INPUT_TEXT_BYTES_MAX as u64, "Exit::Status(0)").await;
    assert_denied("input", INPUT_TEXT_BYTES_MAX as u64 + 1).await;
}

#[tokio::test]
async fn what_a_plugin_says_is_kept_up_to_its_limit_and_cut_one_byte_past_it() {
    for amount in [MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 1] {
        let error = take(&Place::changing(), "message", amount as u64).await;
        assert_eq!(error.said().message.len(), MESSAGE_BYTES_MAX, "{amount} bytes: {error}");
    }
    // The SDK cuts what the platform said before the host does, so that only its bound shows here.
    let error = take(&Place::changing(), "platform", PLATFORM_BYTES_MAX as u64 + 1).await;
    let length = error.said().platform.len();
    assert!((1..=PLATFORM_BYTES_MAX).contains(&length), "{length} bytes");
}

#[tokio::test]
async fn last_words_are_kept_up_to_their_limit_and_their_end_is_what_is_kept() {
    for amount in [SAID_BYTES_MAX, SAID_BYTES_MAX + 1, 2 * SAID_BYTES_MAX + 1] {
        let error = take(&Place::changing(), "said", amount as u64).await;
        let CallError::Trap { said, .. } = error else { panic!("{error}") };
        assert!(said.len() <= SAID_BYTES_MAX, "{} bytes of {amount}", said.len());
        assert!(said.len() + 256 > SAID_BYTES_MAX, "{} bytes of {amount}", said.len());
    }
}

#[tokio::test]
async fn one_call_carries_as_many_bytes_as_are_allowed_and_not_one_more() {
    let place = Place::changing();
    let error = take(&place, "log", TRANSFER_BYTES_MAX as u64).await;
    assert!(seen(&error).is_some(), "{error}");
    let error = take(&place, "log", TRANSFER_BYTES_MAX as u64 + 1).await;
    assert!(matches!(error, CallError::Limit { limit: Limit::Transfer, .. }), "{error}");
    // The same number holds for what the guest answers.
    let error = take(&place, "message", TRANSFER_BYTES_MAX as u64 + 1).await;
    assert!(matches!(error, CallError::Limit { limit: Limit::Transfer, .. }), "{error}");
}

#[tokio::test]
async fn an_answer_has_as_many_elements_as_are_allowed_and_not_one_more() {
    let place = Place::new();
    let mut operation = place.operation("amount");
    operation.settings["of"] = json!("instances");
    operation.settings["amount"] = json!(ANSWER_ELEMENTS_MAX);
    let running = evil().deploy_observe(&place.session, &operation).await.unwrap();
    assert_eq!(running.instances.len(), ANSWER_ELEMENTS_MAX);
    operation.settings["amount"] = json!(ANSWER_ELEMENTS_MAX + 1);
    let error = evil().deploy_observe(&place.session, &operation).await.unwrap_err();
    assert!(matches!(error, CallError::Answer { .. }), "{error}");
}

#[tokio::test]
async fn a_state_is_as_large_as_is_allowed_and_not_one_byte_larger() {
    let backups = Backups::new();
    let mut place = Place::changing();
    let mut operation = place.operation("amount");
    operation.settings["of"] = json!("state");
    for (set, amount) in [("set-1", STATE_BYTES_MAX), ("set-2", STATE_BYTES_MAX + 1)] {
        place.session.artifacts = Artifacts::Write(backups.begin_named(set));
        operation.settings["amount"] = json!(amount);
        let taken = evil().backup_take(&place.session, &operation).await;
        match taken {
            Ok(taken) => {
                assert_eq!((taken.state.to_string().len(), amount), (STATE_BYTES_MAX, amount));
            }
            Err(error) => {
                assert_eq!(amount, STATE_BYTES_MAX + 1);
                assert!(matches!(error, CallError::Answer { .. }), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn the_head_of_an_artifact_is_given_up_to_its_limit_and_no_further() {
    let backups = Backups::new();
    let set = backups.with_artifact("word", &vec![b'x'; HEAD_BYTES_MAX as usize * 2]);
    let mut place = Place::changing();
    place.session.artifacts = Artifacts::Read(BackupRead {
        vault: backups.vault.clone(),
        set: Arc::new(set),
        datastore: "store".to_owned(),
    });
    for asked in [HEAD_BYTES_MAX, HEAD_BYTES_MAX + 1, u32::MAX] {
        let error = take(&place, "head", asked.into()).await;
        assert_eq!(seen(&error), Some(HEAD_BYTES_MAX.to_string()), "{asked}: {error}");
    }
    let error = take(&place, "head", 3).await;
    assert_eq!(seen(&error).as_deref(), Some("3"), "{error}");
}

#[tokio::test]
async fn a_file_is_written_and_read_up_to_its_limit_and_no_byte_more() {
    let most = system::files::FILE_BYTES_MAX as u64;
    assert_given("file", most, &most.to_string()).await;
    let error = take(&Place::changing(), "file", most + 1).await;
    assert!(seen(&error).is_none() && error.plugin_error().is_some(), "{error}");
}

/// A clock on which every wait is over at once.
#[derive(Default)]
struct Hurried {
    waits: Arc<Mutex<Vec<Duration>>>,
}

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.waits.lock().unwrap().push(duration);
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_pause_is_as_long_as_is_allowed_and_no_longer() {
    let clock = Hurried::default();
    let waits = Arc::clone(&clock.waits);
    let mut place = Place::changing();
    let of_the_place = place.session.surroundings.as_ref();
    place.session.surroundings = Arc::new(Surroundings {
        environment: of_the_place.environment.clone(),
        secret_directory: of_the_place.secret_directory.clone(),
        log_directory: of_the_place.log_directory.clone(),
        digests: system::process::Digests::default(),
        http: system::http::Http::new(),
        clock: Arc::new(clock),
    });
    // Longer than the pauses, so that the deadline is not what ends them.
    let mut operation = place.operation("amount");
    operation.deadline_ms = 2 * PAUSE_MS_MAX;
    operation.settings["of"] = json!("pause");
    for amount in [PAUSE_MS_MAX, PAUSE_MS_MAX + 1] {
        operation.settings["amount"] = json!(amount);
        let error = evil().deploy_observe(&place.session, &operation).await.unwrap_err();
        assert!(seen(&error).is_some(), "{error}");
    }
    let longest = Duration::from_millis(PAUSE_MS_MAX);
    assert_eq!(*waits.lock().unwrap(), [longest, longest]);
}

#[tokio::test]
async fn deadlines_up_to_and_past_the_longest_are_taken() {
    let place = Place::new();
    for deadline_ms in [DEADLINE_MS_MAX, DEADLINE_MS_MAX + 1, u64::MAX] {
        let mut operation = place.operation("none");
        operation.deadline_ms = deadline_ms;
        evil().deploy_observe(&place.session, &operation).await.unwrap();
    }
}

/// A server on this machine that answers any request with status 200; gives its address.
fn answering_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let Some(Ok(mut stream)) = listener.incoming().next() else { return };
        let mut head = BufReader::new(stream.try_clone().unwrap()).take(1 << 20);
        let mut line = String::new();
        while head.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
            line.clear();
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    format!("http://127.0.0.1:{port}/")
}
