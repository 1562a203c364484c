//! The proof value is had only for what was asked for, and only while it holds.

use std::fs;
use std::io::Read;

use model::Problem;
use model::contract::{Figure, ProofLevel};
use vaultup_vault::{Error, PROOF_RECORDS_MAX, ProofRecord, Purpose, Recheck};

use crate::support::{World, at, demand, figure, header, id, noise, proof_of, prove, publish};

fn world() -> World {
    let world = World::new();
    let before = header("a", Purpose::BeforeUpgrade, at(0));
    let big = noise(1, 100_000);
    publish(&world.vault, before, &[("d", &[("x", &big), ("y", b"2")]), ("e", &[("x", b"3")])]);
    world
}

#[test]
fn a_proof_is_had_at_its_level_and_below_and_not_above() {
    let levels =
        [ProofLevel::Exists, ProofLevel::Readable, ProofLevel::Checked, ProofLevel::Restored];
    for recorded in levels {
        let world = world();
        prove(&world.vault, "a", "d", recorded);
        for wanted in levels {
            for recheck in [Recheck::Lengths, Recheck::Stored] {
                let set = id("a");
                let mut demand = demand(&set, "d", wanted);
                demand.recheck = recheck;
                match world.reopened().proven(&demand) {
                    Ok(proven) => {
                        assert!(wanted <= recorded);
                        assert_eq!((proven.set().as_str(), proven.datastore()), ("a", "d"));
                        assert_eq!((proven.level(), proven.run()), (recorded, "7b20"));
                    }
                    Err(Error::NotProven { reached, .. }) => {
                        assert!(wanted > recorded);
                        assert_eq!(reached, recorded);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    }
}

#[test]
fn a_published_set_without_a_proof_exists_and_no_more() {
    let world = world();
    let set = id("a");
    world.vault.proven(&demand(&set, "d", ProofLevel::Exists)).unwrap();
    let error = world.vault.proven(&demand(&set, "d", ProofLevel::Readable)).unwrap_err();
    assert!(matches!(&error, Error::NotProven { .. }), "{error:?}");
    assert_eq!(error.next().unwrap(), "`vaultup backup prove a`");
}

#[test]
fn a_proof_is_not_had_for_another_run_stack_purpose_datastore_or_set() {
    let world = world();
    prove(&world.vault, "a", "d", ProofLevel::Restored);
    let (set, other) = (id("a"), id("b"));
    let right = demand(&set, "d", ProofLevel::Checked);
    world.vault.proven(&right).unwrap();
    for (what, wrong) in [
        ("run", vaultup_vault::Demand { run: "7b21", ..right }),
        ("stack", vaultup_vault::Demand { stack: "shop2", ..right }),
        ("purpose", vaultup_vault::Demand { purpose: Purpose::Rehearsal, ..right }),
    ] {
        match world.vault.proven(&wrong).unwrap_err() {
            Error::Foreign { what: found, .. } => assert_eq!(found, what),
            error => panic!("{what}: {error:?}"),
        }
    }
    let wrong = vaultup_vault::Demand { datastore: "e", ..right };
    assert!(matches!(world.vault.proven(&wrong), Err(Error::NotProven { .. })));
    let wrong = vaultup_vault::Demand { datastore: "f", ..right };
    assert!(matches!(world.vault.proven(&wrong), Err(Error::NotInSet { .. })));
    let wrong = vaultup_vault::Demand { set: &other, ..right };
    assert!(matches!(world.vault.proven(&wrong), Err(Error::NoSet { .. })));
}

#[test]
fn the_proofs_of_another_set_or_datastore_do_not_count() {
    let world = world();
    let before = header("b", Purpose::BeforeUpgrade, at(0));
    publish(&world.vault, before, &[("d", &[("x", b"1")])]);
    prove(&world.vault, "b", "d", ProofLevel::Restored);
    prove(&world.vault, "a", "d", ProofLevel::Restored);
    let proofs = |set: &str, datastore: &str| {
        world.set_path(set).join("proofs").join(format!("{datastore}.json"))
    };
    let set = id("a");
    fs::copy(proofs("a", "d"), proofs("a", "e")).unwrap();
    let error = world.vault.proven(&demand(&set, "e", ProofLevel::Checked)).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    fs::copy(proofs("b", "d"), proofs("a", "d")).unwrap();
    let error = world.vault.proven(&demand(&set, "d", ProofLevel::Checked)).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
}

#[test]
fn no_flipped_byte_of_the_proofs_gives_a_proof_that_was_not_made() {
    let world = world();
    prove(&world.vault, "a", "d", ProofLevel::Checked);
    let path = world.set_path("a").join("proofs/d.json");
    let whole = fs::read(&path).unwrap();
    let set = id("a");
    for index in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[index] ^= 1 << (index % 8);
        fs::write(&path, flipped).unwrap();
        assert!(world.vault.proven(&demand(&set, "d", ProofLevel::Restored)).is_err(), "{index}");
        let checked = world.vault.proven(&demand(&set, "d", ProofLevel::Checked));
        // The line end after the record says nothing.
        assert!(checked.is_err() || index == whole.len() - 1, "{index}");
    }
}

#[test]
fn damaged_proofs_prove_nothing_and_are_replaced_by_the_next() {
    let world = world();
    prove(&world.vault, "a", "d", ProofLevel::Restored);
    fs::write(world.set_path("a").join("proofs/d.json"), "{}").unwrap();
    let set = id("a");
    assert!(world.vault.proven(&demand(&set, "d", ProofLevel::Readable)).is_err());
    prove(&world.vault, "a", "d", ProofLevel::Checked);
    let proven = world.vault.proven(&demand(&set, "d", ProofLevel::Exists)).unwrap();
    assert_eq!(proven.level(), ProofLevel::Checked);
}

#[test]
fn a_level_above_one_needs_that_every_artifact_was_read_to_its_end_in_this_process() {
    let world = world();
    let set = world.vault.set(&id("a")).unwrap();
    let fresh = world.reopened();
    fresh.record_proof(set.id(), "d", proof_of(ProofLevel::Readable)).unwrap();
    let mut x = fresh.reader(&set, "d", "x").unwrap();
    let mut content = vec![0; 100_000];
    x.read_exact(&mut content).unwrap();
    let mut y = fresh.reader(&set, "d", "y").unwrap();
    y.read_to_end(&mut Vec::new()).unwrap();
    for level in [ProofLevel::Checked, ProofLevel::Restored] {
        let error = fresh.record_proof(set.id(), "d", proof_of(level)).unwrap_err();
        // Every byte was given, but the end was not: that is where everything is compared.
        assert!(matches!(&error, Error::NotRead { artifact, .. } if artifact == "x"), "{error:?}");
    }
    assert_eq!(x.read(&mut content).unwrap(), 0);
    fresh.record_proof(set.id(), "d", proof_of(ProofLevel::Restored)).unwrap();
    // What was read for that proof says nothing of the next one.
    fresh.forget_reads(set.id(), "other");
    fresh.record_proof(set.id(), "d", proof_of(ProofLevel::Restored)).unwrap();
    fresh.forget_reads(set.id(), "d");
    let error = fresh.record_proof(set.id(), "d", proof_of(ProofLevel::Restored)).unwrap_err();
    assert!(matches!(error, Error::NotRead { .. }), "{error:?}");
}

#[test]
fn a_plugin_that_lies_about_what_it_restored_proves_nothing() {
    let world = world();
    let set = world.vault.set(&id("a")).unwrap();
    world.vault.verify_bytes(&set, "d").unwrap();
    let record = |level, figures: Vec<Figure>| {
        let proof = ProofRecord { level, at: at(9), figures, answers: Vec::new() };
        world.vault.record_proof(set.id(), "d", proof)
    };
    let without = |change: fn(&mut Figure)| {
        let mut figure = figure(3);
        change(&mut figure);
        vec![figure]
    };
    let lies = [
        ("nothing is shown", Vec::new()),
        ("other count", without(|one| one.count = Some(2))),
        ("other bytes", without(|one| one.bytes = Some(1))),
        ("other digest", without(|one| one.digest = Some("blake3:0".into()))),
        ("count left out", without(|one| one.count = None)),
        ("digest left out", without(|one| one.digest = None)),
        ("other name", without(|one| one.name = "customers".into())),
        ("right and wrong", vec![figure(3), figure(2)]),
    ];
    for (what, figures) in lies {
        let error = record(ProofLevel::Restored, figures).unwrap_err();
        assert!(matches!(error, Error::Figures { .. }), "{what}: {error:?}");
    }
    // Reading without restoring may show less, but never something else.
    assert!(matches!(record(ProofLevel::Checked, vec![figure(2)]), Err(Error::Figures { .. })));
    record(ProofLevel::Checked, Vec::new()).unwrap();
    let more = Figure { name: "customers".into(), ..figure(9) };
    record(ProofLevel::Restored, vec![more, figure(3)]).unwrap();
}

#[test]
fn a_restore_that_has_nothing_to_show_again_is_no_proof() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::BeforeUpgrade, at(0))).unwrap();
    let artifact = crate::support::write(&set, "d", "x", b"1");
    let mut contents = crate::support::datastore(vec![artifact], ProofLevel::Restored);
    contents.figures.clear();
    let set = set.publish([("d".to_owned(), contents)].into()).unwrap();
    world.vault.verify_bytes(&set, "d").unwrap();
    let error = world.vault.record_proof(set.id(), "d", proof_of(ProofLevel::Restored));
    assert!(matches!(error, Err(Error::Figures { .. })), "{error:?}");
}

#[test]
fn a_damaged_set_is_neither_proven_nor_does_it_take_a_proof() {
    let world = world();
    prove(&world.vault, "a", "d", ProofLevel::Restored);
    fs::remove_file(world.artifact_path("a", "d", "y")).unwrap();
    let set = id("a");
    let error = world.vault.proven(&demand(&set, "d", ProofLevel::Exists)).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    let error = world.vault.record_proof(&set, "d", proof_of(ProofLevel::Restored)).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    // The other datastore of the set is whole.
    world.vault.proven(&demand(&set, "e", ProofLevel::Exists)).unwrap();
}

#[test]
fn a_hundred_proofs_are_kept_and_one_more_drops_the_oldest_of_the_lowest_level() {
    let world = world();
    let set = world.vault.set(&id("a")).unwrap();
    world.vault.verify_bytes(&set, "e").unwrap();
    let record = |level, seconds| {
        let proof = ProofRecord { at: at(seconds), ..proof_of(level) };
        world.vault.record_proof(set.id(), "e", proof).unwrap();
    };
    record(ProofLevel::Restored, 0);
    for seconds in 1..i64::try_from(PROOF_RECORDS_MAX).unwrap() {
        record(ProofLevel::Readable, seconds);
    }
    let proofs = world.vault.proofs(&set, "e").unwrap();
    assert_eq!((proofs.len(), proofs[1].at), (PROOF_RECORDS_MAX, at(1)));
    record(ProofLevel::Readable, 1000);
    let proofs = world.vault.proofs(&set, "e").unwrap();
    assert_eq!((proofs.len(), proofs[1].at), (PROOF_RECORDS_MAX, at(2)));
    assert_eq!(proofs[0].level, ProofLevel::Restored);
}
