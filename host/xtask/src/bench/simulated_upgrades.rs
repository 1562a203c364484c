//! Whole upgrades in the pure engine: every step planned, decided and answered in virtual time on
//! one core, a part of them failing and rolled back, without journal, plugins or effects.
//!
//! An example of `tests/sim`, built in the same profile as everything else, does it and prints a
//! JSON object of figures.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Figures;
use crate::process;
use crate::workspace::Workspace;

const EXAMPLE: &str = "examples/simulated_upgrades";
const FIGURE: &str = "simulated-upgrades-per-second";

pub(super) fn run(workspace: &Workspace) -> Result<Figures> {
    let output = process::output(&mut Command::new(workspace.program(EXAMPLE)))?;
    let figures: Value = serde_json::from_str(&output)
        .with_context(|| format!("`{EXAMPLE}` printed `{output}`, which is no JSON"))?;
    let value = figures[FIGURE].as_f64();
    let value = value.with_context(|| format!("`{EXAMPLE}` gave no number `{FIGURE}`"))?;
    Ok(Figures::from([(FIGURE, value)]))
}
