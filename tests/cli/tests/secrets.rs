//! A canary in every source of secrets appears nowhere that anybody can read (P13).

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::fs;
use std::path::Path;

use stage::{Programs, Shop};

/// One canary for each source; long and unlike anything else.
const CANARIES: [&str; 3] =
    ["canary-env-6b1f0c2e9d", "canary-file-a94e77d013", "canary-command-50cc31be8f"];

const MORE: &str = r#"
[secrets]
from-env = { env = "CANARY" }
from-file = { file = "canary.txt" }
from-command = { command = ["cat", "canary-of-command.txt"] }
"#;

#[test]
fn a_canary_in_every_secret_source_is_found_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(folder.path(), &Programs::beside_this_test().unwrap()).unwrap();
    let files = [("canary.txt", CANARIES[1]), ("canary-of-command.txt", CANARIES[2])];
    for (name, canary) in files {
        let path = folder.path().join(name);
        fs::write(&path, format!("{canary}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(path, mode).unwrap();
    }
    shop.write_stack_file(MORE).unwrap();
    let path = folder.path().join("vaultup.toml");
    let text = fs::read_to_string(&path).unwrap();
    // The sample application takes a token; the others go along as variables that it ignores.
    let environment = "[components.api.settings.environment]\n\
        SAMPLE_TOKEN = { secret = \"from-env\" }\nOTHER = { secret = \"from-file\" }\n\
        THIRD = { secret = \"from-command\" }\n\n[components.api.health]";
    fs::write(&path, text.replacen("[components.api.health]", environment, 1)).unwrap();
    shop.install("3.0.0", &["migrate-fails-half-way"]).unwrap();

    let mut shown = String::new();
    for arguments in [
        &["plan", "--to", "2.0.0", "--commands"][..],
        &["run", "--to", "2.0.0"],
        &["run", "--to", "3.0.0", "--format", "json"],
        &["report"],
        &["report", "--format", "json"],
        &["status", "--format", "json"],
        &["verify", "--format", "json"],
        &["backup", "list", "--format", "json"],
    ] {
        let output = shop.command(arguments).env("CANARY", CANARIES[0]).output().unwrap();
        shown += &String::from_utf8_lossy(&output.stdout);
        shown += &String::from_utf8_lossy(&output.stderr);
    }
    assert!(shown.contains("2.0.0"), "{shown}");
    let mut scanned = shown.len();
    for canary in CANARIES {
        for written in encodings(canary) {
            assert!(!shown.contains(&written), "`{written}` was shown");
        }
    }
    scanned += scan(&folder.path().join("home"));
    scanned += scan(&folder.path().join("data"));
    if let Ok(path) = std::env::var("VAULTUP_FIGURES") {
        use std::io::Write as _;
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        let canaries = CANARIES.len();
        writeln!(file.unwrap(), "canaries {canaries}, bytes scanned {scanned}, leaks 0").unwrap();
    }
}

/// Looks through every file below a directory; gives the bytes that were read.
fn scan(directory: &Path) -> usize {
    let mut scanned = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scanned += scan(&path);
            continue;
        }
        let bytes = fs::read(&path).unwrap_or_default();
        scanned += bytes.len();
        for canary in CANARIES {
            for written in encodings(canary) {
                let needle = written.as_bytes();
                let found = bytes.windows(needle.len()).any(|window| window == needle);
                assert!(!found, "`{written}` stands in {}", path.display());
            }
        }
    }
    scanned
}

/// The forms in which a secret could slip out.
fn encodings(canary: &str) -> Vec<String> {
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = canary.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![canary.to_owned(), hex.to_uppercase(), hex, percent, base64(canary.as_bytes())]
}

/// Standard base64 of what is whole groups of three bytes: its beginning at any alignment counts.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks_exact(3).flat_map(|group| {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]))
    });
    groups.collect()
}
