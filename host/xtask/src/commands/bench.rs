//! `cargo xtask bench [--suite NAME]`: measures, compares with the goals, and writes
//! `target/bench.json` (flat: name → number; figures that were not measured now stay as they are).
//!
//! A goal that is missed is said in the table and in the last line. Only a bench that could not
//! measure is an error: figures depend on the machine, and on what else it does.

use anyhow::{Result, bail};

use super::build;
use crate::bench::{self, BENCHES, Bench};
use crate::screen;
use crate::workspace::Workspace;

const FILE: &str = "bench.json";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let benches = select(arguments)?;
    screen::step("build", || build::programs(workspace))?;
    let (mut table, mut missed, mut goals) = (Vec::new(), Vec::new(), 0);
    for bench in benches {
        let figures = screen::step(bench.name, || bench.measure(workspace))?;
        bench::publish(&workspace.scratch(FILE), &figures)?;
        table.extend(bench.lines(&figures));
        missed.extend(bench.missed(&figures));
        goals += bench.goals();
    }
    table.iter().for_each(screen::say);
    screen::say(closing(goals, &missed));
    Ok(())
}

fn closing(goals: usize, missed: &[&str]) -> String {
    let met = goals - missed.len();
    match missed {
        [] => format!("{met} of {goals} goals met"),
        _ => format!("{met} of {goals} goals met, {} MISSED: {}", missed.len(), missed.join(", ")),
    }
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
    fn the_last_line_names_every_goal_that_was_missed() {
        assert_eq!(closing(2, &[]), "2 of 2 goals met");
        let line = closing(3, &["a-ms", "b-ratio"]);
        assert_eq!(line, "1 of 3 goals met, 2 MISSED: a-ms, b-ratio");
    }

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
