//! `cargo xtask demo`: builds everything, then shows what vaultup does to a real application.
//!
//! One shop, the sample application with a thousand orders, lives through all scenes in
//! `target/demo`. After each, what runs is looked at, and the rows are compared with what they were
//! before. The folder stays, so that one can look around in it.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use stage::{Programs, Shop};

use super::{build, no_arguments};
use crate::workspace::Workspace;
use crate::{process, screen};

/// An upgrade, and how it may end.
struct Scene {
    title: &'static str,
    to: &'static str,
    /// Faults of the release that is upgraded to.
    faults: &'static [&'static str],
    /// Whether vaultup is killed in the middle of the migration, and then resumed.
    is_killed: bool,
    /// Exit status and the release that runs afterwards: one of these.
    ends: &'static [(i32, &'static str)],
}

/// In the order in which they play; the first finds release 1.0.0.
const SCENES: &[Scene] = &[
    Scene {
        title: "1.0.0 to 2.0.0: all goes well",
        to: "2.0.0",
        faults: &[],
        is_killed: false,
        ends: &[(0, "2.0.0")],
    },
    Scene {
        title: "2.0.0 to 3.0.0 fails before its migration: the previous release is redeployed",
        to: "3.0.0",
        faults: &["migrate-fails-before"],
        is_killed: false,
        ends: &[(3, "2.0.0")],
    },
    Scene {
        title: "2.0.0 to 3.0.0 fails after its migration: restored and redeployed",
        to: "3.0.0",
        faults: &["exit-at-start"],
        is_killed: false,
        ends: &[(3, "2.0.0")],
    },
    Scene {
        title: "2.0.0 to 3.0.0, killed with SIGKILL in the middle of the migration, then resumed",
        to: "3.0.0",
        faults: &[],
        is_killed: true,
        ends: &[(0, "3.0.0"), (3, "2.0.0")],
    },
];

/// In the workspace's `target`.
const FOLDER: &str = "demo";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    screen::step("build", || build::programs(workspace))?;
    let programs = Programs::below(&workspace.target)?;
    stop_what_was_left(workspace, &programs);
    let folder = workspace.empty_scratch(FOLDER)?;
    let shop = Shop::open(&folder, &programs)?;
    for (number, scene) in (1..).zip(SCENES) {
        let title = format!("scene {number}: {}", scene.title);
        screen::step(&title, || play(&shop, scene))?;
    }
    screen::say(format_args!(
        "{} scenes as promised; look around in {}",
        SCENES.len(),
        folder.display()
    ));
    Ok(())
}

/// Stops the application of a demonstration that was interrupted.
fn stop_what_was_left(workspace: &Workspace, programs: &Programs) {
    let process_file = workspace.scratch(FOLDER).join("run/api.pid");
    if process_file.exists() {
        let mut stop = Command::new(&programs.sample);
        // If it is gone already, there is nothing to stop.
        let _ = process::quiet(stop.arg("stop").arg("--pid-file").arg(process_file));
    }
}

fn play(shop: &Shop, scene: &Scene) -> Result<()> {
    shop.install(scene.to, scene.faults)?;
    let before = shop.digest()?;
    screen::say(format_args!("rows before: {before}"));
    let upgrade = &["run", "--to", scene.to];
    let status = if scene.is_killed {
        kill_in_migration(&mut shop.command(upgrade), shop)?;
        show(&mut shop.command(&["status"]))?;
        show(&mut shop.command(&["resume"]))?
    } else {
        show(&mut shop.command(upgrade))?
    };
    let after = shop.digest()?;
    screen::say(format_args!("rows after:  {after}"));
    let serving = shop.serving()?.unwrap_or_else(|| "nothing".to_owned());
    screen::say(format_args!("exit status {status}; {serving} answers"));
    ensure!(before == after, "the rows are not what they were");
    let ends = scene.ends;
    ensure!(ends.contains(&(status, serving.as_str())), "this was to end as one of {ends:?}");
    Ok(())
}

/// Runs vaultup with its output on the screen, and gives its exit status.
fn show(command: &mut Command) -> Result<i32> {
    screen::say(format_args!("$ {}", process::line(command)));
    let status = command.status().context("cannot start vaultup")?;
    status.code().with_context(|| format!("vaultup ended with {status}"))
}

/// Runs vaultup until its migration is half-way, and kills it there.
fn kill_in_migration(command: &mut Command, shop: &Shop) -> Result<()> {
    screen::say(format_args!("$ {}", process::line(command)));
    let mut child = shop.until_half_way(command)?;
    child.kill()?;
    child.wait()?;
    shop.go_on()?;
    screen::say(format_args!("SIGKILL to process {}, half-way through the migration", child.id()));
    Ok(())
}
