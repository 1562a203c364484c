//! What the tests of all databases share.

use stage::Ran;

#[track_caller]
pub(crate) fn expect(ran: &Ran, status: i32) {
    assert_eq!(ran.status, Some(status), "{}", ran.shown());
}

#[track_caller]
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Publishes a figure where `cargo xtask` collects them.
pub(crate) fn figure(text: &str) {
    use std::io::Write as _;
    let Ok(path) = std::env::var("VAULTUP_FIGURES") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    writeln!(file.unwrap(), "{text}").unwrap();
}
