//! P1 in the simulator: every scenario is crashed at each of its effects, at each point of it, and
//! once more inside the recovery; with each fault that makes it turn back as well.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may panic and print"
)]

use engine::machine::{Ending, Request};
use vaultup_sim::drive::is_held;
use vaultup_sim::{Crash, CrashPoint, Driver, Fault, Scenario, violations};

/// How many effects a run takes without crashes.
fn effects(scenario: Scenario, fault: Option<(u32, Fault)>) -> u32 {
    let mut driver = driver(scenario, fault);
    driver.run().unwrap();
    driver.performed
}

fn driver(scenario: Scenario, fault: Option<(u32, Fault)>) -> Driver {
    let (world, plan) = scenario.begin().unwrap();
    let mut driver = Driver::new(world, plan);
    driver.faults.extend(fault);
    driver
}

/// Runs to the end, then (if it held) turns back without faults; returns what was violated.
fn carry_out(mut driver: Driver, what: &str) -> Vec<String> {
    let before = driver.world.clone();
    let mut machine = driver.run().unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut found = violations(&before, &driver.world, &machine);
    if is_held(&machine) {
        driver.faults.clear();
        driver.crashes.clear();
        machine = driver.ask(Request::RollBack { accept_loss: false }).unwrap();
        found.extend(violations(&before, &driver.world, &machine));
    }
    found.into_iter().map(|violation| format!("{what}: {violation}")).collect()
}

#[test]
fn without_faults_every_scenario_ends_upgraded() {
    for scenario in Scenario::ALL {
        let mut driver = driver(scenario, None);
        let before = driver.world.clone();
        let machine = driver.run().unwrap();
        assert_eq!(machine.ending(), Some(&Ending::Upgraded), "{scenario:?}");
        assert_eq!(violations(&before, &driver.world, &machine), [""; 0], "{scenario:?}");
    }
}

#[test]
fn every_fault_of_every_effect_ends_well() {
    let mut tried = 0;
    for scenario in Scenario::ALL {
        for at in 1..=effects(scenario, None) {
            for fault in [Fault::Before, Fault::HalfWay, Fault::After] {
                let what = format!("{scenario:?}, effect {at} fails {fault:?}");
                let found = carry_out(driver(scenario, Some((at, fault))), &what);
                assert_eq!(found, [""; 0]);
                tried += 1;
            }
        }
    }
    println!("figure: faults tried {tried}, violations 0");
}

#[test]
fn a_crash_at_every_point_of_every_effect_loses_nothing() {
    let (mut covered, mut total) = (0, 0);
    for scenario in Scenario::ALL {
        let faults = (1..=effects(scenario, None)).map(|at| Some((at, Fault::HalfWay)));
        for fault in std::iter::once(None).chain(faults) {
            for at in 1..=effects(scenario, fault) {
                for point in CrashPoint::ALL {
                    total += 1;
                    let mut driver = driver(scenario, fault);
                    driver.crashes = vec![Crash { at, point }];
                    let what = format!("{scenario:?}, {fault:?}, crash at {at} {point:?}");
                    let found = carry_out(driver, &what);
                    assert_eq!(found, [""; 0]);
                    covered += 1;
                }
            }
        }
    }
    println!("figure: simulated crash points covered {covered}/{total}");
    assert_eq!(covered, total);
}

#[test]
fn a_second_crash_inside_the_recovery_loses_nothing() {
    let mut tried = 0;
    for scenario in Scenario::ALL {
        let count = effects(scenario, None);
        for first in 1..=count {
            for second in first + 1..=count + 2 {
                for (one, two) in pairs() {
                    let mut driver = driver(scenario, None);
                    driver.crashes =
                        vec![Crash { at: first, point: one }, Crash { at: second, point: two }];
                    let what = format!("{scenario:?}, {first} {one:?}, {second} {two:?}");
                    assert_eq!(carry_out(driver, &what), [""; 0]);
                    tried += 1;
                }
            }
        }
    }
    println!("figure: double crashes tried {tried}, violations 0");
}

fn pairs() -> impl Iterator<Item = (CrashPoint, CrashPoint)> {
    CrashPoint::ALL.into_iter().flat_map(|one| CrashPoint::ALL.map(|two| (one, two)))
}
