//! What goes through a tool, and what stands beside it.

use super::*;

#[tokio::test]
async fn bytes_go_in_and_come_out_unchanged() {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|index| (index * 7 % 251) as u8).collect();
    for reader in [true, false] {
        let taken = Taken::default();
        let mut command = shell("cat");
        command.input = match reader {
            true => Input::Reader(Box::new(io::Cursor::new(bytes.clone()))),
            false => Input::Bytes(bytes.clone()),
        };
        command.output = Output::Writer(Box::new(taken.clone()));
        let finished = run(command).await.unwrap();
        assert!(finished.succeeded() && finished.input_complete);
        assert_eq!((finished.bytes_in, finished.bytes_out), (3_000_000, 3_000_000));
        let (written, flushed) = &*taken.0.lock().unwrap();
        assert!(*written == bytes && *flushed);
        assert_eq!(Arc::strong_count(&taken.0), 1, "the writer was not dropped");
    }
}

#[tokio::test]
async fn a_writer_that_fails_stops_the_tool_whatever_it_would_have_said() {
    for script in ["cat /dev/zero", "echo 0123456789; exit 0", "echo 0123456789; sleep 60"] {
        let mut command = shell(script);
        command.output = Output::Writer(Box::new(Full(5)));
        let began = Instant::now();
        match run(command).await.unwrap_err() {
            Error::OutputFailed { source, .. } => {
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            }
            error => panic!("{script}: {error}"),
        }
        assert!(began.elapsed() < LONG / 2);
    }
}

#[tokio::test]
async fn a_reader_that_fails_stops_the_tool_whatever_it_would_have_said() {
    for script in ["cat", "head -c 10; sleep 60", "head -c 100000; exit 0"] {
        let mut command = shell(script);
        command.input = Input::Reader(Box::new(Damaged(100_000)));
        match run(command).await.unwrap_err() {
            Error::InputFailed { source, .. } => {
                assert_eq!(source.kind(), io::ErrorKind::InvalidData);
            }
            error => panic!("{script}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_tool_that_does_not_read_everything_is_told_apart() {
    let mut command = shell("head -c 10");
    command.input = Input::Bytes(vec![b'x'; 5_000_000]);
    let finished = run(command).await.unwrap();
    assert!(finished.succeeded() && !finished.input_complete);
    let mut command = shell("exec <&-; sleep 0.1; exit 0");
    command.input = Input::Reader(Box::new(io::repeat(b'x')));
    let finished = run(command).await.unwrap();
    assert!(finished.succeeded() && !finished.input_complete);
}

#[tokio::test]
async fn stages_that_hang_are_left_behind_at_the_deadline() {
    let mut command = shell("echo data; exit 0");
    (command.output, command.deadline) = (Output::Writer(Box::new(Hangs)), DEADLINE);
    assert_eq!(run(command).await.unwrap().exit, Exit::Deadline);
    let mut command = shell("cat");
    (command.input, command.deadline) = (Input::Reader(Box::new(Hangs)), DEADLINE);
    assert_eq!(run(command).await.unwrap().exit, Exit::Deadline);
}

#[tokio::test]
async fn a_label_is_as_long_as_is_allowed_and_not_one_byte_longer() {
    let labelled = |bytes: usize| Command { label: "x".repeat(bytes), ..shell("true") };
    assert_eq!(run(labelled(LABEL_BYTES_MAX)).await.unwrap().exit, Exit::Status(0));
    for bytes in [0, LABEL_BYTES_MAX + 1] {
        assert!(spawn(labelled(bytes)).is_err(), "{bytes} bytes");
    }
}
