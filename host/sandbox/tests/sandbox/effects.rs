//! What calls do to the world, and who is told of it: commands, files, artifacts, the fence.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::contract::{Consistency, PluginError, ProofLevel, Wave};
use model::manifest::Class;
use sandbox::{Artifacts, BackupRead, BackupTaken, FileAct, Mode};
use tempfile::TempDir;
use vault::{BackupSet, DatastoreRecord, Keys, Purpose, SetHeader, SetId, SetWriter, Vault};

use crate::limits;
use crate::support::{Place, evil};

/// A vault of its own.
pub(crate) struct Backups {
    _scratch: TempDir,
    pub(crate) vault: Vault,
}

impl Backups {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let (keys, _) = Keys::load_or_create(&scratch.path().join("identity"), &[]).unwrap();
        let vault = Vault::open(&scratch.path().join("backups"), keys).unwrap();
        Self { _scratch: scratch, vault }
    }

    /// Begins a set of the datastore `store`.
    pub(crate) fn begin(&self) -> BackupTaken {
        self.begin_named("set-1")
    }

    /// The same, under a name of its own.
    pub(crate) fn begin_named(&self, id: &str) -> BackupTaken {
        BackupTaken::new(Arc::new(self.writer(id)), "store")
    }

    /// A published set of the datastore `store` with one artifact.
    pub(crate) fn with_artifact(&self, name: &str, content: &[u8]) -> BackupSet {
        let writer = self.writer("set-1");
        let mut artifact = writer.artifact("store", name).unwrap();
        artifact.write_all(content).unwrap();
        let written = vec![artifact.finish().unwrap()];
        writer.publish(BTreeMap::from([("store".to_owned(), record_of(written))])).unwrap()
    }

    fn writer(&self, id: &str) -> SetWriter {
        let header = SetHeader {
            id: SetId::parse(id).unwrap(),
            stack: "shop".to_owned(),
            run: "run-1".to_owned(),
            release: "1.0.0".to_owned(),
            purpose: Purpose::BeforeUpgrade,
            began_at: jiff::Timestamp::UNIX_EPOCH,
        };
        self.vault.begin(header).unwrap()
    }
}

/// What is recorded of a datastore whose plugin measured nothing.
fn record_of(artifacts: Vec<vault::ArtifactRecord>) -> DatastoreRecord {
    DatastoreRecord {
        plugin: evil().digest().to_owned(),
        schema_version: None,
        schema_fingerprint: None,
        proof_wanted: ProofLevel::Checked,
        artifacts,
        figures: Vec::new(),
        consistency: Consistency::OneMoment,
        taken_at: jiff::Timestamp::UNIX_EPOCH,
        state: serde_json::json!({}),
        meanwhile: vault::Meanwhile::default(),
    }
}

/// Takes a backup with the plugin and publishes it as the runner does.
async fn take(backups: &Backups) -> (BackupSet, serde_json::Value) {
    let mut place = Place::changing();
    let writer = Arc::new(backups.writer("set-1"));
    let into = BackupTaken::new(Arc::clone(&writer), "store");
    place.session.artifacts = Artifacts::Write(into.clone());
    let operation = place.operation("none");
    let taken = evil().backup_take(&place.session, &operation).await.unwrap();
    let written = into.written();
    assert_eq!(written.iter().map(|one| one.bytes).collect::<Vec<_>>(), [4]);
    let record = DatastoreRecord {
        figures: taken.figures,
        consistency: taken.consistency,
        state: taken.state.clone(),
        ..record_of(written)
    };
    drop((into, place));
    let writer = Arc::into_inner(writer).unwrap();
    (writer.publish(BTreeMap::from([("store".to_owned(), record)])).unwrap(), taken.state)
}

#[tokio::test]
async fn a_backup_goes_from_a_command_into_the_vault_and_back_past_the_plugin() {
    let backups = Backups::new();
    let (set, state) = take(&backups).await;
    let mut place = Place::changing();
    let (vault, set) = (backups.vault.clone(), Arc::new(set));
    place.session.artifacts =
        Artifacts::Read(BackupRead { vault, set, datastore: "store".to_owned() });
    let operation = place.operation("none");
    let proof =
        evil().backup_prove(&place.session, &operation, ProofLevel::Checked, &state).await.unwrap();
    assert_eq!(proof.level, ProofLevel::Checked);
    let started = place.listener.started.lock().unwrap();
    assert_eq!(started[0].arguments, ["cat", "-u"]);
    assert!(started[0].program.is_absolute() && started[0].program_digest.starts_with("blake3:"));
    assert_eq!(place.listener.ended.lock().unwrap()[0].ended, "exited with status 0");
}

#[tokio::test]
async fn a_damaged_artifact_is_corrupt_and_not_half_a_backup() {
    let backups = Backups::new();
    let (set, state) = take(&backups).await;
    let directory = backups.vault.root().join("set-1/store");
    let file = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let mut place = Place::changing();
    let (vault, set) = (backups.vault.clone(), Arc::new(set));
    place.session.artifacts =
        Artifacts::Read(BackupRead { vault, set, datastore: "store".to_owned() });
    let operation = place.operation("none");
    let error = evil()
        .backup_prove(&place.session, &operation, ProofLevel::Checked, &state)
        .await
        .unwrap_err();
    assert!(!matches!(error.plugin_error(), None | Some(PluginError::Other(..))), "{error}");
}

#[tokio::test]
async fn each_change_is_fenced_told_beforehand_and_can_be_undone() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut place = Place::new();
    let count = Arc::clone(&asked);
    let fence = Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    place.session.mode = Mode::Change { fence };
    std::fs::create_dir(place.at("granted/kept.vaultup-x")).unwrap();
    let operation = place.operation("change-quietly");
    // In a function that may change something it may, so the plugin says that it escaped.
    let wave = Wave { number: 1, of: 1, instances: 1 };
    let error = evil().deploy_apply(&place.session, &operation, wave).await.unwrap_err();
    assert!(matches!(error.plugin_error(), Some(PluginError::Other(case, _)) if case == "escaped"));
    assert!(place.at("evil").exists(), "touch ran beside the stack file");
    let edits = place.listener.edits.lock().unwrap();
    let acts: Vec<&str> = edits.iter().map(|edit| name(&edit.act)).collect();
    assert_eq!(acts, ["write", "link", "create-directory", "rename", "remove"]);
    assert_eq!(edits[0].root, place.at("granted"));
    assert_eq!(edits[0].path, "evil");
    let FileAct::Write { previous } = &edits[0].act else { panic!("{edits:?}") };
    assert_eq!(*previous, system::files::Previous::Absent);
    // One for each edit, two for the command: when it is found, and right before it starts.
    assert_eq!(asked.load(Ordering::Relaxed), edits.len() + 2);
    assert_eq!(place.listener.started.lock().unwrap()[0].class, Class::Change);
}

#[tokio::test]
async fn a_holder_that_lost_its_lock_changes_nothing() {
    let mut place = Place::new();
    let fence = Arc::new(|| Err("the lock was taken over by ana@desk".to_owned()));
    place.session.mode = Mode::Change { fence };
    assert_nothing_changes(&place, "taken over by ana@desk").await;
}

#[tokio::test]
async fn what_cannot_be_journaled_is_not_done() {
    let place = Place::changing();
    *place.listener.refuse.lock().unwrap() = Some("the journal is full".to_owned());
    assert_nothing_changes(&place, "the journal is full").await;
}

async fn assert_nothing_changes(place: &Place, reason: &str) {
    let operation = place.operation("change-quietly");
    let wave = Wave { number: 1, of: 1, instances: 1 };
    let error = evil().deploy_apply(&place.session, &operation, wave).await.unwrap_err();
    let said = error.said();
    assert!(
        matches!(error.plugin_error(), Some(PluginError::Other(case, _)) if case == "contained")
    );
    assert_eq!(said.platform.matches(reason).count(), 6, "{}", said.platform);
    assert!(!place.at("evil").exists() && !place.at("granted/evil").exists());
    assert!(place.at("granted/kept/inside").exists());
}

#[tokio::test]
async fn calls_of_one_look_share_what_reading_commands_answer_and_nothing_else() {
    let mut place = Place::changing();
    let started = |place: &Place| place.listener.started.lock().unwrap().len();
    limits::take(&place, "variables", 1).await;
    limits::take(&place, "variables", 1).await;
    assert_eq!(started(&place), 2, "without a look each call runs its own");
    place.session.look = Some(Arc::default());
    limits::take(&place, "variables", 1).await;
    limits::take(&place, "variables", 1).await;
    assert_eq!(started(&place), 3);
    limits::take(&place, "variables", 2).await;
    assert_eq!(started(&place), 4, "another environment is another question");
    limits::take(&place, "input", 1).await;
    limits::take(&place, "input", 1).await;
    assert_eq!(started(&place), 6, "a change is never shared");
}

#[tokio::test]
async fn an_operators_command_gets_the_plugins_variables_and_nothing_else_of_it() {
    let place = Place::new();
    let operation = place.operation("inject");
    let error = evil().deploy_observe(&place.session, &operation).await.unwrap_err();
    assert!(error.said().platform.contains("neither a name nor a granted path"), "{error}");
    assert_eq!(place.listener.started.lock().unwrap().len(), 0, "nothing was even started");
}

#[tokio::test]
async fn a_set_whose_plugin_wrote_nothing_cannot_be_published() {
    let backups = Backups::new();
    let mut place = Place::changing();
    let writer = Arc::new(backups.writer("set-1"));
    let into = BackupTaken::new(Arc::clone(&writer), "store");
    place.session.artifacts = Artifacts::Write(into.clone());
    evil().backup_take(&place.session, &place.operation("lie-take")).await.unwrap();
    assert_eq!(into.written(), []);
    drop((into, place));
    assert!(Arc::into_inner(writer).unwrap().publish(BTreeMap::new()).is_err());
}

fn name(act: &FileAct) -> &'static str {
    match act {
        FileAct::Write { .. } => "write",
        FileAct::Link { .. } => "link",
        FileAct::CreateDirectory => "create-directory",
        FileAct::Rename { .. } => "rename",
        FileAct::Exchange { .. } => "exchange",
        FileAct::Remove => "remove",
    }
}
