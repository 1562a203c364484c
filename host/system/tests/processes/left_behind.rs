//! What a tool leaves behind.

use super::*;

#[tokio::test]
async fn a_service_that_a_start_script_leaves_behind_lives_on_and_holds_nothing_up() {
    for output in [Output::Text, Output::Discard] {
        let begins = "sleep 60 & echo $! >&2; exit 0";
        let mut command = shell(begins);
        command.output = output;
        let began = Instant::now();
        let finished = run(command).await.unwrap();
        assert!(finished.succeeded());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let service = finished.errors_tail.trim().to_owned();
        assert!(is_alive(&service));
        end(&service);
    }
}

#[tokio::test]
async fn a_service_keeps_a_place_to_write_to_that_nobody_can_read() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("service.log");
    let copy = scratch.path().join("copy");
    let service = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; echo three >&2";
    let mut command =
        shell(&format!("({service}; cat < /proc/self/fd/1 > copy; touch done) & echo begun $!"));
    (command.output, command.directory) = (Output::File(log.clone()), scratch.path().into());
    let finished = run(command).await.unwrap();
    assert!(finished.succeeded());
    assert!(finished.errors_tail.contains("begun"));
    assert!(!log.exists(), "it has no name while the service writes");
    std::fs::write(scratch.path().join("go"), "").unwrap();
    let began = Instant::now();
    while !scratch.path().join("done").exists() {
        assert!(began.elapsed() < Duration::from_secs(5), "the service died of its log");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let written = std::fs::read_to_string(copy).unwrap();
    assert!(written.ends_with("two\nthree\n"), "{written}");
    assert!(!log.exists());
}

#[tokio::test]
async fn a_log_that_grows_beyond_its_limit_stops_the_tool() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = shell("i=0; while :; do echo 0123456789; sleep 0.001; done");
    command.output = Output::File(scratch.path().join("log"));
    command.limits.bytes_max = 100;
    let finished = run(command).await.unwrap();
    assert_eq!(finished.exit, Exit::OutputLimit);
    assert!(finished.bytes_out > 100);
}

#[tokio::test]
async fn dropping_a_start_command_that_has_ended_spares_its_service() {
    let mut command = shell("sleep 60 & echo $!");
    command.output = Output::Lines;
    let mut running = spawn(command).unwrap();
    let service = running.next_line().await.unwrap().text;
    let leader = running.process_id().to_string();
    assert!(ends(&leader).await);
    drop(running);
    tokio::task::yield_now().await;
    assert!(is_alive(&service));
    end(&service);
}

#[tokio::test]
async fn an_artifact_whose_stream_an_orphan_holds_open_is_no_success() {
    let taken = Taken::default();
    let mut command = shell("echo data; sleep 60 & exit 0");
    command.output = Output::Writer(Box::new(taken.clone()));
    let error = run(command).await.unwrap_err();
    assert!(matches!(error, Error::OutputHeldOpen { .. }), "{error}");
    assert!(!taken.0.lock().unwrap().1, "what is not whole was flushed as if it were");
}

fn end(process_id: &str) {
    let id = process_id.parse().unwrap();
    let process = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
}
