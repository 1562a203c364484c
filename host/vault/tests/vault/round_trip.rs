//! What goes in comes out, and nothing half done gets in.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use model::Problem;
use model::contract::ProofLevel;
use vaultup_vault::{DatastoreRecord, Error, Keys, Purpose, Vault};

use crate::support::{World, at, datastore, header, id, names, noise, prove, publish, read, write};

#[test]
fn content_of_every_size_comes_back() {
    let world = World::new();
    let sizes = [1, 65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 8 << 20];
    for (index, size) in sizes.into_iter().enumerate() {
        let text = b"INSERT INTO orders VALUES (17, 'shipped');\n".repeat(size / 43 + 1);
        let (noise, text) = (noise(7, size), &text[..size]);
        let header = header(&format!("s{index}"), Purpose::Manual, at(0));
        let set =
            publish(&world.vault, header, &[("orders", &[("noise", &noise), ("text", text)])]);
        assert!(read(&world.vault, &set, "orders", "noise").unwrap() == noise, "{size}");
        assert!(read(&world.vault, &set, "orders", "text").unwrap() == text, "{size}");
        let verified = world.vault.verify_bytes(&set, "orders").unwrap();
        assert_eq!((verified.artifacts, verified.bytes), (2, 2 * size as u64));
        assert_eq!(verified.bytes_stored, set.bytes_stored());
        world.vault.verify_stored(&set, "orders").unwrap();
    }
}

#[test]
fn what_compresses_is_stored_smaller() {
    let world = World::new();
    let text = b"the same line again and again\n".repeat(100_000);
    let set = publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", &text)])]);
    let artifact = set.artifact("d", "x").unwrap();
    assert!(artifact.bytes_stored * 100 < artifact.bytes, "{artifact:?}");
}

#[test]
fn the_description_comes_back_as_it_was_published() {
    let world = World::new();
    let set = publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", b"1")])]);
    let found = world.reopened().set(&id("a")).unwrap();
    assert_eq!(found, set);
    assert_eq!(found.record().recipients, world.vault.recipients());
    assert_eq!(world.vault.sets().unwrap()[0].whole(), Some(&set));
}

#[test]
fn an_empty_artifact_is_refused() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let good = write(&set, "d", "good", b"1");
    let empty = write(&set, "d", "empty", b"");
    let contents = datastore(vec![good, empty], ProofLevel::Exists);
    let error = set.publish(BTreeMap::from([("d".into(), contents)])).unwrap_err();
    assert!(matches!(error, Error::Empty { .. }), "{error:?}");
    assert!(world.vault.sets().unwrap().is_empty());
}

#[test]
fn only_exactly_what_was_written_is_published() {
    let world = World::new();
    type Change = fn(&mut BTreeMap<String, DatastoreRecord>);
    let wrong: [(&str, Change); 6] = [
        ("nothing", BTreeMap::clear),
        ("no artifact", |one| one.get_mut("d").unwrap().artifacts.clear()),
        ("not listed", |one| drop(one.get_mut("d").unwrap().artifacts.pop())),
        ("other length", |one| one.get_mut("d").unwrap().artifacts[0].bytes += 1),
        ("listed twice", |one| {
            let again = one["d"].artifacts[0].clone();
            one.get_mut("d").unwrap().artifacts.push(again);
        }),
        ("another datastore", |one| {
            let contents = one["d"].clone();
            one.insert("e".into(), contents);
        }),
    ];
    for (index, (what, change)) in wrong.into_iter().enumerate() {
        let set = world.vault.begin(header(&format!("s{index}"), Purpose::Manual, at(0))).unwrap();
        let artifacts = vec![write(&set, "d", "x", b"1"), write(&set, "d", "y", b"2")];
        let mut contents =
            BTreeMap::from([("d".to_owned(), datastore(artifacts, ProofLevel::Exists))]);
        change(&mut contents);
        let error = set.publish(contents).unwrap_err();
        assert!(matches!(error, Error::NotPublishable { .. }), "{what}: {error:?}");
    }
    assert!(world.vault.sets().unwrap().is_empty());
}

#[test]
fn an_unfinished_artifact_keeps_the_set_from_being_published() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let mut open = set.artifact("d", "open").unwrap();
    open.write_all(b"1").unwrap();
    let done = write(&set, "d", "done", b"1");
    let contents = datastore(vec![done], ProofLevel::Exists);
    let error = set.publish(BTreeMap::from([("d".into(), contents)])).unwrap_err();
    assert!(matches!(error, Error::NotPublishable { .. }), "{error:?}");
}

#[test]
fn an_artifact_that_was_dropped_is_gone_and_its_name_is_free() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let mut dropped = set.artifact("d", "x").unwrap();
    dropped.write_all(&noise(1, 3 << 20)).unwrap();
    drop(dropped);
    assert!(names(&world.set_path(".a.partial/d")).is_empty());
    let again = write(&set, "d", "x", b"second");
    let contents = datastore(vec![again], ProofLevel::Exists);
    let set = set.publish(BTreeMap::from([("d".into(), contents)])).unwrap();
    assert_eq!(read(&world.vault, &set, "d", "x").unwrap(), b"second");
}

#[test]
fn an_artifact_that_was_finished_or_is_open_is_not_begun_again() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    write(&set, "d", "x", b"1");
    assert!(matches!(set.artifact("d", "x"), Err(Error::NotPublishable { .. })));
    let _open = set.artifact("d", "y").unwrap();
    assert!(matches!(set.artifact("d", "y"), Err(Error::NotPublishable { .. })));
}

#[test]
fn streams_can_be_moved_to_other_threads() {
    fn movable<T: Send + 'static>() {}
    movable::<vaultup_vault::ArtifactWriter>();
    movable::<vaultup_vault::ArtifactReader>();
    movable::<vaultup_vault::SetWriter>();
    movable::<Vault>();
}

#[test]
fn artifacts_are_written_at_the_same_time_from_different_threads() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let artifacts = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4_u64)
            .map(|index| {
                let mut writer = set.artifact("d", &format!("x{index}")).unwrap();
                scope.spawn(move || {
                    for piece in noise(index, 3 << 20).chunks(100_000) {
                        writer.write_all(piece).unwrap();
                    }
                    writer.finish().unwrap()
                })
            })
            .collect();
        writers.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let contents = datastore(artifacts, ProofLevel::Exists);
    let set = set.publish(BTreeMap::from([("d".into(), contents)])).unwrap();
    for index in 0..4 {
        let content = read(&world.vault, &set, "d", &format!("x{index}")).unwrap();
        assert!(content == noise(index, 3 << 20), "{index}");
    }
}

#[test]
fn an_artifact_that_was_cut_or_removed_since_it_was_finished_is_not_published() {
    let cuts: [fn(&Path); 2] = [
        |path| fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap(),
        |path| fs::remove_file(path).unwrap(),
    ];
    for cut in cuts {
        let world = World::new();
        let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
        let artifact = write(&set, "d", "x", &noise(1, 100_000));
        cut(&world.set_path(".a.partial/d/x.zst.age"));
        let contents = datastore(vec![artifact], ProofLevel::Exists);
        let error = set.publish(BTreeMap::from([("d".into(), contents)])).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        assert!(world.vault.sets().unwrap().is_empty());
    }
}

#[test]
fn a_published_set_is_never_written_over() {
    let world = World::new();
    publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", b"first")])]);
    let error = world.vault.begin(header("a", Purpose::Manual, at(1))).err().unwrap();
    assert!(matches!(error, Error::SetExists { .. }), "{error:?}");
    let set = world.vault.set(&id("a")).unwrap();
    assert_eq!(read(&world.vault, &set, "d", "x").unwrap(), b"first");
}

#[test]
fn sets_are_listed_newest_first() {
    let world = World::new();
    for (set, seconds) in [("b", 20), ("c", 10), ("a", 30)] {
        publish(&world.vault, header(set, Purpose::Manual, at(seconds)), &[("d", &[("x", b"1")])]);
    }
    let sets = world.vault.sets().unwrap();
    let order: Vec<_> = sets.iter().map(|one| one.id().as_str()).collect();
    assert_eq!(order, ["a", "b", "c"]);
}

#[test]
fn files_and_directories_are_private() {
    fn look(path: &Path, seen: &mut usize) {
        let metadata = fs::symlink_metadata(path).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, expected, "{}", path.display());
        *seen += 1;
        if metadata.is_dir() {
            fs::read_dir(path).unwrap().for_each(|one| look(&one.unwrap().path(), seen));
        }
    }
    let world = World::new();
    publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", b"1")])]);
    prove(&world.vault, "a", "d", ProofLevel::Checked);
    let _partial = world.vault.begin(header("b", Purpose::Manual, at(0))).unwrap();
    let mut seen = 0;
    look(world.vault.root(), &mut seen);
    assert_eq!(seen, 8);
}

#[test]
fn a_vault_in_which_others_could_write_is_refused() {
    let world = World::new();
    let root = world.vault.root().to_owned();
    for wide in [0o770, 0o702, 0o777] {
        fs::set_permissions(&root, fs::Permissions::from_mode(wide)).unwrap();
        let identity = world.home.path().join("config/identity");
        let (keys, _) = Keys::load_or_create(&identity, &[]).unwrap();
        let error = Vault::open(&root, keys).err().unwrap();
        assert!(matches!(error, Error::Exposed { .. }), "{wide:o}: {error:?}");
        assert!(error.next().unwrap().starts_with("chmod 700 "));
    }
}

#[test]
fn names_that_could_be_paths_are_refused_everywhere() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let before = names(world.home.path());
    for name in ["", ".", "..", "../x", "a/b", "/etc/x", ".x", "a\0b", "A", "-x", "set.json"] {
        assert!(matches!(set.artifact(name, "x"), Err(Error::Name { .. })), "{name:?}");
        assert!(matches!(set.artifact("d", name), Err(Error::Name { .. })), "{name:?}");
    }
    assert!(names(&world.set_path(".a.partial")).is_empty());
    assert_eq!(names(world.home.path()), before);
}

#[test]
fn a_datastore_may_be_called_proofs() {
    let world = World::new();
    publish(
        &world.vault,
        header("a", Purpose::Manual, at(0)),
        &[("proofs", &[("proofs.json", b"1")])],
    );
    prove(&world.vault, "a", "proofs", ProofLevel::Checked);
    let set = world.reopened().set(&id("a")).unwrap();
    assert_eq!(world.vault.proof_level(&set, "proofs").unwrap(), ProofLevel::Checked);
    assert_eq!(read(&world.vault, &set, "proofs", "proofs.json").unwrap(), b"1");
}

#[test]
fn what_is_not_in_the_vault_is_named() {
    let world = World::new();
    let set = publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", b"1")])]);
    assert!(matches!(world.vault.set(&id("b")), Err(Error::NoSet { .. })));
    let error = world.vault.reader(&set, "d", "y").err().unwrap();
    assert_eq!(error.to_string(), "backup set a holds no artifact `y` of `d`");
    let error = world.vault.verify_bytes(&set, "e").unwrap_err();
    assert_eq!(error.to_string(), "backup set a holds no datastore `e`");
}

#[test]
fn without_the_identity_a_set_can_be_made_and_listed_but_not_read() {
    let world = World::new();
    let only = world.home.path().join("elsewhere/identity");
    let (keys, _) = Keys::load_or_create(&only, &world.vault.recipients()).unwrap();
    let blind = Vault::open(world.vault.root(), keys).unwrap();
    let set = publish(&blind, header("a", Purpose::Manual, at(0)), &[("d", &[("x", b"1")])]);
    blind.verify_stored(&set, "d").unwrap();
    let error = blind.reader(&set, "d", "x").err().unwrap();
    assert!(matches!(&error, Error::IdentityMissing { .. }), "{error:?}");
    assert!(error.next().unwrap().contains("elsewhere/identity"));
    assert_eq!(read(&world.vault, &set, "d", "x").unwrap(), b"1");
}

#[test]
fn a_reader_that_is_dropped_early_ends_its_thread() {
    let world = World::new();
    let content = noise(1, 16 << 20);
    let set =
        publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", &content)])]);
    let mut reader = world.vault.reader(&set, "d", "x").unwrap();
    let mut first = [0; 100];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(first, content[..100]);
    drop(reader);
}

#[test]
fn room_is_asked_for_before_it_is_needed() {
    let world = World::new();
    let available = world.vault.available_bytes().unwrap();
    world.vault.require_space(1).unwrap();
    let error = world.vault.require_space(u64::MAX).unwrap_err();
    assert!(available > 0 && matches!(error, Error::NoSpace { needed_bytes: Some(_), .. }));
    assert!(error.to_string().contains("bytes are needed"), "{error}");
}
