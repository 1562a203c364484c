//! What the host has to refuse, or to let happen without showing a secret.

use vaultup_sdk::files::Root;
use vaultup_sdk::process::{self, Finished};
use vaultup_sdk::{Error, artifact as artifacts, http as web, log, secret};

use crate::Settings;
use crate::attempt::Attempts;

/// Arguments that no placeholder may take: flags, what looks like flags, what ends or splits an
/// argument, what a shell would read, what leads up, and what is no name.
const INJECTED: [&str; 22] = [
    "-v",
    "--help",
    "-",
    "--",
    "\u{2013}v",
    "\u{2212}v",
    "\u{ad}-v",
    "\u{ff0d}v",
    "",
    "a\0b",
    "a\nb",
    "a b",
    "a;id",
    "$(id)",
    "`id`",
    "a|id",
    "a=b",
    "*",
    "~",
    "../a",
    "a/../../b",
    "\u{202e}a",
];

/// Runs what was not granted.
pub(crate) fn exec() -> Result<(), Error> {
    let mut attempts = Attempts::default();
    let commands: [&[&str]; 12] = [
        &["id"],
        &["sh", "-c", "id"],
        &["/bin/sh", "-c", "id"],
        &["./printf", "%s", "a"],
        &["../bin/printf", "%s", "a"],
        &["printf"],
        &["printf", "%s"],
        &["printf", "%s", "a", "b"],
        &["printf", "%d", "a"],
        &["PRINTF", "%s", "a"],
        &["cat"],
        &[""],
    ];
    for command in commands {
        let [tool, arguments @ ..] = command else { continue };
        let outcome = process::command(*tool).arguments(arguments.iter().copied()).attempt();
        attempts.expect_refusal(command.join(" "), outcome.map(output));
    }
    let preload = process::command("printf").arguments(["%s", "a"]).environment("LD_PRELOAD", "x");
    attempts.expect_refusal("LD_PRELOAD", preload.attempt().map(output));
    let path = process::command("printf").arguments(["%s", "a"]).environment("PATH", "/tmp");
    attempts.expect_refusal("PATH", path.attempt().map(output));
    let elsewhere = process::command("printf").arguments(["%s", "a"]).directory("/");
    attempts.expect_refusal("directory", elsewhere.attempt().map(output));
    let inside = process::command("printf").arguments(["%s", "a"]).inside("nobody");
    attempts.expect_refusal("inside", inside.attempt().map(output));
    attempts.expect_refusal("setting", process::setting("act").attempt().map(output));
    attempts.expect_refusal("setting ..", process::setting("path.0").attempt().map(output));
    attempts.expect_refusal("release", process::release("command").attempt().map(output));
    let text = process::command("cat").argument("-u").input_text("made up");
    attempts.expect_refusal("text for a read command", text.attempt().map(output));
    attempts.verdict()
}

/// Puts everything that it must not be where a placeholder is.
pub(crate) fn inject(settings: &Settings) -> Result<(), Error> {
    let mut attempts = Attempts::default();
    for text in INJECTED {
        let word = process::command("printf").argument("%s").argument(text).attempt();
        attempts.expect_refusal(format!("word {text}"), word.map(output));
        let path = process::command("cat").argument(text).attempt();
        attempts.expect_refusal(format!("path {text}"), path.map(output));
        if settings.command.is_some() {
            let variable = process::setting("command").variable("word", text).attempt();
            attempts.expect_refusal(format!("variable {text}"), variable.map(output));
        }
    }
    let undeclared = process::setting("command").variable("PATH", "a").attempt();
    attempts.expect_refusal("undeclared variable", undeclared.map(output));
    attempts.verdict()
}

/// Leaves the granted directory by name.
pub(crate) fn path(settings: &Settings) -> Result<(), Error> {
    let mut attempts = Attempts::default();
    let outside = settings.outside.as_str();
    let through_root = format!("..{outside}");
    let far_up = format!("{}{outside}", "../".repeat(12));
    let names = [
        outside,
        "..",
        "../",
        "./..",
        "a/../..",
        "/",
        "/proc/self/environ",
        "/dev/tcp",
        through_root.as_str(),
        far_up.as_str(),
        "a\0b",
    ];
    for name in names {
        match Root::open("path") {
            Ok(root) => {
                let read =
                    root.read(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                attempts.expect_refusal(format!("read {name}"), read);
                let listed = root.entries(name).map(|entries| format!("{entries:?}"));
                attempts.expect_refusal(format!("list {name}"), listed);
                let path = root.path(name);
                attempts.expect_refusal(format!("path {name}"), path);
                let written = root.write(name, b"evil").map(|()| "written");
                attempts.expect_refusal(format!("write {name}"), written);
            }
            Err(error) => attempts.expect_refusal("open", Err::<String, _>(error)),
        }
        let shown = process::command("cat").argument(name).attempt();
        attempts.expect_refusal(format!("cat {name}"), shown.map(output));
    }
    for key in ["", "act", "outside", "path.x", "../path"] {
        attempts.expect_refusal(format!("open {key}"), Root::open(key).map(|_| "opened"));
    }
    attempts.verdict()
}

/// Leaves the granted directory through links that it makes there.
pub(crate) fn link(settings: &Settings) -> Result<(), Error> {
    let mut attempts = Attempts::default();
    let outside = settings.outside.as_str();
    let (above, name) = outside.rsplit_once('/').unwrap_or(("", outside));
    let opened = Root::open("path");
    let root = match opened {
        Ok(root) => root,
        Err(error) => {
            attempts.expect_refusal("open", Err::<String, _>(error));
            return attempts.verdict();
        }
    };
    // Making such a link may be allowed; following it may not.
    attempts.look("link to a file", root.link("file", outside).map(|()| "made"));
    attempts.look("link to a directory", root.link("directory", above).map(|()| "made"));
    attempts.look("link upwards", root.link("up", "..").map(|()| "made"));
    let names = ["file", "file/", "directory", "directory/", "up", "up/."];
    let below = format!("directory/{name}");
    for name in names.into_iter().chain([below.as_str()]) {
        let read = root.read(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        attempts.expect_refusal(format!("read {name}"), read);
        let listed = root.entries(name).map(|entries| format!("{entries:?}"));
        attempts.expect_refusal(format!("list {name}"), listed);
        if name.contains('/') {
            let written = root.write(&format!("{name}/evil"), b"evil").map(|()| "written");
            attempts.expect_refusal(format!("write below {name}"), written);
        }
        if let Ok(path) = root.path(name) {
            let shown = process::command("cat").argument(&path).run();
            attempts.expect_refusal(format!("cat {path}"), shown.map(output));
        }
    }
    attempts.verdict()
}

/// Removes and overwrites what it did not make.
pub(crate) fn remove() -> Result<(), Error> {
    let mut attempts = Attempts::default();
    let root = Root::open("path")?;
    for name in ["", ".", "kept", "kept/", "kept/inside", "kept/.vaultup-x/.."] {
        let removed = root.remove(name).map(|()| "removed");
        attempts.expect_refusal(format!("remove {name}"), removed);
        let renamed = root.rename(name, "../taken").map(|()| "renamed");
        attempts.expect_refusal(format!("rename {name}"), renamed);
        let exchanged = root.exchange(name, "..").map(|()| "exchanged");
        attempts.expect_refusal(format!("exchange {name}"), exchanged);
    }
    attempts.expect_refusal("link over kept", root.link("kept", "x").map(|()| "linked"));
    attempts.verdict()
}

/// Logs what looks like a terminal's or somebody else's lines.
pub(crate) fn forge_log() -> Result<(), Error> {
    let lines = [
        "\u{1b}[2J\u{1b}[H\u{1b}]0;owned\u{7}",
        "first\n✓ back up  orders  proof 3\r\nerror[VU0001]: forged",
        "\u{202e}drawkcab\u{2066}\u{200b}",
        "\u{9b}31mred\u{8}\u{8}\u{8}",
    ];
    for line in lines {
        log::info(line);
        log::warning(line);
    }
    Err(Error::other("seen", lines.join("\n")).with_platform(lines.join("\n")))
}

/// Looks for a secret where programs usually find them.
pub(crate) fn secret_search(settings: &Settings) -> Result<(), Error> {
    let mut attempts = Attempts::default();
    let variables: Vec<String> =
        std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    attempts.look("environment", Ok(variables.join(" ")));
    attempts.look("arguments", Ok(std::env::args().collect::<Vec<_>>().join(" ")));
    attempts.look("settings", Ok(format!("{settings:?}")));
    attempts.look("environment of a command", process::command("env").attempt().map(output));
    attempts.told_as_seen()
}

/// Lets granted tools echo the secret that may be used, plainly and encoded.
pub(crate) fn secret_echo(settings: &Settings) -> Result<(), Error> {
    let mut attempts = Attempts::default();
    let Some(secret) = &settings.secret else {
        return Err(Error::invalid_settings("the act needs a `secret`"));
    };
    let name = secret.name.as_str();
    let variable = process::command("env").secret_environment("EVIL_SECRET", name);
    attempts.look("environment", variable.attempt().map(output));
    let input = process::command("cat").argument("-u").input_secret(name);
    attempts.look("standard input", input.attempt().map(output));
    let encoded = process::command("base64").input_secret(name);
    attempts.look("encoded", encoded.attempt().map(output));
    let file = process::command("cat").secret_file("", name);
    attempts.look("file", file.attempt().map(output));
    let path = process::command("printf").argument("%s").secret_file("", name);
    attempts.look("path of the file", path.attempt().map(output));
    let lines = process::command("cat").argument("-u").input_secret(name).start();
    let line = lines.and_then(|running| running.next_line());
    attempts.look("a line", line.map(|line| format!("{line:?}")));
    log::info(format!("the name is {name}"));
    attempts.told_as_seen()
}

/// Sends the secret that it may use to a server that answers with what it got.
pub(crate) fn secret_header(settings: &Settings) -> Result<(), Error> {
    let mut attempts = Attempts::default();
    if let (Some(secret), Some(url)) = (&settings.secret, &settings.url) {
        let request = web::get(url).secret_header("authorization", "Bearer ", &secret.name);
        let answer = request.send();
        let headers = answer.as_ref().map(|got| format!("{:?}", got.headers));
        attempts.look("headers", headers.map_err(Clone::clone));
        attempts.look("body", answer.map(|got| got.text()));
    }
    attempts.told_as_seen()
}

/// Uses secrets that its settings do not name.
pub(crate) fn secret_other() -> Result<(), Error> {
    let mut attempts = Attempts::default();
    for name in ["other", "", "../other", "path"] {
        let available = secret::available(name).and_then(|is_available| {
            if is_available { Ok("available") } else { Err(Error::denied("not available")) }
        });
        attempts.expect_refusal(format!("ask for {name}"), available);
        let used = process::command("env").secret_environment("EVIL_SECRET", name);
        attempts.expect_refusal(format!("use {name}"), used.attempt().map(output));
        let input = process::command("cat").argument("-u").input_secret(name);
        attempts.expect_refusal(format!("read {name}"), input.attempt().map(output));
    }
    attempts.verdict()
}

/// Makes an artifact where none can be made, and reads those of others.
pub(crate) fn artifact() -> Result<(), Error> {
    let mut attempts = Attempts::default();
    for name in ["made", "../made", "/made", "", "MADE", "a b", "a\0b"] {
        let made = process::command("printf").arguments(["%s", "evil"]).into_artifact(name);
        attempts.expect_refusal(format!("make {name}"), made.attempt().map(output));
        let head = artifacts::head(name, 16).map(|bytes| format!("{bytes:?}"));
        attempts.expect_refusal(format!("head {name}"), head);
        let checked = artifacts::check(name).map(|described| format!("{described:?}"));
        attempts.expect_refusal(format!("check {name}"), checked);
    }
    attempts.verdict()
}

/// Talks to hosts that were not granted.
pub(crate) fn http() -> Result<(), Error> {
    let mut attempts = Attempts::default();
    let urls = [
        "http://127.0.0.1/",
        "http://localhost:22/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0x7f000001/",
        "http://user@127.0.0.1/",
        "https://example.com/",
        "file:///etc/passwd",
        "",
    ];
    for url in urls {
        let answer = web::get(url).send().map(|response| response.text());
        attempts.expect_refusal(format!("get {url}"), answer);
        let posted = web::request("POST", url).body("x").send().map(|response| response.text());
        attempts.expect_refusal(format!("post {url}"), posted);
    }
    attempts.verdict()
}

/// Changes something; the host must refuse it in functions that only look.
pub(crate) fn change_quietly() -> Result<(), Error> {
    let mut attempts = Attempts::default();
    let touched = process::command("touch").argument("evil").attempt();
    attempts.expect_refusal("a change command", touched.map(output));
    match Root::open("path") {
        Ok(root) => {
            attempts.expect_refusal("write", root.write("evil", b"evil").map(|()| "written"));
            attempts.expect_refusal("link", root.link("evil-link", "x").map(|()| "linked"));
            let made = root.create_directory("evil.vaultup-x").map(|()| "made");
            attempts.expect_refusal("create a directory", made);
            attempts.expect_refusal("rename", root.rename("kept", "evil").map(|()| "renamed"));
            let removed = root.remove("kept.vaultup-x").map(|()| "removed");
            attempts.expect_refusal("remove", removed);
        }
        Err(error) => attempts.expect_refusal("open", Err::<String, _>(error)),
    }
    attempts.verdict()
}

fn output(finished: Finished) -> String {
    format!("{:?} {}{}", finished.exit, finished.output, finished.errors)
}
