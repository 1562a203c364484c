//! How many tests passed and failed, and the figures that they published.
//!
//! A test publishes a figure (`crash points covered 132/132`) by appending one line to the file
//! that the environment variable [`FIGURES_VARIABLE`] names; without the variable it does nothing.
//! That works whether or not the harness captures the test's output. Lines are written in one
//! write with `append(true)`, since tests run side by side.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::screen;

/// Names the file that tests append their figures to.
pub(crate) const FIGURES_VARIABLE: &str = "VAULTUP_FIGURES";

/// The reason of an ignored test that is none: another test starts it, `as a process of its own`.
pub(crate) const PROCESS_OF_A_TEST: &str = "as a process of its own";

/// Test results, summed over test programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Tests that nobody ran.
    pub(crate) skipped: u64,
}

impl Tally {
    /// Reads a line of a test program: its `test result:`, or one that says that a test was
    /// ignored. Every other line changes nothing.
    pub(crate) fn read(&mut self, line: &str) {
        if line.starts_with("test ") && line.contains(" ... ignored") {
            self.skipped += u64::from(!line.contains(PROCESS_OF_A_TEST));
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        // After the first part, `ok. 3 passed`, each part is a number and a word.
        let (_, counts) = result.split_once(". ").unwrap_or_default();
        for part in counts.split(';') {
            let Some((number, word)) = part.trim().split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                _ => {}
            }
        }
    }

    /// Adds another tally.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Says the closing line, and demands that it can be trusted: something ran, nothing failed,
    /// nothing was skipped.
    pub(crate) fn close(self) -> Result<()> {
        screen::say(format_args!("{} passed, {} failed", self.passed, self.failed));
        self.demand()
    }

    fn demand(self) -> Result<()> {
        ensure!(self.failed == 0, "{} tests failed", self.failed);
        ensure!(self.skipped == 0, "{} tests were skipped by `ignore`", self.skipped);
        ensure!(self.passed > 0, "no test ran");
        Ok(())
    }
}

/// Runs test programs through cargo, sums up their results, and says the figures that they
/// published. `scratch` is a folder that may be written to.
pub(crate) fn run(command: &mut Command, scratch: &Path) -> Result<Tally> {
    let file = figures_file(scratch)?;
    command.env(FIGURES_VARIABLE, &file);
    let mut tally = Tally::default();
    let status = process::stream(command, |line| tally.read(line))?;
    if !status.success() && tally.failed == 0 {
        // A program that did not compile, or that died before it could count.
        screen::say(format_args!("`{}` ended with {status}", process::line(command)));
        tally.failed += 1;
    }
    let text = fs::read_to_string(&file)
        .with_context(|| format!("cannot read the figures in {}", file.display()))?;
    for figure in figures(&text) {
        screen::say(format_args!("figure: {figure}"));
    }
    Ok(tally)
}

/// An empty file for this run's figures.
fn figures_file(scratch: &Path) -> Result<PathBuf> {
    let file = scratch.join("figures");
    fs::create_dir_all(scratch)
        .and_then(|()| fs::write(&file, ""))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The figures in a fixed order, each once; a test may or may not have written the `figure: `.
fn figures(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().map(|line| line.strip_prefix("figure: ").unwrap_or(line).trim());
    lines.filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    const LINE: &str = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; \
                        3 filtered out; finished in 0.00s";

    #[test]
    fn results_are_summed_over_programs() {
        let mut tally = Tally::default();
        tally.read(LINE);
        tally.read("running 12 tests");
        tally.read("test a::b ... ignored, too slow");
        tally.read("test a::c ... ignored, is run by another test, as a process of its own");
        tally.read("test a::ignored ... ok");
        tally.read("test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured");
        assert_eq!(tally, Tally { passed: 17, failed: 2, skipped: 1 });
    }

    #[test]
    fn a_run_without_tests_fails() {
        assert!(Tally::default().demand().is_err());
    }

    #[test]
    fn a_run_with_a_failed_or_a_skipped_test_fails() {
        assert!(Tally { passed: 9, failed: 1, skipped: 0 }.demand().is_err());
        assert!(Tally { passed: 9, failed: 0, skipped: 1 }.demand().is_err());
        assert!(Tally { passed: 9, failed: 0, skipped: 0 }.demand().is_ok());
    }

    #[test]
    fn a_program_that_dies_before_it_counts_is_one_failure() {
        let scratch = scratch("dies");
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'test result: ok. 3 passed; 0 failed'; kill -9 $$"]);
        let tally = run(&mut command, &scratch).unwrap();
        assert_eq!(tally, Tally { passed: 3, failed: 1, skipped: 0 });
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn figures_reach_the_file_that_the_variable_names() {
        let scratch = scratch("figures");
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'figure: points 3/3' >> \"$VAULTUP_FIGURES\""]);
        run(&mut command, &scratch).unwrap();
        assert_eq!(fs::read_to_string(scratch.join("figures")).unwrap(), "figure: points 3/3\n");
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn figures_are_said_once_and_in_order() {
        let figures = figures("b 1/1\nfigure: a 2/2\n\nb 1/1\n");
        assert_eq!(figures.into_iter().collect::<Vec<_>>(), ["a 2/2", "b 1/1"]);
    }

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("vaultup-tally-{name}-{}", std::process::id()))
    }
}
