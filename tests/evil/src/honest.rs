//! What a good plugin would answer, and the lies.

use serde::{Deserialize, Serialize};
use vaultup_sdk::backup::{self, Consistency, Cost, Level, Proof, Taken};
use vaultup_sdk::deploy::{
    Change, Forecast, Instance, Inventory, Presence, Running, Traffic, Wave,
};
use vaultup_sdk::files::Root;
use vaultup_sdk::{Backup, Deploy, Error, Figure, Observation, Operation, process};

use crate::{Act, Evil, Settings, act};

/// The only artifact of its backups.
const ARTIFACT: &str = "word";
/// What is in it.
const WORD: &str = "good";
/// The file in which `lie-apply` remembers what it was told.
const TOLD: &str = "told";
/// The version that it always runs.
const VERSION: &str = "1.0.0";

/// What is noted of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// How many words there are.
    pub count: u64,
    /// Nothing but room that it takes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filler: String,
}

impl Backup for Evil {
    type State = State;

    fn estimate(operation: &Operation<Settings>) -> Result<Cost, Error> {
        act(&operation.settings)?;
        let consistency = Consistency::OneMoment;
        Ok(Cost { bytes: 4, bytes_free: None, consistency, commands: Vec::new() })
    }

    fn take(operation: &Operation<Settings>) -> Result<Taken<State>, Error> {
        act(&operation.settings)?;
        if operation.settings.act != Act::LieTake {
            let word = process::command("printf").argument("%s").argument(WORD);
            word.into_artifact(ARTIFACT).run()?;
        }
        let consistency = Consistency::OneMoment;
        let state = State { count: 1, filler: filler(&operation.settings) };
        Ok(Taken { figures: figures(1), consistency, state })
    }

    fn prove(operation: &Operation<Settings>, level: Level, state: &State) -> Result<Proof, Error> {
        act(&operation.settings)?;
        if operation.settings.act == Act::LieProof {
            let answers = vec!["everything is as it was".to_owned()];
            return Ok(Proof { level: Level::Restored, figures: figures(state.count), answers });
        }
        let word = process::command("cat").argument("-u").from_artifact(ARTIFACT).read_text()?;
        if word != WORD {
            return Err(Error::corrupt(format!("`{WORD}` was backed up, `{word}` was read")));
        }
        Ok(Proof { level: level.min(Level::Checked), figures: figures(1), answers: Vec::new() })
    }

    fn status(
        operation: &Operation<Settings>,
        _change: backup::Change,
    ) -> Result<Observation, Error> {
        act(&operation.settings)?;
        Ok(observed(&operation.settings))
    }
}

impl Deploy for Evil {
    fn observe(operation: &Operation<Settings>) -> Result<Running, Error> {
        act(&operation.settings)?;
        let is_lying = match operation.settings.act {
            Act::LieDone => true,
            Act::LieApply => was_told()?,
            _ => false,
        };
        let next = operation.next.as_ref().filter(|_| is_lying);
        let version = next.map_or(VERSION, |release| &release.version).to_owned();
        let instance = Instance {
            name: "main".to_owned(),
            version: Some(version.clone()),
            running: true,
            ready: true,
            reason: String::new(),
        };
        Ok(Running {
            version: Some(version.clone()),
            revision: Some(version),
            artifacts: Vec::new(),
            instances_wanted: 1,
            instances: vec![instance; instances(&operation.settings)],
            traffic: Traffic::NotApplicable,
            configuration_digest: None,
            busy: None,
        })
    }

    fn way_back(operation: &Operation<Settings>) -> Result<Inventory, Error> {
        act(&operation.settings)?;
        let reason = "it always runs the same".to_owned();
        Ok(Inventory { available: true, revision: Some(VERSION.to_owned()), reason })
    }

    fn preview(operation: &Operation<Settings>) -> Result<Forecast, Error> {
        act(&operation.settings)?;
        Ok(Forecast { differences: Vec::new(), commands: Vec::new(), seconds: None })
    }

    fn status(operation: &Operation<Settings>, _change: Change) -> Result<Observation, Error> {
        act(&operation.settings)?;
        Ok(observed(&operation.settings))
    }

    fn prefetch(operation: &Operation<Settings>) -> Result<(), Error> {
        act(&operation.settings)
    }

    fn apply(operation: &Operation<Settings>, _wave: Wave) -> Result<(), Error> {
        if operation.settings.act == Act::LieApply {
            Root::open("path")?.write(TOLD, b"")?;
        }
        act(&operation.settings)
    }

    fn stop(operation: &Operation<Settings>) -> Result<(), Error> {
        act(&operation.settings)
    }

    fn start(operation: &Operation<Settings>, _instances: u32) -> Result<(), Error> {
        act(&operation.settings)
    }

    fn revert(
        operation: &Operation<Settings>,
        _revision: &str,
        _presence: Presence,
    ) -> Result<(), Error> {
        if operation.settings.act == Act::LieApply {
            Root::open("path")?.write(TOLD, b"reverted")?;
        }
        act(&operation.settings)
    }
}

/// Whether it was told to deploy, and not to go back since.
fn was_told() -> Result<bool, Error> {
    let root = Root::open("path")?;
    Ok(root.describe(TOLD)?.is_some_and(|entry| entry.bytes == 0))
}

/// How many times its only instance is told.
fn instances(settings: &Settings) -> usize {
    match settings.of.as_deref() {
        Some("instances") => usize::try_from(settings.amount).unwrap_or(usize::MAX),
        _ => 1,
    }
}

/// Makes the state as many bytes of JSON as were asked for.
fn filler(settings: &Settings) -> String {
    const AROUND: &str = r#"{"count":1,"filler":""}"#;
    match settings.of.as_deref() {
        Some("state") => {
            "x".repeat(usize::try_from(settings.amount).unwrap_or(0).saturating_sub(AROUND.len()))
        }
        _ => String::new(),
    }
}

fn figures(count: u64) -> Vec<Figure> {
    vec![Figure { count: Some(count), ..Figure::named("words") }]
}

fn observed(settings: &Settings) -> Observation {
    match settings.act {
        Act::LieDone => Observation::done("it says so"),
        _ => Observation::NotStarted,
    }
}
