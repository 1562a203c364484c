//! Looking for needles: in texts, in files, and in the argument lists of running processes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use stage::Ran;

/// What must be found nowhere.
pub(crate) struct Needles(Vec<String>);

/// What was seen of processes while they ran.
#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) command_lines: usize,
}

impl Needles {
    pub(crate) fn new(needles: impl Iterator<Item = String>) -> Self {
        Self(needles.collect())
    }

    /// Checks that none is in these bytes; gives how many bytes there are.
    pub(crate) fn absent_from(&self, place: &str, bytes: &[u8]) -> usize {
        if let Some(needle) = self.find(bytes) {
            panic_with(place, needle, bytes);
        }
        bytes.len()
    }

    /// Checks every file below a directory, names too; gives the bytes that were read.
    pub(crate) fn absent_below(&self, directory: &Path, sources: &[&str]) -> usize {
        let mut scanned = 0;
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if sources.iter().any(|source| entry.file_name() == *source) {
                continue;
            }
            scanned += self.absent_from("a file's name", path.display().to_string().as_bytes());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                scanned += self.absent_below(&path, sources);
            } else if kind.is_file() {
                let bytes = fs::read(&path).unwrap();
                scanned += self.absent_from(&path.display().to_string(), &bytes);
            }
        }
        scanned
    }

    fn find(&self, bytes: &[u8]) -> Option<&str> {
        let holds = |needle: &&String| {
            let needle = needle.as_bytes();
            let first = needle[0];
            let mut rest = bytes;
            while let Some(at) = rest.iter().position(|byte| *byte == first) {
                rest = &rest[at..];
                if rest.starts_with(needle) {
                    return true;
                }
                rest = &rest[1..];
            }
            false
        };
        self.0.iter().find(holds).map(String::as_str)
    }
}

impl Watched {
    /// Runs a command to its end, and reads the argument lists of all processes meanwhile.
    pub(crate) fn output_of(&mut self, command: &mut Command, needles: &Needles) -> Ran {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut seen = 0;
                while !is_over.load(Ordering::Relaxed) {
                    seen += read_command_lines(needles);
                }
                seen
            });
            let output = child.wait_with_output().unwrap();
            is_over.store(true, Ordering::Relaxed);
            self.command_lines += watching.join().unwrap();
            Ran::of(output)
        })
    }
}

/// How many argument lists were read. Processes come and go meanwhile.
fn read_command_lines(needles: &Needles) -> usize {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let mut read = 0;
    for process in processes.flatten() {
        let Ok(arguments) = fs::read(process.path().join("cmdline")) else { continue };
        read += usize::from(needles.absent_from("an argument list", &arguments) > 0);
    }
    std::thread::yield_now();
    read
}

#[track_caller]
#[expect(clippy::panic, reason = "a leak is what the test looks for")]
fn panic_with(place: &str, needle: &str, bytes: &[u8]) -> ! {
    let text = String::from_utf8_lossy(bytes);
    let around = text.find(needle).map_or("", |at| {
        let start = (0..=at.saturating_sub(80)).rev().find(|start| text.is_char_boundary(*start));
        let text = &text[start.unwrap_or(0)..];
        text.get(..240).unwrap_or(text)
    });
    panic!("`{needle}` stands in {place}: …{around}…")
}
