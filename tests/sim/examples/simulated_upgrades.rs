//! How many whole upgrades the pure engine decides in a second of one core.
//!
//! Prints one JSON object: `{"simulated-upgrades-per-second": …}`. A third of the upgrades fail
//! half-way through their migration and are rolled back with a restore.
//!
//! A second is one that the core worked on this: the kernel counts it, so that whatever else runs
//! on the machine does not. Of several batches the median is given.

#![expect(clippy::print_stdout, reason = "the figure is what this program is for")]

use vaultup_sim::{Driver, Fault, Scenario};

/// How many upgrades are timed together: a few tenths of a second.
const UPGRADES: u32 = 4_000;
/// How many batches; an odd number has a middle.
const BATCHES: usize = 9;
/// How long this process has been on a processor, in nanoseconds, is its first number.
const SCHEDULER_STATISTICS: &str = "/proc/self/schedstat";

fn main() -> Result<(), String> {
    let (world, plan) = Scenario::Breaking.begin()?;
    let migration = plan.point_of_no_return.and_then(|index| u32::try_from(index + 1).ok());
    let mut rates = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let began = busy_seconds()?;
        for number in 0..UPGRADES {
            let mut driver = Driver::new(world.clone(), plan.clone());
            if number % 3 == 0 {
                driver.faults.extend(migration.map(|at| (at, Fault::HalfWay)));
            }
            driver.run()?;
        }
        rates.push(f64::from(UPGRADES) / (busy_seconds()? - began));
    }
    rates.sort_by(f64::total_cmp);
    let per_second = rates[BATCHES / 2];
    println!("{{\"simulated-upgrades-per-second\": {per_second:.0}}}");
    Ok(())
}

fn busy_seconds() -> Result<f64, String> {
    let text = std::fs::read_to_string(SCHEDULER_STATISTICS);
    let text = text.map_err(|error| format!("cannot read {SCHEDULER_STATISTICS}: {error}"))?;
    let nanoseconds = text.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    let nanoseconds = nanoseconds.ok_or(format!("{SCHEDULER_STATISTICS} has no number"))?;
    Ok(nanoseconds / 1e9)
}
