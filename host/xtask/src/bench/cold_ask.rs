//! The smallest command that asks a plugin a question, from the start of the process to its end,
//! over a Rust program that does nothing, built in the same profile.
//!
//! Everything that is done once (install, grant, compile ahead of time) is done before; what is
//! measured is what an operator waits for at the prompt. Each measurement is a new process.

use std::fs;
use std::process::Command;

use anyhow::Result;
use stage::{Programs, Shop};

use super::Figures;
use super::statistics::{described, in_turns, median_ms, median_ratio};
use crate::workspace::Workspace;
use crate::{process, screen};

/// How many processes of each kind.
const ROUNDS: usize = 200;
/// Of these first ones nothing is kept: they bring the files into memory.
const ROUNDS_BEFORE: usize = 5;

/// The question: how the directory with the keys is. Its plugin answers without other programs.
const QUESTION: &[&str] = &["verify", "--only", "keys"];

pub(super) fn run(workspace: &Workspace) -> Result<Figures> {
    let folder = workspace.empty_scratch("bench/cold-ask")?;
    let shop = Shop::open(&folder, &Programs::below(&workspace.target)?)?;
    let ask = || process::timed(&mut shop.command(QUESTION));
    let start_nothing = || process::timed(&mut Command::new(workspace.program("empty-program")));
    in_turns(ROUNDS_BEFORE, [&ask, &start_nothing])?;
    let [ours, nothing] = in_turns(ROUNDS, [&ask, &start_nothing])?;
    drop(shop);
    fs::remove_dir_all(folder)?;
    let (shown, shown_nothing) = (described(&ours), described(&nothing));
    screen::say(format_args!("vaultup {shown}, the empty program {shown_nothing}"));
    Ok(Figures::from([
        ("cold-ask-ms", median_ms(&ours)),
        ("cold-ask-ratio", median_ratio(&ours, &nothing)),
        ("empty-program-ms", median_ms(&nothing)),
    ]))
}
