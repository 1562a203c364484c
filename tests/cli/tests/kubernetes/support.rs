//! What the tests share.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io};

use stage::{Namespace, Programs, Ran};
use tempfile::TempDir;

/// A namespace with these plugins; the folder goes with it.
pub(crate) fn namespace(plugins: &[&str]) -> (Namespace, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_test().unwrap();
    (Namespace::open(folder.path(), &programs, plugins).unwrap(), folder)
}

/// How long a test waits for anything, however much else the machine does.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks: each starts a program that takes 60 ms of a core.
const LOOK: Duration = Duration::from_millis(300);

/// How long each operation of a stack file may take where it is to succeed.
pub(crate) const WITHIN: &str = "4m";
/// The same where it is to run out of time: as long as the test takes.
pub(crate) const WITHIN_SHORT: &str = "60s";

/// Looks until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not so after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// Begins a command that nobody listens to.
pub(crate) fn begun(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Statuses of a helm release's revisions, oldest first: `1 superseded`.
pub(crate) fn statuses(namespace: &Namespace, release: &str) -> Vec<String> {
    let history = namespace.history(release).unwrap();
    history.into_iter().map(|(revision, status, _)| format!("{revision} {status}")).collect()
}

/// Whether a helm has begun and not ended: an older revision that a killed one left stays pending.
pub(crate) fn is_pending(namespace: &Namespace, release: &str) -> bool {
    statuses(namespace, release).pop().is_some_and(|status| status.ends_with("pending-upgrade"))
}

/// The words must stand in what was shown, in this order.
pub(crate) fn in_order(shown: &str, words: &[&str]) {
    let mut rest = shown;
    for word in words {
        let place = rest.find(word).unwrap_or_else(|| panic!("`{word}` is not next in:\n{shown}"));
        rest = &rest[place + word.len()..];
    }
}

/// Kills the helm that works in the namespace, if one still does.
pub(crate) fn kill_helm(namespace: &Namespace) {
    let flag = format!("--namespace={}", namespace.name());
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let is_upgrade = arguments.contains("helm\0upgrade") && !arguments.contains("--dry-run");
        if is_upgrade && arguments.contains(&flag) {
            let id = entry.file_name().into_string().unwrap();
            Command::new("kill").args(["-9", &id]).status().unwrap();
        }
    }
}

/// Begins an upgrade of the helm release `shop`, and kills vaultup and helm as soon as helm works.
pub(crate) fn kill_both(namespace: &Namespace, to: &str) {
    let mut child = begun(namespace.command(&["run", "--to", to]));
    until("helm began", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before helm began");
        is_pending(namespace, "shop")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    kill_helm(namespace);
}

/// The exit status must be this; what was shown is given back.
pub(crate) fn expect(ran: &Ran, status: i32) -> String {
    assert_eq!(ran.status, Some(status), "{}", ran.shown());
    ran.shown()
}

/// A registry of OCI artifacts on this machine, without TLS, that ends with the test.
pub(crate) struct Registry {
    address: String,
    server: Child,
}

impl Registry {
    pub(crate) fn start(namespace: &Namespace) -> Self {
        // Nobody else is given a port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let root = namespace.folder().join("registry");
        fs::create_dir(&root).unwrap();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: \"{address}\"}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n",
            root.display()
        );
        let file = root.join("configuration.yml");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new(namespace.cluster_program("docker-registry"));
        command.arg("serve").arg(&file);
        let server = begun(command);
        until("the registry listens", || TcpStream::connect(&address).is_ok());
        Self { address, server }
    }

    /// Packs a chart of the test and pushes it to `charts/web`, whose reference is given
    /// back.
    pub(crate) fn push(&self, namespace: &Namespace, version: &str) -> String {
        let chart = format!("charts/{version}");
        namespace.helm(&["package", &chart, "--destination=registry"]).unwrap();
        let archive = format!("registry/web-{version}.tgz");
        let folder = format!("oci://{}/charts", self.address);
        namespace.helm(&["push", &archive, &folder, "--plain-http"]).unwrap();
        format!("{folder}/web")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// A way to the cluster that can be closed: what is under way breaks, and nobody gets in.
pub(crate) struct Gate {
    is_closed: Arc<AtomicBool>,
}

impl Gate {
    /// A gate before the namespace's cluster, with a kubeconfig that leads through it.
    pub(crate) fn before(namespace: &Namespace) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = namespace.through(port).unwrap();
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&is_closed);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (target, closed) = (target.clone(), Arc::clone(&closed));
                std::thread::spawn(move || pass(client, &target, &closed));
            }
        });
        Self { is_closed }
    }

    /// vaultup, whose way to the cluster leads through the gate.
    pub(crate) fn command(&self, namespace: &Namespace, arguments: &[&str]) -> Command {
        let mut command = namespace.command(arguments);
        command.env("KUBECONFIG", namespace.folder().join("gate.conf"));
        command
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
    }
}

/// Hands bytes on both ways until either side or the gate closes.
fn pass(client: TcpStream, target: &str, is_closed: &Arc<AtomicBool>) {
    if is_closed.load(Ordering::SeqCst) {
        return;
    }
    let Ok(server) = TcpStream::connect(target) else { return };
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let closed = Arc::clone(is_closed);
    std::thread::spawn(move || copy(from, to, &closed));
    copy(server, client, is_closed);
}

fn copy(mut from: TcpStream, mut to: TcpStream, is_closed: &AtomicBool) {
    use io::{Read as _, Write as _};
    let look = std::time::Duration::from_millis(50);
    from.set_read_timeout(Some(look)).unwrap();
    let mut bytes = [0; 16 * 1024];
    while !is_closed.load(Ordering::SeqCst) {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    drop(from.shutdown(std::net::Shutdown::Both));
    drop(to.shutdown(std::net::Shutdown::Both));
}
