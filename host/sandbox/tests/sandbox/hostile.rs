//! The hostile plugin, one act at a time: each is contained, no secret is seen, and a good call
//! works afterwards in the same process.

use std::io::Write;
use std::time::{Duration, Instant};

use model::contract::{PluginError, ProofLevel};
use sandbox::limits::{BUSY_MS_MAX, DEADLINE_GRACE_MS, LOG_BYTES_MAX, PROGRESS_REPORTS_MAX};
use sandbox::{CallError, Limit};
use serde_json::json;

use crate::grants::figure;
use crate::support::{CANARY, Place, evil};

/// How an act has to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The plugin says that each of its attempts was refused.
    Contained,
    /// The plugin tells what it saw, and it saw no secret.
    SeesNothing,
    /// It is ended by a limit.
    Limit(Limit),
    /// It traps.
    Trap,
    /// It is thrown away after its deadline.
    Deadline,
    /// It answers well; only the runner, which compares facts, finds out.
    Lies,
}

/// Every act of the plugin and how it ends.
const ACTS: [(&str, End); 34] = [
    ("none", End::Lies),
    ("loop", End::Limit(Limit::Busy)),
    ("copy", End::Deadline),
    ("memory", End::Limit(Limit::Memory)),
    ("handles", End::Limit(Limit::Handles)),
    ("processes", End::Contained),
    // The stack of a Rust guest lies in its memory and ends before that of WebAssembly.
    ("recursion", End::Trap),
    ("trap", End::Trap),
    ("sleep", End::Deadline),
    ("slow-command", End::Contained),
    ("exec", End::Contained),
    ("inject", End::Contained),
    ("path", End::Contained),
    ("link", End::Contained),
    ("remove", End::Contained),
    ("flood-log", End::Deadline),
    ("flood-progress", End::Deadline),
    ("flood-command", End::Contained),
    ("flood-artifact", End::Contained),
    // Such an answer does not even fit into its memory.
    ("flood-answer", End::Limit(Limit::Memory)),
    ("forge-log", End::SeesNothing),
    ("secret-search", End::SeesNothing),
    ("secret-echo", End::SeesNothing),
    ("secret-header", End::SeesNothing),
    ("secret-other", End::Contained),
    ("artifact", End::Contained),
    ("http", End::Contained),
    ("change-quietly", End::Contained),
    // Nothing is asked for; what is asked of limits is in `limits.rs`.
    ("amount", End::Lies),
    ("lie-proof", End::Lies),
    ("lie-take", End::Lies),
    ("lie-apply", End::Lies),
    ("lie-done", End::Lies),
    ("none", End::Lies),
];

/// Long enough for every act that ends by itself on a busy machine.
const DEADLINE_MS: u64 = 60_000;
/// For the acts that only the deadline ends.
const SHORT_DEADLINE_MS: u64 = 500;

#[test]
fn every_act_of_the_hostile_plugin_is_contained_and_a_good_call_works_after_it() {
    let named = named_acts();
    let tested: Vec<&str> = ACTS.iter().map(|(act, _)| *act).collect();
    assert!(named.iter().all(|act| tested.contains(&act.as_str())), "{named:?}");
    let runtime = runtime();
    let mut escaped = Vec::new();
    for (act, end) in ACTS {
        let began = Instant::now();
        let ended = runtime.block_on(attempt(act, end));
        if let Err(how) = &ended {
            escaped.push(format!("{act}: {how}"));
        }
        let verdict = if ended.is_ok() { "contained" } else { "ESCAPED" };
        let took_ms = began.elapsed().as_millis();
        writeln!(std::io::stderr(), "{act:16} {verdict} {took_ms} ms").unwrap();
        runtime.block_on(good_call());
    }
    let contained = ACTS.len() - escaped.len();
    figure(&format!("hostile acts with every grant: contained {contained}/{}", ACTS.len()));
    assert!(escaped.is_empty(), "{escaped:#?}");
}

#[test]
fn a_guest_that_computes_is_stopped_at_its_deadline_and_within_the_grace() {
    let place = Place::new();
    let mut operation = place.operation("loop");
    operation.deadline_ms = 300;
    let began = Instant::now();
    let error = runtime().block_on(evil().deploy_observe(&place.session, &operation)).unwrap_err();
    assert!(matches!(error, CallError::Deadline { deadline_ms: 300, .. }), "{error}");
    let most = Duration::from_millis(300 + DEADLINE_GRACE_MS + 2_000);
    assert!(began.elapsed() < most, "{:?}", began.elapsed());
}

#[test]
fn a_guest_that_ignores_a_cancellation_is_thrown_away() {
    let place = Place::new();
    let operation = place.operation("loop");
    let error = runtime().block_on(async {
        place.cancel.send_replace(true);
        evil().deploy_observe(&place.session, &operation).await.unwrap_err()
    });
    assert_eq!(error.plugin_error(), Some(&PluginError::Cancelled));
}

#[test]
fn calls_on_one_thread_go_on_while_a_guest_computes() {
    let place = Place::new();
    let mut bad = place.operation("loop");
    bad.deadline_ms = 500;
    let good = place.operation("none");
    let plugin = evil();
    runtime().block_on(async {
        let looping = plugin.deploy_observe(&place.session, &bad);
        let working = async {
            for _ in 0..20 {
                plugin.deploy_observe(&place.session, &good).await.unwrap();
            }
            Instant::now()
        };
        let (error, finished) = tokio::join!(looping, working);
        error.unwrap_err();
        assert!(finished.elapsed() > Duration::ZERO);
    });
}

#[test]
fn a_secret_in_the_settings_and_a_forged_line_are_seen_nowhere() {
    let place = Place::new();
    for act in ["forge-log", "secret-echo", "secret-search"] {
        let operation = place.operation(act);
        runtime().block_on(evil().deploy_observe(&place.session, &operation)).unwrap_err();
    }
    let lines = place.listener.lines.lock().unwrap();
    assert!(lines.len() >= 8, "{lines:?}");
    for line in lines.iter() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains(CANARY), "{line:?}");
    }
    let started = format!("{:?}", place.listener.started.lock().unwrap());
    assert!(started.contains("{secret:key}") && !started.contains(CANARY), "{started}");
    assert_eq!(std::fs::read_dir(place.at("secrets")).unwrap().count(), 0);
}

async fn attempt(act: &str, end: End) -> Result<(), String> {
    let place = Place::new();
    let mut operation = place.operation(act);
    let by_deadline = end == End::Deadline || ["slow-command", "flood-command"].contains(&act);
    operation.deadline_ms = if by_deadline { SHORT_DEADLINE_MS } else { DEADLINE_MS };
    if act == "flood-artifact" || act == "lie-take" || act == "lie-proof" {
        return attempt_on_a_backup(act).await;
    }
    let answer = evil().deploy_observe(&place.session, &operation).await;
    let told = format!("{answer:?}");
    if told.contains(CANARY) {
        return Err(format!("the canary was seen: {told}"));
    }
    if std::fs::read_to_string(place.at("granted/kept/inside")).ok().as_deref() != Some("inside")
        || std::fs::read_to_string(place.at("outside")).ok().as_deref() != Some(CANARY)
    {
        return Err("the operator's files were changed".to_owned());
    }
    let bytes: usize = place.listener.lines.lock().unwrap().iter().map(String::len).sum();
    if bytes > LOG_BYTES_MAX + 1024 {
        return Err(format!("{bytes} bytes were logged"));
    }
    if *place.listener.progress.lock().unwrap() > PROGRESS_REPORTS_MAX {
        return Err("progress was reported past its limit".to_owned());
    }
    judge(end, answer.map(drop), &told)
}

fn judge(end: End, answer: Result<(), CallError>, told: &str) -> Result<(), String> {
    let is_as_expected = match (&answer, end) {
        (Err(error), End::Contained) => case(error) == Some("contained"),
        (Err(error), End::SeesNothing) => case(error) == Some("seen"),
        (Err(CallError::Limit { limit, .. }), End::Limit(expected)) => *limit == expected,
        (Err(CallError::Trap { .. }), End::Trap) => true,
        (Err(CallError::Deadline { .. }), End::Deadline) => true,
        (Ok(()), End::Lies) => true,
        _ => false,
    };
    if is_as_expected { Ok(()) } else { Err(format!("expected {end:?}: {told}")) }
}

/// The acts that need a backup set: what they claim is handed on as a claim, and nothing is stored.
async fn attempt_on_a_backup(act: &str) -> Result<(), String> {
    let house = crate::effects::Backups::new();
    let mut place = Place::changing();
    let mut operation = place.operation(act);
    if act == "lie-proof" {
        let (plugin, state) = (evil(), json!({ "count": 7 }));
        let asked = ProofLevel::Readable;
        let proof = plugin.backup_prove(&place.session, &operation, asked, &state).await;
        let proof = proof.map_err(|error| error.to_string())?;
        // No artifact was opened, and the answer says so to whoever compares.
        let claimed = proof.level == ProofLevel::Restored && proof.figures[0].count == Some(7);
        return if claimed { Ok(()) } else { Err(format!("{proof:?}")) };
    }
    operation.deadline_ms = 1_000;
    let taken = house.begin();
    place.session.artifacts = sandbox::Artifacts::Write(taken.clone());
    let answer = evil().backup_take(&place.session, &operation).await;
    match (act, &answer, taken.written().len()) {
        ("lie-take", Ok(_), 0) => Ok(()),
        ("flood-artifact", Err(error), 0) if case(error) == Some("contained") => Ok(()),
        _ => Err(format!("{answer:?} with {:?}", taken.written())),
    }
}

async fn good_call() {
    let place = Place::new();
    let running = evil().deploy_observe(&place.session, &place.operation("none")).await.unwrap();
    assert_eq!(running.version.as_deref(), Some("1.0.0"));
}

fn case(error: &CallError) -> Option<&str> {
    match error.plugin_error()? {
        PluginError::Other(case, _) => Some(case),
        _ => None,
    }
}

/// The acts that the plugin's own manifest names.
fn named_acts() -> Vec<String> {
    let acts = evil().manifest().settings.pointer("/properties/act/enum").cloned().unwrap();
    serde_json::from_value(acts).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn waiting_is_not_computing() {
    // Far more waiting than a guest may compute, in host calls and in commands.
    let place = Place::new();
    let began = Instant::now();
    let mut operation = place.operation("sleep");
    operation.deadline_ms = BUSY_MS_MAX + 500;
    let error = runtime().block_on(evil().deploy_observe(&place.session, &operation)).unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    assert!(began.elapsed() > Duration::from_millis(BUSY_MS_MAX));
}
