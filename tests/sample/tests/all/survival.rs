//! Whoever started the service may die at any moment, by SIGKILL, with everything it started.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Signal, getsid, kill_process_group};

use crate::world::{Running, World, eventually, succeeds};

/// How many starts are killed, each at another moment.
const KILLS: u32 = 60;

#[test]
fn the_daemon_survives_its_starter_and_holds_none_of_its_pipes() {
    let world = World::seeded(0);
    // A starter with pipes as its standard output and error that starts and then lives on.
    let mut command = Command::new("sh");
    command.args(["-c", "\"$@\" && exec sleep 600", "sh"]);
    command.arg(world.program("1.0.0")).arg("start").args(world.start_arguments());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut starter = Running(command.process_group(0).spawn().unwrap());
    let mut stdout = BufReader::new(starter.0.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "release 1.0.0 is ready\n");
    kill_process_group(starter.process(), Signal::KILL).unwrap();
    starter.ended();
    // Nobody has the other end any more: both pipes are at their end.
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    starter.0.stderr.take().unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    let status = world.status();
    assert_eq!(status["ready"], true, "{status}");
}

#[test]
fn the_daemon_has_its_own_session_and_no_standard_streams_of_its_starter() {
    let world = World::seeded(0);
    succeeds(&world.start("1.0.0", &[]));
    let process = world.status()["process"].as_i64().unwrap();
    let process = i32::try_from(process).unwrap();
    let session = getsid(rustix::process::Pid::from_raw(process)).unwrap();
    assert_eq!(session.as_raw_nonzero().get(), process);
    let stream = |number: u32| std::fs::read_link(format!("/proc/{process}/fd/{number}")).unwrap();
    assert_eq!(stream(0), std::path::Path::new("/dev/null"));
    let log = world.directory.join("log").canonicalize().unwrap();
    assert_eq!((stream(1), stream(2)), (log.clone(), log));
}

#[test]
fn a_daemon_whose_start_was_killed_is_found_and_stopped() {
    let world = World::seeded(0);
    world.install("1.0.0", &["never-ready"]);
    let mut command = world.start_command("1.0.0", &["--ready-timeout-ms", "600000"]);
    let mut start = Running(command.process_group(0).spawn().unwrap());
    let process = eventually("the daemon runs", || {
        let status = world.status();
        (status["running"] == true).then(|| status["process"].clone())
    });
    kill_process_group(start.process(), Signal::KILL).unwrap();
    start.ended();
    let status = world.status();
    assert_eq!(status["process"], process);
    assert_eq!(status["changing"], false, "the lock went with the start that held it");
    assert_eq!(succeeds(&world.stop(&[])), format!("stopped process {process}\n"));
}

/// Wherever the kill strikes between `start` and the daemon, `stop` leaves nothing running and the
/// next `start` succeeds.
#[test]
fn a_start_that_is_killed_anywhere_leaves_nothing_that_stop_overlooks() {
    let world = World::seeded(0);
    let began = Instant::now();
    succeeds(&world.start("1.0.0", &[]));
    let whole = began.elapsed();
    succeeds(&world.stop(&[]));
    let (mut too_early, mut stopped) = (0, 0);
    // The moment moves to and fro around the one at which the daemon is there.
    let mut delay = whole / 2;
    for round in 0..KILLS {
        let mut command = world.start_command("1.0.0", &[]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut start = Running(command.process_group(0).spawn().unwrap());
        std::thread::sleep(delay);
        // In turn the start alone, whose daemon then goes on coming up, and all that it started.
        if round % 2 == 0 {
            start.signal(Signal::KILL);
        } else {
            kill_process_group(start.process(), Signal::KILL).unwrap();
        }
        start.ended();
        let said = succeeds(&world.stop(&[]));
        assert_eq!(processes_of(&world), Vec::<String>::new(), "after «{said}»");
        if said == "nothing runs\n" {
            too_early += 1;
            delay += whole / 10;
        } else {
            assert!(said.starts_with("stopped process"), "{said}");
            stopped += 1;
            delay = delay.saturating_sub(whole / 10);
        }
    }
    assert!(too_early > 0 && stopped > 0, "{too_early} too early, {stopped} stopped");
    succeeds(&world.start("1.0.0", &[]));
}

/// Processes whose program lies in this world.
fn processes_of(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let programs =
        entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path().join("exe")).ok());
    let ours = programs.filter(|program| program.starts_with(&world.directory));
    ours.map(|program| program.display().to_string()).collect()
}
