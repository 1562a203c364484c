//! Tools that misbehave, each real: shell scripts in their own processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

mod left_behind;
mod stages;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vaultup_system::Error;
use vaultup_system::process::{
    Command, Exit, Finished, GIVE_UP_MAX, Input, LABEL_BYTES_MAX, Line, Origin, Output,
    OutputLimits, ProcessIdentity, Running, spawn,
};

/// Long enough for a shell to start on a busy machine, short enough to wait for.
const DEADLINE: Duration = Duration::from_millis(700);

/// For tools that end by themselves.
const LONG: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Command {
    Command {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        directory: "/".into(),
        input: Input::Empty,
        output: Output::Text,
        deadline: LONG,
        limits: OutputLimits::CONTRACT,
        memory_bytes_max: None,
        label: "test".to_owned(),
    }
}

async fn run(command: Command) -> Result<Finished, Error> {
    let deadline = command.deadline;
    let began = Instant::now();
    let result = spawn(command)?.finish().await;
    assert!(began.elapsed() <= deadline + GIVE_UP_MAX, "gave up after {:?}", began.elapsed());
    result
}

/// What a writer was given, and whether it was flushed and dropped.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<(Vec<u8>, bool)>>);

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().1 = true;
        Ok(())
    }
}

/// Fails after so many bytes, as a full disk does.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(room) => self.0 = room,
            None => return Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives so many bytes and then fails, as a damaged artifact does.
struct Damaged(usize);

impl Read for Damaged {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let length = buffer.len().min(self.0);
        self.0 -= length;
        Ok(length)
    }
}

/// Hangs for ever, as a dead network mount does.
struct Hangs;

impl Write for Hangs {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Hangs {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }
}

fn is_alive(process_id: &str) -> bool {
    ProcessIdentity::of(process_id.trim().parse().unwrap()).unwrap().is_some()
}

/// Waits until it is gone: being killed and being gone are two moments.
async fn ends(process_id: &str) -> bool {
    let began = Instant::now();
    while is_alive(process_id) {
        if began.elapsed() > Duration::from_secs(5) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

async fn lines(mut running: Running) -> (Vec<Line>, Result<Finished, Error>) {
    let mut lines = Vec::new();
    while let Some(line) = running.next_line().await {
        lines.push(line);
    }
    (lines, running.finish().await)
}

// ---- how it ends ---------------------------------------------------------------------------

#[tokio::test]
async fn every_exit_status_is_told_and_only_zero_is_a_success() {
    for status in [0, 1, 2, 3, 70, 126, 127, 255] {
        let finished = run(shell(&format!("exit {status}"))).await.unwrap();
        assert_eq!(finished.exit, Exit::Status(status));
        assert_eq!(finished.succeeded(), status == 0);
    }
}

#[tokio::test]
async fn a_tool_that_is_killed_says_by_which_signal() {
    for signal in [6, 9, 11, 15] {
        let finished = run(shell(&format!("kill -{signal} $$"))).await.unwrap();
        assert_eq!(finished.exit, Exit::Signal(signal));
    }
}

#[tokio::test]
async fn a_tool_that_hangs_is_stopped_at_its_deadline() {
    let mut command = shell("echo begun; sleep 60");
    command.deadline = DEADLINE;
    let finished = run(command).await.unwrap();
    assert_eq!(finished.exit, Exit::Deadline);
    assert_eq!(finished.output, "begun\n");
}

#[tokio::test]
async fn a_tool_that_ignores_sigterm_is_killed_with_everything_it_started() {
    let mut command = shell("trap '' TERM; sh -c 'echo $$; while :; do sleep 1; done'");
    command.deadline = DEADLINE;
    let finished = run(command).await.unwrap();
    assert_eq!(finished.exit, Exit::Deadline);
    assert!(finished.elapsed >= DEADLINE + vaultup_system::process::STOP_GRACE);
    assert!(ends(&finished.output).await, "the grandchild {} lives on", finished.output);
}

#[tokio::test]
async fn a_grandchild_may_clean_up_after_its_shell_is_gone() {
    let grandchild = "trap 'sleep 0.2; echo cleaned up; exit 0' TERM; while :; do sleep 0.05; done";
    let mut command = shell(&format!("sh -c \"{grandchild}\""));
    command.deadline = DEADLINE;
    let finished = run(command).await.unwrap();
    assert_eq!(finished.output, "cleaned up\n");
    assert_eq!(finished.exit, Exit::Deadline);
}

#[tokio::test]
async fn a_cancelled_tool_ends_within_the_grace() {
    let running = spawn(shell("sleep 60")).unwrap();
    let canceller = running.canceller();
    let began = Instant::now();
    let cancel = tokio::spawn(async move { canceller.cancel() });
    let finished = running.finish().await.unwrap();
    cancel.await.unwrap();
    assert_eq!(finished.exit, Exit::Cancelled);
    assert!(began.elapsed() < GIVE_UP_MAX);
}

#[tokio::test]
async fn dropping_a_running_tool_kills_its_whole_group() {
    let mut command = shell("sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done'");
    command.output = Output::Lines;
    let mut running = spawn(command).unwrap();
    let grandchild = running.next_line().await.unwrap().text;
    let leader = running.process_id().to_string();
    drop(running);
    assert!(ends(&leader).await && ends(&grandchild).await);
}

#[test]
fn a_runtime_that_is_torn_down_leaves_no_tool_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let running = runtime.block_on(async { spawn(shell("sleep 60")).unwrap() });
    let leader = running.process_id().to_string();
    drop(runtime);
    let began = Instant::now();
    while is_alive(&leader) && began.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    // Nobody waits for it any more, so what is left of it is a name without a process.
    assert!(!is_alive(&leader));
    drop(running);
}

#[tokio::test]
async fn what_cannot_be_started_says_what_and_where() {
    let scratch = tempfile::tempdir().unwrap();
    let script = scratch.path().join("script");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    let folder = scratch.path().to_path_buf();
    for (program, directory) in [
        (Path::new("/nowhere/tool"), Path::new("/")),
        (&script, Path::new("/")),
        (&folder, Path::new("/")),
        (Path::new("/bin/sh"), Path::new("/nowhere")),
        (Path::new("bin/sh"), Path::new("/")),
    ] {
        let mut command = shell("exit 0");
        (command.program, command.directory) = (program.into(), directory.into());
        let error = run(command).await.unwrap_err();
        assert!(matches!(error, Error::NotStarted { .. }), "{error}");
        assert!(error.to_string().contains(program.to_str().unwrap()), "{error}");
    }
    for label in [String::new(), "x".repeat(201)] {
        let error = spawn(Command { label, ..shell("exit 0") }).unwrap_err();
        assert!(matches!(error, Error::NotStarted { .. }), "{error}");
    }
    spawn(Command { label: "x".repeat(200), ..shell("exit 0") }).unwrap().finish().await.unwrap();
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_the_key() {
    let mut command = shell("env | sort");
    command.program = "/usr/bin/env".into();
    command.arguments.clear();
    command.label = "run.7.step".to_owned();
    let finished = run(command).await.unwrap();
    let mut lines: Vec<&str> = finished.output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["PATH=/usr/bin:/bin", "VAULTUP_KEY=run.7.step"]);
}

#[tokio::test]
async fn a_tool_beyond_its_memory_fails_and_one_within_does_not() {
    // The limit is set before the first byte of input, and `read` waits for that.
    let script = "read line; head -c 100000000 /dev/zero | tail -c 100000000 | wc -c";
    for (bytes_max, fits) in [(32 << 20, false), (1 << 30, true)] {
        let mut command = shell(script);
        command.memory_bytes_max = Some(bytes_max);
        command.input = Input::Bytes(b"go\n".to_vec());
        let finished = run(command).await.unwrap();
        assert_eq!(finished.output.trim() == "100000000", fits, "{finished:?}");
    }
}

// ---- what it writes ------------------------------------------------------------------------

#[tokio::test]
async fn lines_of_both_streams_come_as_they_are_written() {
    let mut command =
        shell("echo one; sleep 0.1; echo two >&2; sleep 0.1; printf 'three\\r\\nfour'");
    command.output = Output::Lines;
    let (lines, finished) = lines(spawn(command).unwrap()).await;
    let (out, err) = (Origin::StandardOutput, Origin::StandardError);
    let expected = [(out, "one"), (err, "two"), (out, "three"), (out, "four")];
    let expected = expected.map(|(origin, text)| Line { origin, text: text.to_owned() });
    assert_eq!(lines, expected);
    let finished = finished.unwrap();
    assert_eq!((finished.errors_tail.as_str(), finished.bytes_out), ("two\n", 15));
}

#[tokio::test]
async fn a_partial_line_of_a_tool_that_hangs_is_told() {
    let mut command = shell("printf 'Password: '; sleep 60");
    (command.output, command.deadline) = (Output::Lines, DEADLINE);
    let (lines, finished) = lines(spawn(command).unwrap()).await;
    assert_eq!(lines[0].text, "Password: ");
    assert_eq!(finished.unwrap().exit, Exit::Deadline);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_replaced() {
    let finished = run(shell("printf 'a\\377b\\n'; printf 'c\\377\\n' >&2")).await.unwrap();
    assert_eq!(finished.output, "a\u{fffd}b\n");
    assert_eq!(finished.errors_tail, "c\u{fffd}\n");
}

#[tokio::test]
async fn output_at_the_limit_is_whole_and_one_byte_more_stops_the_tool() {
    for (bytes, exit) in [(100_000, Exit::Status(0)), (100_001, Exit::OutputLimit)] {
        for stream in ["1", "2"] {
            let mut command = shell(&format!("head -c {bytes} /dev/zero >&{stream}"));
            command.limits.bytes_max = 100_000;
            let finished = run(command).await.unwrap();
            assert_eq!(finished.exit, exit, "{bytes} bytes to stream {stream}");
            assert!(finished.output.len() <= 100_000);
        }
    }
}

#[tokio::test]
async fn endless_output_costs_neither_memory_nor_the_time_to_the_deadline() {
    for script in ["yes", "yes >&2", "cat /dev/zero", "yes | tr -d '\\n'"] {
        for output in [Output::Lines, Output::Text] {
            let mut command = shell(script);
            command.output = output;
            let began = Instant::now();
            let finished = run(command).await.unwrap();
            assert_eq!(finished.exit, Exit::OutputLimit, "{script}");
            assert!(finished.output.len() as u64 <= OutputLimits::CONTRACT.bytes_max);
            assert!(finished.errors_tail.len() <= OutputLimits::CONTRACT.error_tail_bytes);
            assert!(began.elapsed() < LONG / 2, "{script} took {:?}", began.elapsed());
        }
    }
}

#[tokio::test]
async fn a_line_is_cut_at_its_limit_and_the_next_one_is_whole() {
    let mut command = shell("head -c 70000 /dev/zero | tr '\\0' x; echo; echo next");
    command.output = Output::Lines;
    let (lines, _) = lines(spawn(command).unwrap()).await;
    let lengths: Vec<usize> = lines.iter().map(|line| line.text.len()).collect();
    assert_eq!(lengths, [64 << 10, 4]);
}

#[tokio::test]
async fn lines_that_nobody_takes_hold_the_tool_back_until_its_end_is_asked_for() {
    let mut command = shell("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done");
    command.output = Output::Lines;
    let mut running = spawn(command).unwrap();
    assert_eq!(running.next_line().await.unwrap().text, "line 0");
    let finished = running.finish().await.unwrap();
    assert!(finished.succeeded());
    assert_eq!(finished.bytes_out, 3000 * 6 + 10 + 2 * 90 + 3 * 900 + 4 * 2000);
}

#[tokio::test]
async fn whether_a_tool_has_ended_is_told_without_waiting_for_it() {
    let mut command = shell("echo begun; exec tail -f /dev/null");
    command.output = Output::Lines;
    let mut running = spawn(command).unwrap();
    assert_eq!(running.next_line().await.unwrap().text, "begun");
    assert!(!running.has_ended());
    running.canceller().cancel();
    assert!(running.next_line().await.is_none());
    while !running.has_ended() {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.finish().await.unwrap().exit, Exit::Cancelled);
}

#[tokio::test]
async fn a_slow_reader_of_lines_misses_none_after_the_tool_has_ended() {
    let mut command = shell("i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done");
    command.output = Output::Lines;
    let mut running = spawn(command).unwrap();
    let mut count = 0;
    while let Some(line) = running.next_line().await {
        assert_eq!(line.text, count.to_string());
        count += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(count, 500);
}

#[tokio::test]
async fn the_end_of_many_errors_is_kept_from_the_beginning_of_a_line() {
    let mut command = shell("i=0; while [ $i -lt 200 ]; do echo error $i >&2; i=$((i+1)); done");
    command.limits.error_tail_bytes = 40;
    let finished = run(command).await.unwrap();
    assert_eq!(finished.errors_tail, "error 197\nerror 198\nerror 199\n");
}

#[tokio::test]
async fn a_slow_drip_is_cut_at_the_deadline_and_what_came_is_kept() {
    let mut command = shell("while :; do printf .; sleep 0.05; done");
    command.deadline = DEADLINE;
    let finished = run(command).await.unwrap();
    assert_eq!(finished.exit, Exit::Deadline);
    assert!(finished.output.len() > 1 && finished.output.bytes().all(|byte| byte == b'.'));
}
