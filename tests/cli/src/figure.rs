//! Figures that a test shows, for `cargo xtask test` to collect.

use std::fs::OpenOptions;
use std::io::Write;

/// Names the file that figures are appended to; without it they go nowhere.
const VARIABLE: &str = "VAULTUP_FIGURES";

/// Publishes a figure, such as `crash points covered 132/132`.
///
/// # Panics
/// When there is such a file and it cannot be written: a figure that is lost is a failed test.
#[expect(clippy::panic, reason = "only tests call it")]
pub fn figure(text: &str) {
    let Some(path) = std::env::var_os(VARIABLE) else { return };
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()));
    if let Err(error) = written {
        panic!("the figure `{text}` is lost: {error}");
    }
}
