//! The lock that every machine sees: vaultups with state directories of their own, as on several
//! machines, at work on one release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use stage::{Namespace, Programs, Ran};
use tempfile::TempDir;

use super::stack_file::{StackFile, apply, deployment, image, write_release};
use super::support::{WITHIN, expect, namespace, until};

const SLOW: &str = "2.0.1-slow";
/// Longer than a lock holds that nobody renews.
const RUN_OUT: Duration = Duration::from_secs(100);

/// Another machine: a state directory and a folder of its own, the same cluster.
struct Elsewhere {
    folder: PathBuf,
    _removed: TempDir,
}

impl Elsewhere {
    /// With a copy of the stack file, the charts and the releases.
    fn new(namespace: &Namespace, plugins: &[&str]) -> Self {
        let removed = tempfile::tempdir().unwrap();
        let folder = removed.path().to_owned();
        for name in ["vaultup.toml", "charts", "releases"] {
            copy(&namespace.folder().join(name), &folder.join(name));
        }
        let elsewhere = Self { folder, _removed: removed };
        let programs = Programs::beside_this_test().unwrap();
        for plugin in plugins {
            let path = programs.plugins.join(format!("{plugin}.wasm")).display().to_string();
            expect(&elsewhere.vaultup(namespace, &["plugin", "add", &path, "--yes"]), 0);
        }
        elsewhere
    }

    fn command(&self, namespace: &Namespace, arguments: &[&str]) -> Command {
        let mut command = namespace.command(arguments);
        command.current_dir(&self.folder).env("VAULTUP_HOME", self.folder.join("home"));
        command
    }

    fn vaultup(&self, namespace: &Namespace, arguments: &[&str]) -> Ran {
        Ran::of(self.command(namespace, arguments).output().unwrap())
    }

    /// Tries until it is not refused for a lock of somebody else; the last answer.
    fn patiently(&self, namespace: &Namespace, arguments: &[&str]) -> Ran {
        let began = Instant::now();
        loop {
            let ran = self.vaultup(namespace, arguments);
            if !ran.shown().contains("VU0428") || began.elapsed() > RUN_OUT {
                return ran;
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else if from.exists() {
        fs::copy(from, to).unwrap();
    }
}

/// A shop installed by helm at 1.0.0, with charts of later releases.
fn shop() -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["helm"]);
    for version in ["1.0.0", "2.0.0", SLOW] {
        let entry = format!("[components.shop]\nchart = \"charts/{version}\"\n");
        namespace.chart(version, &entry).unwrap();
    }
    StackFile::new(&namespace, "shop").helm("shop", WITHIN, "", "").write();
    namespace.helm(&["install", "shop", "charts/1.0.0", "--wait"]).unwrap();
    (namespace, folder)
}

/// Who holds a Lease; empty if nobody does.
fn holder(namespace: &Namespace, lease: &str) -> String {
    let words =
        ["get", "lease", lease, "--ignore-not-found", "--output=jsonpath={.spec.holderIdentity}"];
    namespace.kubectl(&words).unwrap()
}

fn spawned(mut command: Command) -> std::process::Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(output: Output) -> Ran {
    Ran::of(output)
}

#[test]
fn of_two_machines_one_upgrades_and_the_other_names_it_and_changes_nothing_p8() {
    let (namespace, _folder) = shop();
    let elsewhere = Elsewhere::new(&namespace, &["helm"]);
    let first = spawned(namespace.command(&["run", "--to", SLOW]));
    until("a lock", || !holder(&namespace, "vaultup-helm-shop").is_empty());
    let shown = expect(&elsewhere.vaultup(&namespace, &["run", "--to", "2.0.0"]), 1);
    assert!(shown.contains("error[VU0428]: another vaultup is at work on `shop`"), "{shown}");
    assert!(shown.contains(&format!("run --to {SLOW}` of")), "{shown}");
    assert!(shown.contains(&format!("(process {})", first.id())), "{shown}");
    assert!(shown.contains(" since 20") && shown.contains("`vaultup unlock`"), "{shown}");
    assert!(shown.contains("nothing was changed"), "{shown}");
    // It left no run behind.
    let status = expect(&elsewhere.vaultup(&namespace, &["status"]), 0);
    assert!(status.contains("vaultup plan --to VERSION"), "{status}");
    expect(&ended(first.wait_with_output().unwrap()), 0);
    assert_eq!(namespace.history("shop").unwrap().len(), 2);
    assert_eq!(holder(&namespace, "vaultup-helm-shop"), "");
    // Now that the first has ended, the second may.
    expect(&elsewhere.vaultup(&namespace, &["run", "--to", "2.0.0"]), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
}

#[test]
fn two_machines_that_begin_in_the_same_moment_never_both_upgrade_p8() {
    let (namespace, _folder) = shop();
    let elsewhere = Elsewhere::new(&namespace, &["helm"]);
    let targets = [SLOW, "1.0.0", SLOW];
    for (race, to) in targets.into_iter().enumerate() {
        let one = spawned(namespace.command(&["run", "--to", to]));
        let other = spawned(elsewhere.command(&namespace, &["run", "--to", to]));
        let ran = [one, other].map(|child| ended(child.wait_with_output().unwrap()));
        let won = ran.iter().filter(|ran| ran.status == Some(0)).count();
        let is_refused = |ran: &&Ran| ran.status == Some(1) && ran.shown().contains("VU0428");
        let lost = ran.iter().filter(is_refused);
        let shown = || ran.iter().map(Ran::shown).collect::<Vec<_>>().join("\n---\n");
        assert_eq!((won, lost.count()), (1, 1), "race {race}: {}", shown());
        assert_eq!(namespace.history("shop").unwrap().len(), race + 2, "{}", shown());
    }
}

#[test]
fn a_killed_holder_keeps_others_out_and_its_own_resume_goes_on_at_once() {
    let (namespace, _folder) = shop();
    let elsewhere = Elsewhere::new(&namespace, &["helm"]);
    let mut command = namespace.command(&["run", "--to", "2.0.0"]);
    command.env("VAULTUP_TEST_CRASH", "3:before");
    assert_eq!(command.output().unwrap().status.code(), None);
    let was = holder(&namespace, "vaultup-helm-shop");
    assert!(was.starts_with("shop."), "{was}");
    let shown = expect(&elsewhere.vaultup(&namespace, &["run", "--to", "2.0.0"]), 1);
    assert!(shown.contains("VU0428"), "{shown}");
    expect(&namespace.vaultup(&["resume"]).unwrap(), 0);
    assert_eq!(namespace.history("shop").unwrap().len(), 2);
    assert_eq!(holder(&namespace, "vaultup-helm-shop"), "");
}

#[test]
fn a_killed_holder_s_lock_runs_out_and_its_resume_says_first_that_others_were_at_work() {
    let (namespace, _folder) = shop();
    let elsewhere = Elsewhere::new(&namespace, &["helm"]);
    let mut command = namespace.command(&["run", "--to", SLOW]);
    command.env("VAULTUP_TEST_CRASH", "3:before");
    assert_eq!(command.output().unwrap().status.code(), None);
    let was = holder(&namespace, "vaultup-helm-shop");
    expect(&elsewhere.patiently(&namespace, &["run", "--to", "2.0.0"]), 0);
    let history = namespace.history("shop").unwrap();
    let shown = expect(&namespace.vaultup(&["resume"]).unwrap(), 4);
    let run = was.trim_start_matches("shop.");
    assert!(shown.contains("error[VU0430]: another vaultup (shop."), "{shown}");
    assert!(shown.contains(&format!("was at work on `shop` since run {run} stopped")), "{shown}");
    assert_eq!(namespace.history("shop").unwrap(), history);
    // Whoever types it again has read it.
    let ran = namespace.vaultup(&["resume"]).unwrap();
    assert!(!ran.shown().contains("VU0430"), "{}", ran.shown());
}

#[test]
fn a_person_can_take_the_lock_of_a_holder_that_is_gone_away() {
    let (namespace, _folder) = shop();
    let elsewhere = Elsewhere::new(&namespace, &["helm"]);
    let mut command = namespace.command(&["run", "--to", "2.0.0"]);
    command.env("VAULTUP_TEST_CRASH", "3:before");
    assert_eq!(command.output().unwrap().status.code(), None);
    let shown = expect(&elsewhere.vaultup(&namespace, &["unlock", "--yes"]), 0);
    assert!(shown.contains("shop is held by `"), "{shown}");
    assert!(shown.contains("Lease vaultup-helm-shop in namespace"), "{shown}");
    expect(&elsewhere.vaultup(&namespace, &["run", "--to", "2.0.0"]), 0);
}

/// Writes a stack of these Deployments into a folder, with releases that bring them images.
fn write_stack(namespace: &Namespace, folder: &Path, stack: &str, names: &[&str]) {
    let mut file = StackFile::new(namespace, stack);
    let mut needs = String::new();
    for name in names {
        file = file.workload(&format!("deployment/{name}"), WITHIN, &needs);
        needs = format!("needs = [\"{name}\"]");
    }
    file.write_to(folder);
    for version in ["1.0.0", "2.0.0", SLOW] {
        let images: String = names.iter().map(|name| image(name, version)).collect();
        write_release(folder, version, &images);
    }
}

fn image_of(namespace: &Namespace, name: &str) -> String {
    let words = ["get", "deployment", name, "--output=jsonpath={..containers[0].image}"];
    namespace.kubectl(&words).unwrap()
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_holder_that_slept_through_its_lock_changes_nothing_when_it_wakes_up_p8() {
    let (namespace, _folder) = namespace(&["kubernetes"]);
    let objects = ["one", "two"].map(deployment).concat();
    apply(&namespace, &objects, &["deployment/one", "deployment/two"]);
    write_stack(&namespace, namespace.folder(), "both", &["one", "two"]);
    let elsewhere = Elsewhere::new(&namespace, &["kubernetes"]);
    write_stack(&namespace, &elsewhere.folder, "other", &["two"]);

    // One stack with two components in one namespace does not stand in its own way.
    let sleeper = spawned(namespace.command(&["run", "--to", SLOW]));
    until("the first component", || image_of(&namespace, "one").ends_with(SLOW));
    signal("-STOP", sleeper.id());
    assert!(holder(&namespace, "vaultup-deployment-one").starts_with("both."));
    assert!(holder(&namespace, "vaultup-deployment-two").starts_with("both."));

    expect(&elsewhere.patiently(&namespace, &["run", "--to", "2.0.0"]), 0);
    let generation = || {
        let words = ["get", "deployment", "two", "--output=jsonpath={.metadata.generation}"];
        namespace.kubectl(&words).unwrap()
    };
    let before = generation();
    signal("-CONT", sleeper.id());
    let shown = expect(&ended(sleeper.wait_with_output().unwrap()), 4);
    assert!(shown.contains("error[VU0429]: the lock of `"), "{shown}");
    assert_eq!(image_of(&namespace, "two"), "localhost/app:2.0.0");
    assert_eq!(generation(), before);
}
