//! What the tests share.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stage::{Namespace, Programs, Ran};
use tempfile::TempDir;

/// A namespace with these plugins; the folder goes with it.
pub(crate) fn namespace(plugins: &[&str]) -> (Namespace, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_test().unwrap();
    (Namespace::open(folder.path(), &programs, plugins).unwrap(), folder)
}

/// The exit status must be this; what was shown is given back.
pub(crate) fn expect(ran: &Ran, status: i32) -> String {
    assert_eq!(ran.status, Some(status), "{}", ran.shown());
    ran.shown()
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
