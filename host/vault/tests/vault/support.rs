//! A vault in a scratch directory, and sets in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::contract::{Consistency, Figure, ProofLevel};
use vaultup_vault::{
    ArtifactRecord, BackupSet, DatastoreRecord, Demand, Keys, ProofRecord, Purpose, Recheck,
    SetHeader, SetId, SetWriter, Vault,
};

pub(crate) const STACK: &str = "shop";
pub(crate) const RUN: &str = "7b20";

pub(crate) struct World {
    pub(crate) home: tempfile::TempDir,
    pub(crate) vault: Vault,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let vault = open(home.path());
        Self { home, vault }
    }

    pub(crate) fn set_path(&self, set: &str) -> PathBuf {
        self.vault.root().join(set)
    }

    pub(crate) fn artifact_path(&self, set: &str, datastore: &str, artifact: &str) -> PathBuf {
        self.set_path(set).join(datastore).join(format!("{artifact}.zst.age"))
    }

    /// The same directory opened by a process that has read nothing yet.
    pub(crate) fn reopened(&self) -> Vault {
        open(self.home.path())
    }
}

pub(crate) fn open(home: &Path) -> Vault {
    let (keys, _) = Keys::load_or_create(&home.join("config/identity"), &[]).unwrap();
    Vault::open(&home.join("backups"), keys).unwrap()
}

pub(crate) fn id(text: &str) -> SetId {
    SetId::parse(text).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_760_000_000 + seconds).unwrap()
}

pub(crate) fn header(set: &str, purpose: Purpose, began_at: Timestamp) -> SetHeader {
    SetHeader {
        id: id(set),
        stack: STACK.into(),
        run: RUN.into(),
        release: "2.4.3".into(),
        purpose,
        began_at,
    }
}

pub(crate) fn figure(count: u64) -> Figure {
    Figure {
        name: "orders".into(),
        count: Some(count),
        bytes: Some(count * 10),
        digest: Some(format!("blake3:{count:x}")),
    }
}

pub(crate) fn datastore(artifacts: Vec<ArtifactRecord>, wanted: ProofLevel) -> DatastoreRecord {
    DatastoreRecord {
        plugin: "blake3:00".into(),
        schema_version: Some("17".into()),
        schema_fingerprint: None,
        proof_wanted: wanted,
        artifacts,
        figures: vec![figure(3)],
        consistency: Consistency::WritersHeld,
        taken_at: at(0),
        state: serde_json::json!({ "ratio": 0.1, "nested": { "z": 1, "a": [null] } }),
        meanwhile: vaultup_vault::Meanwhile::default(),
    }
}

pub(crate) fn write(
    set: &SetWriter,
    datastore: &str,
    name: &str,
    content: &[u8],
) -> ArtifactRecord {
    let mut writer = set.artifact(datastore, name).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

/// Datastore → artifact → content.
pub(crate) type Contents<'a> = &'a [(&'a str, Artifacts<'a>)];
pub(crate) type Artifacts<'a> = &'a [(&'a str, &'a [u8])];

/// A published set: datastore → artifact → content. Every datastore wants level 2.
pub(crate) fn publish(vault: &Vault, header: SetHeader, contents: Contents<'_>) -> BackupSet {
    let set = vault.begin(header).unwrap();
    let mut records = BTreeMap::new();
    for (name, artifacts) in contents {
        let artifacts = artifacts.iter().map(|(artifact, content)| {
            let record = write(&set, name, artifact, content);
            assert_eq!(record.bytes, content.len() as u64);
            record
        });
        let record = datastore(artifacts.collect(), ProofLevel::Checked);
        records.insert((*name).to_owned(), record);
    }
    set.publish(records).unwrap()
}

pub(crate) fn read(
    vault: &Vault,
    set: &BackupSet,
    datastore: &str,
    artifact: &str,
) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let reader = vault.reader(set, datastore, artifact).map_err(std::io::Error::other);
    reader?.read_to_end(&mut content)?;
    Ok(content)
}

pub(crate) fn proof_of(level: ProofLevel) -> ProofRecord {
    let answers = vec!["3".into()];
    ProofRecord { level, at: at(60), figures: vec![figure(3)], answers }
}

pub(crate) fn prove(vault: &Vault, set: &str, datastore: &str, level: ProofLevel) {
    let found = vault.set(&id(set)).unwrap();
    vault.verify_bytes(&found, datastore).unwrap();
    vault.record_proof(&id(set), datastore, proof_of(level)).unwrap();
}

pub(crate) fn demand<'a>(set: &'a SetId, datastore: &'a str, at_least: ProofLevel) -> Demand<'a> {
    Demand {
        set,
        datastore,
        stack: STACK,
        run: RUN,
        purpose: Purpose::BeforeUpgrade,
        at_least,
        recheck: Recheck::Lengths,
    }
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut content = vec![0; length];
    for part in content.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        part.copy_from_slice(&state.to_le_bytes()[..part.len()]);
    }
    content
}

/// Names of everything in a directory, hidden ones too.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
