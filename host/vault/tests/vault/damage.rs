//! Ten kinds of damage, and which look sees which.
//!
//! The four looks, from cheap to whole: the listing, the cheap check of a proof, the hashes of what
//! is stored, and reading everything. Where the cheap ones are blind, the table says so.

use std::fs::{self, DirBuilder};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use model::contract::ProofLevel;
use vaultup_vault::{Digest, Error, Keys, Purpose, Recheck, Vault};

use crate::support::{World, at, demand, header, id, noise, open, prove, publish, read};

const LENGTH: usize = 20_000;

/// How many artifacts each set has. age adds a random stanza to each head, so that lengths differ;
/// among so many there are two of the same length, which the cheap looks must not tell apart.
const ARTIFACTS: usize = 100;

/// Which looks see it: listing, proof with lengths, proof with stored hashes, reading.
type Seen = [bool; 4];
const ALL: Seen = [true; 4];
const HASHES: Seen = [false, false, true, true];
const READING: Seen = [false, false, false, true];

/// Sets `a` and `b`, `a` proven.
struct Case {
    world: World,
    /// Two artifacts of `a` with the same length on disk.
    twins: [PathBuf; 2],
    /// An artifact of `a` and one of `b` with the same length on disk.
    strangers: [PathBuf; 2],
}

impl Case {
    fn new() -> Self {
        let world = World::new();
        let content: Vec<Vec<u8>> =
            (0..2 * ARTIFACTS as u64).map(|seed| noise(seed, LENGTH)).collect();
        let names: Vec<String> = (0..ARTIFACTS).map(|index| format!("x{index}")).collect();
        for (set, content) in ["a", "b"].into_iter().zip(content.chunks(ARTIFACTS)) {
            let artifacts: Vec<(&str, &[u8])> =
                names.iter().map(String::as_str).zip(content.iter().map(Vec::as_slice)).collect();
            let header = header(set, Purpose::BeforeUpgrade, at(0));
            publish(&world.vault, header, &[("d", &artifacts)]);
        }
        prove(&world.vault, "a", "d", ProofLevel::Checked);
        let path = |set: &str, index: usize| world.artifact_path(set, "d", &names[index]);
        let length = |path: &PathBuf| fs::metadata(path).unwrap().len();
        let pairs = |other: &'static str| {
            let all = (0..ARTIFACTS).flat_map(|x| (0..x).map(move |y| (x, y)));
            let mut pairs = all.map(|(x, y)| [path("a", x), path(other, y)]);
            pairs.find(|[x, y]| length(x) == length(y)).unwrap()
        };
        let (twins, strangers) = (pairs("a"), pairs("b"));
        Self { world, twins, strangers }
    }

    /// The same in another directory.
    fn copied(&self) -> Self {
        fn copy(from: &Path, to: &Path) {
            for entry in fs::read_dir(from).unwrap() {
                let (from, to) =
                    (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
                if from.is_dir() {
                    DirBuilder::new().mode(0o700).create(&to).unwrap();
                    copy(&from, &to);
                } else {
                    fs::copy(from, to).unwrap();
                }
            }
        }
        let home = tempfile::tempdir().unwrap();
        copy(self.world.home.path(), home.path());
        let moved =
            |path: &PathBuf| home.path().join(path.strip_prefix(self.world.home.path()).unwrap());
        let (twins, strangers) =
            (self.twins.each_ref().map(moved), self.strangers.each_ref().map(moved));
        let vault = open(home.path());
        Self { world: World { home, vault }, twins, strangers }
    }
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn looks(vault: &Vault) -> Seen {
    let listed = vault.sets().unwrap().into_iter().find(|one| *one.id() == id("a"));
    let set = id("a");
    let cheap = demand(&set, "d", ProofLevel::Checked);
    let mut thorough = cheap;
    thorough.recheck = Recheck::Stored;
    let read = vault.set(&set).and_then(|set| vault.verify_bytes(&set, "d"));
    [
        listed.is_none_or(|one| one.whole().is_none()),
        vault.proven(&cheap).is_err(),
        vault.proven(&thorough).is_err(),
        read.is_err(),
    ]
}

#[test]
fn each_kind_of_damage_is_seen_by_the_looks_that_can_see_it() {
    type Damage = (&'static str, Seen, fn(&Case));
    const KINDS: [Damage; 13] = [
        ("head cut off", ALL, |case| {
            edit(&case.twins[0], |bytes| drop(bytes.drain(..1000)));
        }),
        ("middle cut out", ALL, |case| {
            edit(&case.twins[0], |bytes| drop(bytes.drain(9000..9512)));
        }),
        ("end cut off", ALL, |case| {
            edit(&case.twins[0], |bytes| bytes.truncate(bytes.len() - 1));
        }),
        ("bit flipped in the head", HASHES, |case| {
            edit(&case.twins[0], |bytes| bytes[30] ^= 1);
        }),
        ("bit flipped in the middle", HASHES, |case| {
            edit(&case.twins[0], |bytes| bytes[LENGTH / 2] ^= 0x10);
        }),
        ("bit flipped in the last byte", HASHES, |case| {
            edit(&case.twins[0], |bytes| *bytes.last_mut().unwrap() ^= 0x80);
        }),
        ("two artifacts swapped", HASHES, |case| {
            let [x, y] = &case.twins;
            let aside = x.with_extension("aside");
            fs::rename(x, &aside).unwrap();
            fs::rename(y, x).unwrap();
            fs::rename(&aside, y).unwrap();
        }),
        ("sector zeroed", HASHES, |case| {
            edit(&case.twins[0], |bytes| bytes[4096..4608].fill(0));
        }),
        ("bytes appended", ALL, |case| {
            edit(&case.twins[1], |bytes| bytes.push(0));
        }),
        ("another set's artifact", HASHES, |case| {
            let [to, from] = &case.strangers;
            fs::copy(from, to).unwrap();
        }),
        ("description edited", ALL, |case| {
            edit(&case.world.set_path("a").join("set.json"), |bytes| {
                let text = String::from_utf8(bytes.clone()).unwrap();
                let edited = text.replace("\"run\":\"7b20\"", "\"run\":\"7b21\"");
                assert_ne!(text, edited);
                *bytes = edited.into_bytes();
            });
        }),
        ("file deleted", ALL, |case| {
            fs::remove_file(&case.twins[1]).unwrap();
        }),
        ("another set's description", ALL, |case| {
            let (from, to) = (case.world.set_path("b"), case.world.set_path("a"));
            fs::copy(from.join("set.json"), to.join("set.json")).unwrap();
        }),
    ];
    let whole = Case::new();
    assert_eq!(looks(&whole.world.vault), [false; 4]);
    for (kind, expected, damage) in KINDS {
        let case = whole.copied();
        damage(&case);
        assert_eq!(looks(&case.world.vault), expected, "{kind}");
        assert!(expected[3], "reading everything sees every kind");
    }
}

#[test]
fn a_wrong_key_is_seen_by_reading_and_named() {
    let world = Case::new().world;
    let other = world.home.path().join("other/identity");
    let (keys, _) = Keys::load_or_create(&other, &[]).unwrap();
    let vault = Vault::open(world.vault.root(), keys).unwrap();
    assert_eq!(looks(&vault), READING);
    let set = vault.set(&id("a")).unwrap();
    match vault.verify_bytes(&set, "d").unwrap_err() {
        Error::WrongKey { recipients, .. } => assert_eq!(recipients, world.vault.recipients()),
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_damaged_set_is_listed_with_the_reason_and_the_others_stay_usable() {
    let Case { world, twins, .. } = Case::new();
    fs::remove_file(&twins[1]).unwrap();
    fs::create_dir(world.set_path("empty")).unwrap();
    let sets = world.vault.sets().unwrap();
    let shown: Vec<_> = sets.iter().map(|one| (one.id().as_str(), one.whole().is_some())).collect();
    assert_eq!(shown, [("b", true), ("a", false), ("empty", false)]);
    let reason = |index: usize| match &sets[index] {
        vaultup_vault::Listed::Damaged { reason, .. } => reason.clone(),
        whole @ vaultup_vault::Listed::Whole(_) => panic!("{whole:?}"),
    };
    let name = twins[1].file_name().unwrap().to_str().unwrap();
    assert_eq!(reason(1), format!("backup set a is damaged: d/{name}: it is missing"));
    assert_eq!(reason(2), "backup set empty is damaged: set.json: it is missing");
    world.vault.verify_bytes(sets[0].whole().unwrap(), "d").unwrap();
}

/// Reads to the end whatever happens: true when an end without error was given.
fn ends_well(vault: &Vault, set: &vaultup_vault::BackupSet) -> bool {
    let Ok(mut reader) = vault.reader(set, "d", "x") else { return false };
    let mut buffer = [0; 64];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                let again = reader.read(&mut buffer);
                assert!(again.is_err(), "after {error} came {again:?}");
                return false;
            }
        }
    }
}

#[test]
fn no_flipped_byte_and_no_cut_of_a_small_artifact_is_read_to_its_end() {
    let world = World::new();
    let set = publish(
        &world.vault,
        header("a", Purpose::Manual, at(0)),
        &[("d", &[("x", b"two rows, one of them important")])],
    );
    let path = world.artifact_path("a", "d", "x");
    let whole = fs::read(&path).unwrap();
    assert!(ends_well(&world.vault, &set));
    for index in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[index] ^= 1 << (index % 8);
        fs::write(&path, flipped).unwrap();
        assert!(!ends_well(&world.vault, &set), "byte {index}");
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(!ends_well(&world.vault, &set), "{length} bytes");
    }
    fs::write(&path, &whole).unwrap();
    assert!(ends_well(&world.vault, &set));
}

/// Writes a description that fits whatever lies on disk: what somebody does who may write here, or
/// a fault that hits both. Changes `content` by hand and gives it the right hash.
fn forge(world: &World, change: impl FnOnce(&mut serde_json::Value)) {
    edit(&world.set_path("a").join("set.json"), |bytes| {
        let mut whole: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        change(&mut whole["content"]);
        let content = whole["content"].to_string();
        let digest = Digest::of(content.as_bytes());
        *bytes = format!(r#"{{"format":1,"blake3":"{digest}","content":{content}}}"#).into_bytes();
    });
}

fn forge_stored(world: &World) {
    let stored = fs::read(world.artifact_path("a", "d", "x")).unwrap();
    forge(world, |content| {
        let artifact = &mut content["datastores"]["d"]["artifacts"][0];
        artifact["bytes-stored"] = stored.len().into();
        artifact["blake3-stored"] = Digest::of(&stored).to_string().into();
    });
}

#[test]
fn with_the_stored_hash_forged_the_encryption_still_refuses_every_byte() {
    let world = World::new();
    let content: &[u8] = b"two rows, one of them important";
    publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", content)])]);
    let path = world.artifact_path("a", "d", "x");
    let whole = fs::read(&path).unwrap();
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 0x01;
        fs::write(&path, changed).unwrap();
        forge_stored(&world);
        let set = world.vault.set(&id("a")).unwrap();
        world.vault.verify_stored(&set, "d").unwrap();
        assert!(!ends_well(&world.vault, &set), "byte {index}");
    }
}

#[test]
fn with_the_stored_hash_forged_another_artifact_is_still_not_the_recorded_content() {
    let world = World::new();
    for (set, content) in [("a", b"1"), ("b", b"2")] {
        publish(&world.vault, header(set, Purpose::Manual, at(0)), &[("d", &[("x", content)])]);
    }
    fs::copy(world.artifact_path("b", "d", "x"), world.artifact_path("a", "d", "x")).unwrap();
    forge_stored(&world);
    let set = world.vault.set(&id("a")).unwrap();
    world.vault.verify_stored(&set, "d").unwrap();
    let error = read(&world.vault, &set, "d", "x").unwrap_err();
    assert!(error.to_string().ends_with("its content is not what was backed up"), "{error}");
}

#[test]
fn the_same_content_in_another_encryption_is_not_what_was_stored() {
    let world = World::new();
    for set in ["a", "b"] {
        publish(&world.vault, header(set, Purpose::Manual, at(0)), &[("d", &[("x", b"1")])]);
    }
    let path = world.artifact_path("a", "d", "x");
    fs::copy(world.artifact_path("b", "d", "x"), &path).unwrap();
    forge(&world, |content| {
        let length = fs::metadata(&path).unwrap().len();
        content["datastores"]["d"]["artifacts"][0]["bytes-stored"] = length.into();
    });
    let set = world.vault.set(&id("a")).unwrap();
    let error = read(&world.vault, &set, "d", "x").unwrap_err();
    assert!(error.to_string().contains("its stored bytes have hash"), "{error}");
}

#[test]
fn a_description_with_a_path_for_a_name_is_not_followed() {
    for (key, name) in [("datastore", "../b/d"), ("datastore", "/etc"), ("artifact", "../../x")] {
        let world = World::new();
        publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", b"1")])]);
        forge(&world, |content| {
            let datastores = content["datastores"].as_object_mut().unwrap();
            let mut contents = datastores.remove("d").unwrap();
            if key == "artifact" {
                contents["artifacts"][0]["name"] = name.into();
                datastores.insert("d".into(), contents);
            } else {
                datastores.insert(name.into(), contents);
            }
        });
        let error = world.vault.set(&id("a")).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{name}: {error:?}");
    }
}

#[test]
fn a_link_in_the_place_of_an_artifact_is_not_followed() {
    let Case { world, twins, .. } = Case::new();
    let aside = world.home.path().join("aside");
    fs::rename(&twins[0], &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &twins[0]).unwrap();
    assert_eq!(looks(&world.vault), ALL);
}
