//! What is measured against what, one file a bench.
//!
//! A figure that is compared with something is measured side by side with it in one run, in turns,
//! so that whatever else the machine does meets both. Medians are published, with how many
//! measurements stand behind them.

mod backup;
mod cold_ask;
mod data;
mod databases;
mod kubernetes;
mod run_overhead;
mod simulated_upgrades;
mod statistics;
mod tools;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::screen;
use crate::workspace::Workspace;

/// Figures by name. The unit is the last part of the name.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// Something that is measured.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// What it should reach. Each goal's figure is one that `run` gives.
    goals: &'static [Goal],
    run: fn(&Workspace) -> Result<Figures>,
}

/// What a figure should be.
struct Goal {
    figure: &'static str,
    limit: Limit,
}

/// From which side.
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}
use Limit::{AtLeast, AtMost};

/// Every bench there is.
pub(crate) const BENCHES: &[Bench] = &[
    Bench {
        name: "cold-ask",
        summary: "a question to a plugin from a cold start, over a program that does nothing",
        goals: &[
            Goal { figure: "cold-ask-ms", limit: AtMost(5.0) },
            Goal { figure: "cold-ask-ratio", limit: AtMost(3.0) },
        ],
        run: cold_ask::run,
    },
    Bench {
        name: "run-overhead",
        summary: "a whole upgrade over a shell script of the same commands",
        goals: &[Goal { figure: "run-overhead-ms-per-step", limit: AtMost(5.0) }],
        run: run_overhead::run,
    },
    Bench {
        name: "backup-256m",
        summary: "a backup of 256 MiB over `tar | zstd | age > file; sync`",
        goals: &[Goal { figure: "backup-throughput-ratio-256m", limit: AtLeast(1.0) }],
        run: backup::of_256_mebibytes,
    },
    Bench {
        name: "backup-4g",
        summary: "a backup of 4 GiB over the same, and its memory",
        goals: &[
            Goal { figure: "backup-throughput-ratio-4g", limit: AtLeast(1.0) },
            Goal { figure: "backup-memory-mib-4g", limit: AtMost(64.0) },
        ],
        run: backup::of_4_gibibytes,
    },
    Bench {
        name: "databases",
        summary: "PostgreSQL, 1 GiB, over `pg_dump | zstd | age`: backup, restore, proof, memory",
        goals: &[
            Goal { figure: "postgres-backup-ratio-1g", limit: AtLeast(1.0) },
            Goal { figure: "postgres-backup-runbook-ratio-1g", limit: AtLeast(2.0) },
            Goal { figure: "postgres-restore-ratio-1g", limit: AtLeast(0.95) },
            Goal { figure: "postgres-proof-over-restore-1g", limit: AtMost(1.0) },
            Goal { figure: "postgres-memory-mib-256m", limit: AtMost(64.0) },
            Goal { figure: "postgres-memory-mib-4g", limit: AtMost(64.0) },
        ],
        run: databases::run,
    },
    Bench {
        name: "kubernetes",
        summary: "a helm release under vaultup over bare helm: upgrade, return, reasons",
        goals: &[
            Goal { figure: "kubernetes-upgrade-overhead-s", limit: AtMost(1.0) },
            Goal { figure: "kubernetes-return-ratio", limit: AtMost(1.05) },
            Goal { figure: "kubernetes-reason-s", limit: AtMost(2.0) },
        ],
        run: kubernetes::run,
    },
    Bench {
        name: "simulated-upgrades",
        summary: "whole upgrades a second on one core, in the engine alone",
        goals: &[Goal { figure: "simulated-upgrades-per-second", limit: AtLeast(10_000.0) }],
        run: simulated_upgrades::run,
    },
];

impl Bench {
    /// Measures, and demands that every figure with a goal was measured.
    pub(crate) fn measure(&self, workspace: &Workspace) -> Result<Figures> {
        let figures = (self.run)(workspace)?;
        for goal in self.goals {
            ensure!(figures.contains_key(goal.figure), "`{}` was not measured", goal.figure);
        }
        Ok(figures)
    }

    /// The figures that miss their goals.
    pub(crate) fn missed(&self, figures: &Figures) -> Vec<&'static str> {
        let misses = |goal: &&Goal| figures.get(goal.figure).is_none_or(|its| !goal.is_met(*its));
        self.goals.iter().filter(misses).map(|goal| goal.figure).collect()
    }

    /// How many goals there are.
    pub(crate) fn goals(&self) -> usize {
        self.goals.len()
    }

    /// A line of the table for each figure.
    pub(crate) fn lines(&self, figures: &Figures) -> Vec<String> {
        let line = |(name, value): (&&str, &f64)| {
            let goal = self.goals.iter().find(|goal| goal.figure == *name);
            let verdict = goal.map_or(String::new(), |goal| goal.verdict(*value));
            format!("{name:36} {value:>12.3}  {verdict}").trim_end().to_owned()
        };
        figures.iter().map(line).collect()
    }
}

impl Goal {
    fn verdict(&self, value: f64) -> String {
        format!("goal {}: {}", self.limit, if self.is_met(value) { "met" } else { "MISSED" })
    }

    fn is_met(&self, value: f64) -> bool {
        match self.limit {
            AtMost(limit) => value <= limit,
            AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtMost(limit) => write!(formatter, "≤ {limit}"),
            AtLeast(limit) => write!(formatter, "≥ {limit}"),
        }
    }
}

/// Writes figures into a flat JSON object of numbers; those of other benches stay in it.
pub(crate) fn publish(file: &Path, figures: &Figures) -> Result<()> {
    let mut all = match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str::<Map<String, Value>>(&text)
            .with_context(|| format!("{} is no JSON object; remove it", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
        Err(error) => bail!("cannot read {}: {error}", file.display()),
    };
    for (name, value) in figures {
        ensure!(value.is_finite(), "`{name}` is {value}, which is no measurement");
        all.insert((*name).to_owned(), json!(rounded(*value)));
    }
    let text = format!("{:#}\n", Value::Object(all));
    let unfinished = file.with_extension("unfinished");
    fs::create_dir_all(file.parent().unwrap_or(file))
        .and_then(|()| fs::write(&unfinished, text))
        .and_then(|()| fs::rename(&unfinished, file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    screen::say(format_args!("{} figures are in {}", figures.len(), file.display()));
    Ok(())
}

/// To a thousandth; what lies beyond is noise.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn figures_of_other_benches_stay_and_the_same_are_replaced() {
        let folder = std::env::temp_dir().join(format!("vaultup-bench-{}", std::process::id()));
        let file = folder.join("bench.json");
        publish(&file, &Figures::from([("a-ms", 1.0), ("b-ms", 2.000_4)])).unwrap();
        publish(&file, &Figures::from([("a-ms", 3.0)])).unwrap();
        let all: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(all, json!({ "a-ms": 3.0, "b-ms": 2.0 }));
        assert!(publish(&file, &Figures::from([("a-ms", f64::NAN)])).is_err());
        fs::write(&file, "[]").unwrap();
        assert!(publish(&file, &Figures::new()).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_goal_is_met_at_its_limit_and_missed_past_it() {
        let at_most = Goal { figure: "a-ms", limit: AtMost(5.0) };
        assert_eq!(at_most.verdict(5.0), "goal ≤ 5: met");
        assert_eq!(at_most.verdict(5.1), "goal ≤ 5: MISSED");
        let at_least = Goal { figure: "a-ratio", limit: AtLeast(1.0) };
        assert_eq!(at_least.verdict(1.0), "goal ≥ 1: met");
        assert_eq!(at_least.verdict(0.9), "goal ≥ 1: MISSED");
    }

    #[test]
    fn a_figure_with_a_goal_that_was_not_measured_is_an_error() {
        let bench = Bench {
            name: "x",
            summary: "x",
            goals: &[Goal { figure: "x-ms", limit: AtMost(1.0) }],
            run: |_| Ok(Figures::new()),
        };
        let workspace = Workspace { root: "/".into(), target: "/".into(), packages: Vec::new() };
        let error = bench.measure(&workspace).unwrap_err().to_string();
        assert_eq!(error, "`x-ms` was not measured");
    }
}
