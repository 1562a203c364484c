//! Tools that outlive a vaultup which was killed. The killed vaultup is this test program itself,
//! started once more.
#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vaultup_system::process::{
    Command, Input, Output, OutputLimits, ProcessIdentity, Running, Survivor, spawn, survivors,
};

/// When it is set, this program plays the vaultup that is going to be killed.
const KEY_TO_RUN_UNDER: &str = "SURVIVORS_TEST_KEY";
const DIRECTORY_TO_RUN_IN: &str = "SURVIVORS_TEST_DIRECTORY";

/// A tool with a service in its group and a daemon in a session of its own; it ends when there is
/// a file `go`.
const TOOL: &str = "sleep 100 & echo $! > service; setsid sleep 100 & echo $! > daemon; \
                    echo $$ > tool; while [ ! -e go ]; do sleep 0.02; done";

fn start(key: &str, directory: &Path) -> Running {
    spawn(Command {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), TOOL.into()],
        environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        directory: directory.into(),
        input: Input::Empty,
        output: Output::Lines,
        deadline: Duration::from_secs(100),
        limits: OutputLimits::CONTRACT,
        memory_bytes_max: None,
        label: key.to_owned(),
    })
    .unwrap()
}

/// The numbers of the tool, its service and its daemon.
fn numbers(directory: &Path) -> [u32; 3] {
    ["tool", "service", "daemon"].map(|name| {
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
            if let Some(number) = text.strip_suffix('\n') {
                return number.parse().unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(20), "the tool did not start");
            std::thread::yield_now();
        }
    })
}

fn is_alive(process_id: u32) -> bool {
    ProcessIdentity::of(process_id).unwrap().is_some()
}

fn end(process_id: u32) {
    let process = Pid::from_raw(i32::try_from(process_id).unwrap()).unwrap();
    let _ = kill_process(process, Signal::KILL);
}

/// Starts a vaultup that starts the tool, and kills it.
fn killed_vaultup(key: &str, directory: &Path) -> [u32; 3] {
    let mut vaultup = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_running_tool_is_no_survivor_to_its_own_vaultup", "--nocapture"])
        .env(KEY_TO_RUN_UNDER, key)
        .env(DIRECTORY_TO_RUN_IN, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(vaultup.stdout.take().unwrap());
    let ready = output.lines().map(Result::unwrap).any(|line| line.contains("ready"));
    assert!(ready, "the vaultup that is to be killed did not come up");
    vaultup.kill().unwrap();
    vaultup.wait().unwrap();
    numbers(directory)
}

fn only(key: &str) -> Survivor {
    let mut found = survivors(key).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[tokio::test]
async fn a_running_tool_is_no_survivor_to_its_own_vaultup() {
    let scratch = tempfile::tempdir().unwrap();
    let key = std::env::var(KEY_TO_RUN_UNDER);
    let directory = std::env::var_os(DIRECTORY_TO_RUN_IN)
        .map_or_else(|| scratch.path().to_owned(), std::path::PathBuf::from);
    let key_or_own = key.clone().unwrap_or_else(|_| "survivors.own".to_owned());
    let running = start(&key_or_own, &directory);
    let [tool, _, daemon] = numbers(&directory);
    assert_eq!(tool, running.process_id());
    assert_eq!(survivors(&key_or_own).unwrap(), []);
    if key.is_ok() {
        #[expect(clippy::print_stdout, reason = "the other process waits for it")]
        {
            println!("ready");
        }
        std::future::pending::<()>().await;
    }
    drop(running);
    end(daemon);
}

#[tokio::test]
async fn the_tool_of_a_killed_vaultup_is_found_by_its_key_and_ended_with_its_group() {
    let scratch = tempfile::tempdir().unwrap();
    let [tool, service, daemon] = killed_vaultup("survivors.kill", scratch.path());
    assert_eq!(survivors("survivors.kil").unwrap(), []);
    let survivor = only("survivors.kill");
    assert_eq!(survivor.process.process_id, tool);
    assert_eq!(survivor.arguments, ["/bin/sh", "-c", TOOL]);
    let age = jiff::Timestamp::now().duration_since(survivor.started);
    assert!(age.as_secs().abs() < 60, "{age:?}");
    assert!(survivor.is_alive());

    survivor.kill().await.unwrap();
    assert!(!survivor.is_alive() && !is_alive(tool));
    let began = Instant::now();
    while is_alive(service) && began.elapsed() < Duration::from_secs(5) {
        tokio::task::yield_now().await;
    }
    assert!(!is_alive(service), "a part of the tool lives on");
    assert!(is_alive(daemon), "a service was taken for a tool");
    assert_eq!(survivors("survivors.kill").unwrap(), []);
    survivor.kill().await.unwrap();
    end(daemon);
}

#[tokio::test]
async fn the_tool_of_a_killed_vaultup_can_be_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    let [_, service, daemon] = killed_vaultup("survivors.wait", scratch.path());
    let survivor = only("survivors.wait");
    assert!(!survivor.wait(Duration::from_millis(50)).await);
    std::fs::write(scratch.path().join("go"), "").unwrap();
    assert!(survivor.wait(Duration::from_secs(20)).await);
    assert!(!survivor.is_alive());
    // It ended by itself: what it left behind is a service now.
    assert_eq!(survivors("survivors.wait").unwrap(), []);
    assert!(is_alive(service) && is_alive(daemon));
    end(service);
    end(daemon);
}

#[tokio::test]
async fn a_process_that_has_the_number_of_a_survivor_by_chance_is_not_touched() {
    let scratch = tempfile::tempdir().unwrap();
    let [tool, service, daemon] = killed_vaultup("survivors.chance", scratch.path());
    let mut earlier = only("survivors.chance");
    earlier.process.started_ticks -= 1;
    assert!(!earlier.is_alive());
    assert!(earlier.wait(Duration::from_secs(1)).await);
    earlier.kill().await.unwrap();
    assert!(is_alive(tool));
    for process in [tool, service, daemon] {
        end(process);
    }
}
