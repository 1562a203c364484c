//! The checker is itself checked: bugs planted on purpose must all be found.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

use engine::machine::Request;
use vaultup_sim::drive::is_held;
use vaultup_sim::{Crash, CrashPoint, Driver, Fault, Sabotage, Scenario, violations};

const PLANTED: [Sabotage; 5] = [
    Sabotage::RepeatBlindly,
    Sabotage::RestoreOther,
    Sabotage::HoldLeavesWriting,
    Sabotage::LoseRecord,
    Sabotage::RevertIsNotVerified,
];

#[test]
fn every_planted_bug_is_found() {
    let (found, missed): (Vec<_>, Vec<_>) = PLANTED.into_iter().partition(|bug| is_found(*bug));
    println!("figure: planted bugs found {}/{}", found.len(), PLANTED.len());
    assert_eq!(missed, []);
}

fn is_found(bug: Sabotage) -> bool {
    (1..=30).any(|at| {
        let kinds = [None, Some(Fault::HalfWay), Some(Fault::After)];
        kinds.into_iter().any(|fault| {
            CrashPoint::ALL.into_iter().any(|point| {
                let (world, plan) = Scenario::Breaking.begin().unwrap();
                let mut driver = Driver::new(world, plan);
                driver.world.sabotage = Some(bug);
                driver.faults.extend(fault.map(|fault| (at, fault)));
                driver.crashes = vec![Crash { at, point }];
                !is_clean(driver)
            })
        })
    })
}

fn is_clean(mut driver: Driver) -> bool {
    let before = driver.world.clone();
    let Ok(mut machine) = driver.run() else { return false };
    if is_held(&machine) {
        driver.faults.clear();
        let Ok(ended) = driver.ask(Request::RollBack { accept_loss: false }) else {
            return false;
        };
        machine = ended;
    }
    violations(&before, &driver.world, &machine).is_empty()
}
