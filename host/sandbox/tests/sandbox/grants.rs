//! The hostile plugin under other grants: with none of what it misuses, and with everything but
//! that. Every act is contained whatever else was granted, and a good call works after it.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use model::contract::PluginError;
use registry::Error;
use sandbox::{CallError, CompileLimits, Plugin};

use crate::support::{CANARY, House, Place, compiler, component, evil};

const MANIFEST: &str = include_str!("../../../../tests/evil/plugin.toml");

/// Kinds of grants, each with what stands in its place: something harmless of the same kind, so
/// that the import is there and every use of it is decided by the grant.
const GRANTS: [(&str, &str); 3] = [
    ("process", "[[tools]]\nname = \"true\"\n[[process]]\nclass = \"read\"\nargv = [\"true\"]"),
    ("files", "[[files]]\nsetting = \"url\"\naccess = \"read\"\nbeside = false"),
    ("http", "[[http]]\nhost = \"granted.invalid:443\""),
];

/// What each kind of grant is misused by.
const MISUSES: [(&str, &[&str]); 3] = [
    (
        "process",
        &[
            "processes",
            "slow-command",
            "exec",
            "inject",
            "path",
            "link",
            "flood-command",
            "flood-artifact",
            "secret-search",
            "secret-echo",
            "secret-other",
            "artifact",
            "change-quietly",
        ],
    ),
    ("files", &["handles", "path", "link", "remove", "change-quietly"]),
    ("http", &["http", "secret-header"]),
];

/// Time for acts that nothing but a deadline ends.
const DEADLINE_MS: u64 = 300;

#[test]
fn every_act_is_contained_with_no_grant_and_with_every_other_grant() {
    let acts = acts();
    let (mut all, mut escaped) = (0, Vec::new());
    let mut attempt_all = |grants: &str, plugin: &Plugin, acts: &[&str]| {
        for act in acts {
            all += 1;
            let began = Instant::now();
            let ended = runtime().block_on(attempt(plugin, act));
            escaped.extend(ended.err().map(|how| format!("{act} with {grants}: {how}")));
            let took_ms = began.elapsed().as_millis();
            writeln!(std::io::stderr(), "{act:16} with {grants}: {took_ms} ms").unwrap();
            runtime().block_on(good_call());
        }
    };
    let all_acts: Vec<&str> = acts.iter().map(String::as_str).collect();
    let nothing: Vec<&str> = GRANTS.iter().map(|(kind, _)| *kind).collect();
    attempt_all("no grant", &plugin_without(&nothing), &all_acts);
    for (kind, misuses) in MISUSES {
        attempt_all(&format!("every grant but {kind}"), &plugin_without(&[kind]), misuses);
    }
    let contained = all - escaped.len();
    figure(&format!(
        "hostile acts with no grant and every other grant: contained {contained}/{all}"
    ));
    assert!(escaped.is_empty(), "{escaped:#?}");
}

#[test]
fn a_plugin_that_was_not_granted_at_all_is_not_even_loaded() {
    let house = House::new();
    let lock = house.scratch.path().join(registry::lock_file::LOCK_FILE);
    let name = model::Name::parse("evil").unwrap();
    let fetch = house.registry.fetch(component("evil").to_str().unwrap(), Path::new("/")).unwrap();
    registry::lock_file::change(&lock, |lock| house.registry.install(lock, &fetch)).unwrap();
    let refused = house.registry.granted(&registry::lock_file::read(&lock).unwrap(), &name);
    assert!(matches!(refused, Err(Error::NotGranted { .. })));
    assert_eq!(std::fs::read_dir(house.cache()).unwrap().count(), 0, "nothing was compiled");
}

/// What is wrong if an act was not contained.
async fn attempt(plugin: &Plugin, act: &str) -> Result<(), String> {
    let place = Place::new();
    let mut operation = place.operation(act);
    operation.deadline_ms = DEADLINE_MS;
    let answer = plugin.deploy_observe(&place.session, &operation).await;
    let told = format!("{answer:?}");
    let is_lie = act.starts_with("lie-") || ["none", "amount"].contains(&act);
    let is_escaped = matches!(
        answer.as_ref().err().and_then(CallError::plugin_error),
        Some(PluginError::Other(case, _)) if case == "escaped"
    );
    let inside = std::fs::read_to_string(place.at("granted/kept/inside"));
    let outside = std::fs::read_to_string(place.at("outside"));
    let are_files_whole =
        inside.is_ok_and(|text| text == "inside") && outside.is_ok_and(|text| text == CANARY);
    let is_contained = (is_lie || answer.is_err())
        && !is_escaped
        && are_files_whole
        && !told.contains(CANARY)
        && !place.at("evil").exists();
    if is_contained { Ok(()) } else { Err(told) }
}

/// The hostile plugin with harmless grants in place of those kinds, granted and compiled.
fn plugin_without(kinds: &[&str]) -> Plugin {
    let mut manifest = MANIFEST.to_owned();
    for (kind, harmless) in GRANTS.iter().filter(|(kind, _)| kinds.contains(kind)) {
        let (begins, ends) = match *kind {
            "process" => ("[[tools]]", "[[http]]"),
            "http" => ("[[http]]", "[[files]]"),
            _ => ("[[files]]", "[settings]"),
        };
        let (begins, ends) = (manifest.find(begins).unwrap(), manifest.find(ends).unwrap());
        manifest.replace_range(begins..ends, &format!("{harmless}\n"));
    }
    let missing = MANIFEST.len().checked_sub(manifest.len()).unwrap();
    // As long as the one that it replaces, so that nothing else in the component moves.
    let manifest = manifest + &"\n".repeat(missing);
    let mut bytes = std::fs::read(component("evil")).unwrap();
    let original = MANIFEST.as_bytes();
    let at = bytes.windows(original.len()).position(|window| window == original).unwrap();
    bytes[at..at + original.len()].copy_from_slice(manifest.as_bytes());

    let house = House::new();
    let changed = house.scratch.path().join("evil.wasm");
    std::fs::write(&changed, bytes).unwrap();
    let granted = house.grant(&changed);
    let compiler = compiler(CompileLimits::default());
    runtime().block_on(house.sandbox.load_or_compile(&granted, &compiler)).unwrap()
}

async fn good_call() {
    let place = Place::new();
    let running = evil().deploy_observe(&place.session, &place.operation("none")).await.unwrap();
    assert_eq!(running.version.as_deref(), Some("1.0.0"));
}

/// Every act that the plugin's own manifest names.
fn acts() -> Vec<String> {
    let acts = evil().manifest().settings.pointer("/properties/act/enum").cloned().unwrap();
    serde_json::from_value(acts).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Publishes a figure where `cargo xtask test` collects them.
#[expect(clippy::print_stderr, reason = "a figure is for people as well")]
pub(crate) fn figure(text: &str) {
    eprintln!("{text}");
    let Some(path) = std::env::var_os("VAULTUP_FIGURES") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(format!("{text}\n").as_bytes()).unwrap();
}
