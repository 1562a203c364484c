//! The smallest command that asks a plugin a question, from the start of the process to its end,
//! over a Rust program that does nothing, built in the same profile.
//!
//! Everything that is done once (install, grant, compile ahead of time) is done before; what is
//! measured is what an operator waits for at the prompt. Each measurement is a new process.
//!
//! Where the time goes, found with `perf stat`, `perf record -e page-faults -c 1` and callgrind,
//! which count and so are steady on a busy machine:
//!
//! - Memory that is touched for the first time costs more than computing: a page fault takes 5 to
//!   10 µs on a virtual machine. The command took 1566 faults and 19.0 million instructions, then
//!   596 and 10.3 million; in today's profile it takes 711 faults, the empty program 69. Gone are
//!   the validator of JSON Schema's own schema (6.6 million instructions), two copies of the
//!   compiled plugin and one of the component, the compiler inside of the engine, and tables for
//!   debuggers in compiled code.
//! - Of what is left, 255 faults are the dynamic linker's: the executable is 40 MB and is linked so
//!   that it can lie anywhere, and 0.9 MB of pointers in it are set at each start. These alone are
//!   over three times all faults of the empty program, so 3× is out of reach before they are gone.
//!   Linking it to a fixed place would do it, and take the protection away that a random place
//!   gives to a process that runs foreign code; a smaller executable, with compiler and runtime in
//!   two, would do it as well, and means building wasmtime twice.
//! - 165 are code that is run for the first time, scattered over 29 MB (`size -A`), 70 the heap's.
//! - The rest: the hash of component and code (3.0 million instructions), reading `vaultup.lock`,
//!   the command line's tree, two threads for what may block, and one that watches the guest.

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
