//! Rule 4 of the way back: a decision to hold after the next release was deployed leaves it
//! stopped and requests held back, through every crash and every fault, and from there the run
//! goes on in either direction.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may panic and print"
)]

use engine::machine::{Ending, Machine, Request};
use vaultup_sim::drive::is_held;
use vaultup_sim::{Crash, CrashPoint, Driver, Fault, Scenario, violations};

/// A scenario that was carried out, and then written through for a while: a restore would lose
/// more than the budget of nothing.
fn upgraded(scenario: Scenario) -> (Driver, vaultup_sim::World) {
    let (world, plan) = scenario.begin().unwrap();
    let before = world.clone();
    let mut driver = Driver::new(world, plan);
    assert_eq!(driver.run().unwrap().ending(), Some(&Ending::Upgraded), "{scenario:?}");
    (driver, before)
}

const MIGRATING: [Scenario; 2] = [Scenario::Breaking, Scenario::AtStart];

#[track_caller]
fn stands_still(driver: &Driver, machine: &Machine, what: &str) {
    assert!(is_held(machine), "{what}: {:?}", machine.ending());
    assert!(machine.held_by_decision().is_some(), "{what}");
    for (name, its) in &driver.world.components {
        assert!(!its.running || its.version != driver.world.to, "{what}: {name} still runs");
        assert!(its.held || its.version != driver.world.to, "{what}: requests reach {name}");
    }
}

#[test]
fn a_decision_to_hold_stops_the_next_release_and_both_directions_stay_open() {
    for scenario in MIGRATING {
        let (mut driver, before) = upgraded(scenario);
        let machine = driver.ask(Request::RollBack { accept_loss: false }).unwrap();
        stands_still(&driver, &machine, "asked to roll back");
        assert!(matches!(machine.ending(), Some(Ending::Held(said)) if said.contains("stopped")));

        // Asking again does not make the loss smaller.
        let machine = driver.ask(Request::RollBack { accept_loss: false }).unwrap();
        stands_still(&driver, &machine, "asked again");

        let machine = driver.ask(Request::GoOn).unwrap();
        assert_eq!(machine.ending(), Some(&Ending::Upgraded), "{scenario:?}");
        assert_eq!(violations(&before, &driver.world, &machine), [""; 0]);

        driver.ask(Request::RollBack { accept_loss: false }).unwrap();
        let machine = driver.ask(Request::RollBack { accept_loss: true }).unwrap();
        assert_eq!(machine.ending(), Some(&Ending::RolledBack), "{scenario:?}");
        driver.world.lost.clear();
        assert_eq!(violations(&before, &driver.world, &machine), [""; 0]);
    }
}

#[test]
fn crashes_while_holding_and_while_going_on_change_nothing_of_that() {
    let mut tried = 0;
    for scenario in MIGRATING {
        for at in 1..=8 {
            for point in CrashPoint::ALL {
                for then in [Request::GoOn, Request::RollBack { accept_loss: true }] {
                    let what = format!("{scenario:?}, crash at {at} {point:?}, then {then:?}");
                    let (mut driver, before) = upgraded(scenario);
                    driver.crashes = vec![Crash { at: driver.performed + at, point }];
                    let machine = driver.ask(Request::RollBack { accept_loss: false }).unwrap();
                    stands_still(&driver, &machine, &what);
                    let machine = driver.ask(then).unwrap();
                    driver.world.lost.clear();
                    assert!(!is_held(&machine), "{what}: {:?}", machine.ending());
                    assert_eq!(violations(&before, &driver.world, &machine), [""; 0], "{what}");
                    tried += 1;
                }
            }
        }
    }
    println!("figure: crashes around a hold {tried}, violations 0");
}

#[test]
fn a_step_of_holding_that_fails_is_told_and_the_others_are_tried() {
    for scenario in MIGRATING {
        let (mut driver, before) = upgraded(scenario);
        // The survey is the first effect; the first of holding is the second.
        driver.faults.insert(driver.performed + 2, Fault::Before);
        let machine = driver.ask(Request::RollBack { accept_loss: false }).unwrap();
        let Some(Ending::Held(said)) = machine.ending() else { panic!("{:?}", machine.ending()) };
        assert!(said.contains("failed"), "{said}");
        assert!(driver.world.components.values().all(|its| !its.running), "{said}");
        driver.faults.clear();
        let machine = driver.ask(Request::GoOn).unwrap();
        assert_eq!(machine.ending(), Some(&Ending::Upgraded));
        assert_eq!(violations(&before, &driver.world, &machine), [""; 0]);
    }
}

/// A person who asks a run to hold gets a pause, not an outage.
#[test]
fn what_a_person_holds_between_two_steps_goes_on_running() {
    let (world, plan) = Scenario::NoMigration.begin().unwrap();
    let before = world.clone();
    let last = u32::try_from(plan.steps.len()).unwrap();
    for after in 1..last {
        let mut driver = Driver::new(world.clone(), plan.clone());
        let machine = driver.run_until(after, Request::Hold).unwrap();
        assert!(driver.world.components.values().all(|its| its.running && !its.held), "{after}");
        if is_held(&machine) {
            let machine = driver.ask(Request::GoOn).unwrap();
            assert_eq!(machine.ending(), Some(&Ending::Upgraded), "{after}");
            assert_eq!(violations(&before, &driver.world, &machine), [""; 0]);
        }
    }
}
