//! How many whole upgrades the pure engine decides in a second, on one core.
//!
//! Prints one JSON object: `{"simulated-upgrades-per-second": …}`. A third of the upgrades fail
//! half-way through their migration and are rolled back with a restore.

#![expect(clippy::print_stdout, reason = "the figure is what this program is for")]

use std::time::Instant;

use vaultup_sim::{Driver, Fault, Scenario};

/// How many upgrades are timed: about a second's worth.
const UPGRADES: u32 = 10_000;

fn main() -> Result<(), String> {
    let (world, plan) = Scenario::Breaking.begin()?;
    let migration = plan.point_of_no_return.and_then(|index| u32::try_from(index + 1).ok());
    let began = Instant::now();
    for number in 0..UPGRADES {
        let mut driver = Driver::new(world.clone(), plan.clone());
        if number % 3 == 0 {
            driver.faults.extend(migration.map(|at| (at, Fault::HalfWay)));
        }
        driver.run()?;
    }
    let per_second = f64::from(UPGRADES) / began.elapsed().as_secs_f64();
    println!("{{\"simulated-upgrades-per-second\": {per_second:.0}}}");
    Ok(())
}
