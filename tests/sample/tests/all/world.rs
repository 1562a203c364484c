//! A scratch directory with releases, a store, a key and whatever runs there.
//!
//! Everything ends with the value: daemons are stopped, children killed, the directory removed.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A machine under load may be slow; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(2);

pub(crate) struct World {
    pub(crate) directory: PathBuf,
}

impl World {
    /// An empty world.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("world-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory }
    }

    /// A world with releases 1, 2 and 3, and a store that release 1 filled.
    pub(crate) fn seeded(orders: u32) -> Self {
        let world = Self::new();
        for release in ["1.0.0", "2.0.0", "3.0.0"] {
            world.install(release, &[]);
        }
        let (orders, key) = (orders.to_string(), world.key());
        let arguments = ["--orders", orders.as_str(), "--key", text(&key)];
        succeeds(&world.on_data("1.0.0", "seed", &arguments));
        world
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.join("key")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Writes a release directory, in place of one that there may be.
    pub(crate) fn install(&self, release: &str, faults: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vaultup-sample"));
        command.arg("install").arg("--into").arg(self.directory.join("releases"));
        command.args(["--release", release]);
        command.args(faults.iter().flat_map(|fault| ["--fault", fault]));
        succeeds(&command.run());
    }

    pub(crate) fn program(&self, release: &str) -> PathBuf {
        self.directory.join("releases").join(release).join("bin/vaultup-sample")
    }

    /// A command of a release, not yet run, that hears nothing from this test's environment.
    pub(crate) fn command(&self, release: &str, command: &str) -> Command {
        let mut prepared = Command::new(self.program(release));
        prepared.arg(command).env_clear().stdin(Stdio::null());
        prepared
    }

    /// Runs a command of a release on the store.
    pub(crate) fn on_data(&self, release: &str, command: &str, more: &[&str]) -> Output {
        let mut prepared = self.command(release, command);
        prepared.arg("--data").arg(self.data()).args(more).run()
    }

    /// Runs a command on the store that must succeed, and reads the JSON line that it prints.
    pub(crate) fn json(&self, release: &str, command: &str) -> Value {
        json(&succeeds(&self.on_data(release, command, &[])))
    }

    pub(crate) fn digest(&self) -> Value {
        self.json("3.0.0", "digest")
    }

    /// `start` of a release, on a port that the system chooses; not yet run.
    pub(crate) fn start_command(&self, release: &str, more: &[&str]) -> Command {
        let mut prepared = self.command(release, "start");
        prepared.args(self.start_arguments()).args(more);
        prepared
    }

    pub(crate) fn start_arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["--listen".into(), "127.0.0.1:0".into()];
        for (option, path) in [
            ("--data", self.data()),
            ("--key", self.key()),
            ("--pid-file", self.pid_file()),
            ("--log", self.directory.join("log")),
        ] {
            words.extend([option.into(), path.into_os_string()]);
        }
        words
    }

    pub(crate) fn start(&self, release: &str, more: &[&str]) -> Output {
        self.start_command(release, more).run()
    }

    pub(crate) fn stop(&self, more: &[&str]) -> Output {
        self.stop_command(more).run()
    }

    fn stop_command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vaultup-sample"));
        command.arg("stop").arg("--pid-file").arg(self.pid_file()).args(more);
        command
    }

    pub(crate) fn status_output(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vaultup-sample"));
        command.arg("status").arg("--pid-file").arg(self.pid_file()).run()
    }

    pub(crate) fn status(&self) -> Value {
        json(&succeeds(&self.status_output()))
    }

    /// Where the daemon listens.
    pub(crate) fn address(&self) -> String {
        let text = std::fs::read_to_string(self.pid_file()).unwrap();
        let daemon: Value = serde_json::from_str(&text).unwrap();
        daemon["listen"].as_str().unwrap().to_owned()
    }

    /// Every file below the data directory with its bytes.
    pub(crate) fn data_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(self.data()).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.stop_command(&["--timeout-ms", "0"]).output();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A child that is killed with the value.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.0)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.process(), signal).unwrap();
    }

    /// Its exit status; fails when it does not end.
    pub(crate) fn ended(&mut self) -> std::process::ExitStatus {
        eventually("the child ends", || self.0.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command that ends by itself, and fails (and kills it) when it does not: a `serve` that
/// should have refused would otherwise hold up the test for ever.
pub(crate) trait Run {
    fn run(&mut self) -> Output;
}

impl Run for Command {
    fn run(&mut self) -> Output {
        self.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(self.spawn().unwrap());
        // What it prints fits into a pipe, so it can end before anybody reads.
        let status = running.ended();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        running.0.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        running.0.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        Output { status, stdout, stderr }
    }
}

/// `serve` in the foreground.
pub(crate) struct Server {
    pub(crate) child: Running,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(world: &World, release: &str) -> Self {
        Self::start_with(world, release, &[], &[])
    }

    pub(crate) fn start_with(
        world: &World,
        release: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let port_file = world.directory.join(format!("port-{release}"));
        let _ = std::fs::remove_file(&port_file);
        let mut command = serve_command(world, release);
        command.arg("--port-file").arg(&port_file).args(more);
        command.envs(environment.iter().copied()).stderr(Stdio::null());
        let mut child = Running(command.spawn().unwrap());
        let port = eventually("the port file appears", || {
            assert!(child.0.try_wait().unwrap().is_none(), "serve ended");
            std::fs::read_to_string(&port_file).ok()
        });
        Self { child, address: format!("127.0.0.1:{}", port.trim()) }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        request(&self.address, "GET", path, &[], "")
    }

    pub(crate) fn json_of(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, String) {
        request(&self.address, "POST", path, &[], body)
    }
}

/// `serve` on a port that the system chooses; not yet run.
pub(crate) fn serve_command(world: &World, release: &str) -> Command {
    let mut command = world.command(release, "serve");
    command.arg("--data").arg(world.data()).arg("--key").arg(world.key());
    command.args(["--listen", "127.0.0.1:0"]);
    command
}

/// One request on a connection of its own.
pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> (u16, String) {
    let mut stream = send(address, method, path, headers, body);
    receive(&mut stream)
}

/// Sends a request and does not wait for the answer.
pub(crate) fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: sample\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    if !body.is_empty() {
        head.push_str("Content-Type: application/json\r\n");
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Status and body of the answer.
pub(crate) fn receive(stream: &mut TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until something is there.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(POLL);
    }
}

pub(crate) fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", output.status, errors(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Checks the exit status of what failed and returns what it said.
pub(crate) fn fails(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{}", errors(output));
    errors(output)
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn json(line: &str) -> Value {
    assert_eq!(line.lines().count(), 1, "not one line: {line}");
    serde_json::from_str(line).unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
