//! Canaries in every source of secrets, used in every way there is, echoed by the tools that get
//! them, appear nowhere that anybody can read (P13).

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

mod echo;
mod encodings;
mod scan;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use stage::{Programs, Ran, Shop, figure};
use tempfile::TempDir;

use crate::echo::EchoServer;
use crate::encodings::encodings;
use crate::scan::{Needles, Watched};

/// One canary for each source: long, unlike anything else, and with characters that each encoding
/// writes in its own way.
const CANARIES: [&str; 3] = [
    "canary-env-6b1f\"0c2e/9d+f~?>77",
    "canary-file-a94e\"77d0/13+b~?>42",
    "canary-command-50cc\"31be/8f+a~?>5",
];

/// A command of the operator's that shows its secrets in every encoding a shell has, on both of its
/// outputs, and then does what it was told to, or fails.
const LEAKY: &str = r#"#!/bin/sh
for secret in "$SAMPLE_TOKEN" "$OTHER" "$THIRD"; do
  [ -n "$secret" ] || continue
  printf 'plain %s\n' "$secret"
  printf 'base64 %s\n' "$(printf %s "$secret" | base64 -w 0)"
  printf 'hex %s\n' "$(printf %s "$secret" | od -An -v -tx1 | tr -d ' \n')"
done | tee /dev/stderr
[ -e leaky-fails ] && exit 9
exec "$@"
"#;

#[test]
fn a_canary_in_every_source_and_every_use_is_found_nowhere() {
    let (folder, shop) = shop();
    let server = EchoServer::start();
    let needles = Needles::new(CANARIES.iter().flat_map(|canary| encodings(canary)));
    let mut shown = Vec::new();
    let mut watched = Watched::default();
    let mut ask = |arguments: &[&str]| {
        let ran = run(&shop, arguments, &needles, &mut watched);
        shown.push(ran.shown());
        ran
    };
    // Every secret's way through the hostile plugin: variable, standard input, file, header.
    for act in ["secret-echo", "secret-header", "secret-search"] {
        for secret in ["from-env", "from-file", "from-command"] {
            write_stack_file(&shop, &store(&server, act, secret));
            let ran = ask(&["backup", "create"]);
            assert!(ran.errors.contains("error[VU"), "{act}: {}", ran.shown());
        }
    }
    let got = server.got();
    let used = CANARIES.iter().filter(|canary| got.contains(&format!("Bearer {canary}")));
    assert_eq!(used.count(), CANARIES.len(), "each canary must really have been sent: {got}");
    // The application's own way: an upgrade, a failed one, and a command that fails.
    write_stack_file(&shop, "");
    shop.install("3.0.0", &["migrate-fails-half-way"]).unwrap();
    for arguments in [
        &["plan", "--to", "2.0.0", "--commands"][..],
        &["run", "--to", "2.0.0", "-vv"],
        &["run", "--to", "3.0.0", "--format", "json"],
        &["report"],
        &["report", "--format", "json"],
        &["status", "--format", "json"],
        &["verify", "--format", "json"],
        &["backup", "list", "--format", "json"],
        &["plugin", "list", "--format", "json"],
    ] {
        ask(arguments);
    }
    fs::write(folder.path().join("leaky-fails"), "").unwrap();
    let failed = ask(&["run", "--to", "3.0.0"]);
    assert_ne!(failed.status, Some(0), "{}", failed.shown());
    ask(&["report"]);

    let mut scanned = 0;
    for text in &shown {
        scanned += needles.absent_from("what was shown", text.as_bytes());
    }
    assert!(shown.iter().any(|text| text.contains("2.0.0")), "{shown:?}");
    // Everything below the folder but the sources: state, journal, backups, logs, temporary files.
    scanned += needles.absent_below(folder.path(), &["canary.txt", "canary-of-command.txt"]);
    assert!(watched.command_lines > 0, "no argument list was ever seen");
    figure(&format!(
        "canaries {}, forms of each {}, bytes scanned {scanned}, argument lists read {}, leaks 0",
        CANARIES.len(),
        encodings(CANARIES[0]).len(),
        watched.command_lines,
    ));
}

fn shop() -> (TempDir, Shop) {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_test().unwrap();
    let shop = Shop::open(folder.path(), &programs).unwrap();
    let evil = programs.plugins.join("evil.wasm");
    let ran = shop.vaultup(&["plugin", "add", evil.to_str().unwrap(), "--yes"]).unwrap();
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    for (name, canary) in [("canary.txt", CANARIES[1]), ("canary-of-command.txt", CANARIES[2])] {
        write(&folder.path().join(name), &format!("{canary}\n"), 0o600);
    }
    write(&folder.path().join("leaky.sh"), LEAKY, 0o755);
    fs::create_dir_all(folder.path().join("temporary")).unwrap();
    fs::create_dir_all(folder.path().join("data/store")).unwrap();
    (folder, shop)
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const SECRETS: &str = r#"
[secrets]
from-env = { env = "CANARY" }
from-file = { file = "canary.txt" }
from-command = { command = ["cat", "canary-of-command.txt"] }
"#;

const ENVIRONMENT: &str = "[components.api.settings.environment]\n\
    SAMPLE_TOKEN = { secret = \"from-env\" }\nOTHER = { secret = \"from-file\" }\n\
    THIRD = { secret = \"from-command\" }\n\n[components.api.health]";

/// The hostile plugin as a datastore, which tries an act with a secret.
fn store(server: &EchoServer, act: &str, secret: &str) -> String {
    format!(
        "\n[datastores.store]\nplugin = \"evil\"\nwritten-by = [\"api\"]\n\
         settings = {{ act = \"{act}\", path = \"data/store\", url = \"{}\", \
         secret = {{ secret = \"{secret}\" }} }}\n",
        server.url()
    )
}

/// A stack whose commands get the secrets and show them.
fn write_stack_file(shop: &Shop, more: &str) {
    shop.write_stack_file(&format!("{more}{SECRETS}")).unwrap();
    let path = shop.folder().join("vaultup.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replacen("[components.api.health]", ENVIRONMENT, 1);
    let leaky = ["start", "stop"].into_iter().fold(text, |text, name| {
        let (from, to) = (format!("{name} = [\""), format!("{name} = [\"./leaky.sh\", \""));
        text.replacen(&from, &to, 1)
    });
    fs::write(&path, leaky).unwrap();
}

fn run(shop: &Shop, arguments: &[&str], needles: &Needles, watched: &mut Watched) -> Ran {
    let mut command = shop.command(arguments);
    command.env("CANARY", CANARIES[0]).env("TMPDIR", shop.folder().join("temporary"));
    watched.output_of(&mut command, needles)
}
