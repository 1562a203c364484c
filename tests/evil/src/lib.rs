//! A plugin that does everything that a plugin must not be able to do, one act at a time.
//!
//! The setting `act` chooses; whatever function is called then tries it. What it answers, if it
//! comes to answer:
//! - the error `contained`, if every attempt was refused; the platform's words list the refusals
//! - the error `escaped`, if one was not; the platform's words list what came of it
//! - the error `seen`, if an attempt may succeed but must not show a secret: it says what was seen
//! - the error `done`, if an `amount` of something was had
//!
//! An act that lies answers well, and the host has to find it out. With `none` it is a good plugin,
//! which must work after every bad one.

mod amount;
mod attempt;
mod attempts;
mod bombs;
mod honest;

pub use honest::State;
use serde::{Deserialize, Serialize};
use vaultup_sdk::secret::Secret;
use vaultup_sdk::{Error, Plugin};

/// The plugin.
pub struct Evil;

/// What it is to do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Which act.
    pub act: Act,
    /// A directory that is granted for writing.
    pub path: Option<String>,
    /// An existing file that is granted to nobody.
    #[serde(default = "outside")]
    pub outside: String,
    /// A secret that may be used.
    pub secret: Option<Secret>,
    /// A command of the operator's; `${word}` in it is filled in.
    pub command: Option<Vec<String>>,
    /// Where requests may go.
    pub url: Option<String>,
    /// Of what the act `amount` takes an amount.
    pub of: Option<String>,
    /// How much.
    #[serde(default)]
    pub amount: u64,
}

/// What a plugin must not be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Nothing: a good plugin.
    None,
    /// Computes for ever.
    Loop,
    /// Copies large memory for ever, in few instructions.
    Copy,
    /// Allocates until there is no more.
    Memory,
    /// Opens handles and never closes them.
    Handles,
    /// Starts commands and never waits for them.
    Processes,
    /// Calls itself without end.
    Recursion,
    /// Stops by a trap.
    Trap,
    /// Waits past its deadline, whatever the host answers.
    Sleep,
    /// Runs a command that takes longer than its deadline.
    SlowCommand,
    /// Runs what was not granted.
    Exec,
    /// Puts flags, control characters and other arguments where placeholders are.
    Inject,
    /// Leaves what was granted.
    Path,
    /// Leaves it through links that it makes.
    Link,
    /// Removes and overwrites what it did not make.
    Remove,
    /// Logs without end.
    FloodLog,
    /// Reports progress without end.
    FloodProgress,
    /// Runs a command that writes without end.
    FloodCommand,
    /// Leads a command that writes without end into an artifact.
    FloodArtifact,
    /// Answers with an enormous text.
    FloodAnswer,
    /// Logs what looks like a terminal's or somebody else's lines.
    ForgeLog,
    /// Looks for a secret in environment, arguments and granted files.
    SecretSearch,
    /// Lets a granted tool echo a secret, plainly and encoded.
    SecretEcho,
    /// Sends a secret in a header to a server that answers with what it got.
    SecretHeader,
    /// Uses a secret that its settings do not name.
    SecretOther,
    /// Makes an artifact where none can be made, and reads those of others.
    Artifact,
    /// Talks to hosts that were not granted.
    Http,
    /// Changes something in a function that only looks.
    ChangeQuietly,
    /// Takes an exact amount of something, to show where a limit lies.
    Amount,
    /// Says that a backup is proven, with figures that it made up.
    LieProof,
    /// Says that it took a backup, without an artifact.
    LieTake,
    /// Says that the next release runs once it was told to deploy it, and does nothing.
    LieApply,
    /// Says that everything is done and ready, and does nothing.
    LieDone,
}

fn outside() -> String {
    "/etc/passwd".to_owned()
}

impl Plugin for Evil {
    type Settings = Settings;
}

vaultup_sdk::plugin!(Evil: backup, deploy);

/// Does what the settings say; comes back only if it was stopped by nobody.
pub(crate) fn act(settings: &Settings) -> Result<(), Error> {
    match settings.act {
        Act::None | Act::LieProof | Act::LieTake | Act::LieApply | Act::LieDone => Ok(()),
        Act::Loop => bombs::compute(),
        Act::Copy => bombs::copy(),
        Act::Memory => bombs::allocate(),
        Act::Handles => bombs::open_handles(),
        Act::Processes => bombs::start_commands(),
        Act::Recursion => bombs::recur(),
        Act::Trap => std::process::abort(),
        Act::Sleep => bombs::sleep(),
        Act::SlowCommand => bombs::slow_command(),
        Act::FloodLog => bombs::flood_log(),
        Act::FloodProgress => bombs::flood_progress(),
        Act::FloodCommand => bombs::flood_command(),
        Act::FloodArtifact => bombs::flood_artifact(),
        Act::FloodAnswer => bombs::flood_answer(),
        Act::Exec => attempts::exec(),
        Act::Inject => attempts::inject(settings),
        Act::Path => attempts::path(settings),
        Act::Link => attempts::link(settings),
        Act::Remove => attempts::remove(),
        Act::ForgeLog => attempts::forge_log(),
        Act::SecretSearch => attempts::secret_search(settings),
        Act::SecretEcho => attempts::secret_echo(settings),
        Act::SecretHeader => attempts::secret_header(settings),
        Act::SecretOther => attempts::secret_other(),
        Act::Artifact => attempts::artifact(),
        Act::Http => attempts::http(),
        Act::ChangeQuietly => attempts::change_quietly(),
        Act::Amount => amount::take(settings),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use vaultup_sdk::backup::Level;
    use vaultup_sdk::testing::Machine;
    use vaultup_sdk::{Backup, Case, Deploy};

    use super::*;

    const MANIFEST: &str = include_str!("../plugin.toml");

    fn settings(act: &str) -> Settings {
        serde_json::from_value(serde_json::json!({"act": act, "path": "granted"})).unwrap()
    }

    /// The acts that the manifest's schema allows.
    fn named() -> Vec<String> {
        let (_, list) = MANIFEST.split_once("enum = [").unwrap();
        let (list, _) = list.split_once(']').unwrap();
        let quoted = list.split('"').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    }

    #[test]
    fn every_act_that_the_manifest_names_exists_and_every_act_is_named() {
        let named = named();
        for name in &named {
            let act: Act = serde_json::from_value(name.as_str().into()).unwrap();
            assert_eq!(serde_json::to_value(act).unwrap(), name.as_str());
        }
        // The last act of the type; a new one behind it has to move here and into the manifest.
        assert_eq!(named.last().map(String::as_str), Some("lie-done"));
        assert_eq!(named.len(), Act::LieDone as usize + 1);
    }

    #[test]
    fn attempts_that_are_all_refused_are_contained() {
        let machine = Machine::new().install();
        for act in ["exec", "inject", "path", "link", "secret-other", "artifact", "http"] {
            let error = Evil::observe(&machine.operation(settings(act))).unwrap_err();
            assert_eq!(error.case(), &Case::Other("contained".to_owned()), "{act}: {error}");
        }
    }

    #[test]
    fn an_attempt_that_succeeds_is_told() {
        let machine = Machine::new().install();
        machine.tool("id");
        let error = Evil::observe(&machine.operation(settings("exec"))).unwrap_err();
        assert_eq!(error.case(), &Case::Other("escaped".to_owned()));
        assert!(error.platform().contains("uid="), "{error}");
    }

    #[test]
    fn a_lie_is_told_with_a_straight_face() {
        let machine = Machine::new().install();
        let operation = machine.operation(settings("lie-proof"));
        let state = State { count: 1, filler: String::new() };
        let proof = Evil::prove(&operation, Level::Readable, &state).unwrap();
        assert_eq!((proof.level, proof.figures[0].count), (Level::Restored, Some(1)));
    }
}
