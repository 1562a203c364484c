//! `cargo xtask bench [--suite NAME]`: measures, compares with the goals, and writes
//! `target/bench.json` (flat: name → number; figures that were not measured now stay as they are).
//!
//! A goal that is missed is said in the table. Only a bench that could not measure is an error.

use anyhow::{Result, bail};

use super::build;
use crate::bench::{self, BENCHES, Bench};
use crate::screen;
use crate::workspace::Workspace;

const FILE: &str = "bench.json";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let benches = select(arguments)?;
    screen::step("build", || build::programs(workspace))?;
    let mut table = Vec::new();
    for bench in benches {
        let figures = screen::step(bench.name, || bench.measure(workspace))?;
        bench::publish(&workspace.scratch(FILE), &figures)?;
        table.extend(bench.lines(&figures));
    }
    table.iter().for_each(screen::say);
    Ok(())
}

fn select(arguments: &[String]) -> Result<Vec<&'static Bench>> {
    match arguments {
        [] => Ok(BENCHES.iter().collect()),
        [flag, name] if flag == "--suite" => {
            match BENCHES.iter().find(|bench| bench.name == name) {
                Some(bench) => Ok(vec![bench]),
                None => bail!("there is no bench `{name}`. There are:\n{}", help()),
            }
        }
        _ => bail!("`cargo xtask bench`, or one of them with `--suite NAME`:\n{}", help()),
    }
}

fn help() -> String {
    let line = |bench: &Bench| format!("  {:20} {}", bench.name, bench.summary);
    BENCHES.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn a_suite_is_found_by_name_and_an_unknown_one_names_those_that_exist() {
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(select(&words(&["--suite", "cold-ask"])).unwrap()[0].name, "cold-ask");
        assert_eq!(select(&[]).unwrap().len(), BENCHES.len());
        let error = select(&words(&["--suite", "cold"])).err().unwrap().to_string();
        assert!(error.contains("no bench `cold`") && error.contains("\n  cold-ask "), "{error}");
        assert!(select(&words(&["cold-ask"])).is_err());
    }
}
