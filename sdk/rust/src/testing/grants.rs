//! What a manifest grants: a [`Machine`](super::Machine) that was given one refuses other commands.
//!
//! The rules are the host's own, and so is their code. What a test cannot know is taken for
//! granted: every text may be a setting, every absolute path and every secret may be granted.

use model::manifest::{Manifest, ProcessNeed, Runs};
use model::pattern::{Argument, MatchContext};

use crate::Error;
use crate::bindings::imports::vaultup::plugin::process as raw;

/// What errors call the manifest.
const FILE: &str = "plugin.toml";

/// Everything that an operator who installs the plugin grants.
pub(super) struct Grants {
    manifest: Manifest,
}

impl Grants {
    pub(super) fn read(manifest: &str) -> Result<Self, Error> {
        let manifest = Manifest::parse(manifest, FILE);
        let manifest = manifest.map_err(|error| Error::invalid_settings(error.to_string()))?;
        Ok(Self { manifest })
    }

    /// Refuses a command as the host would.
    pub(super) fn require(&self, command: &raw::Command) -> Result<(), Error> {
        match &command.program {
            raw::Program::Arguments(arguments) => {
                let arguments: Vec<Argument> = arguments.iter().map(argument).collect();
                let need = self.manifest.granting(&arguments, self);
                let need = need.map_err(|error| Error::denied(error.to_string()))?;
                require_environment(need, command)
            }
            // Which variables the operator's own command may have, the operator's settings say.
            raw::Program::Setting(place) => self.require_reference(Runs::Setting, place),
            raw::Program::Release(place) => self.require_reference(Runs::Release, place),
        }
    }

    fn require_reference(
        &self,
        whose: fn(String) -> Runs,
        place: &raw::Reference,
    ) -> Result<(), Error> {
        let variables = place.variables.iter().map(|(name, _)| name.as_str());
        let need = self.manifest.granting_reference(&whose(place.key.clone()), variables);
        need.map(drop).map_err(|error| Error::denied(error.to_string()))
    }
}

impl MatchContext for Grants {
    fn is_setting(&self, _: &str) -> bool {
        true
    }

    fn is_literal(&self, text: &str) -> bool {
        self.manifest.literals.values().any(|literal| literal == text)
    }

    fn is_granted_path(&self, _: &str) -> bool {
        true
    }

    fn is_granted_secret(&self, _: &str) -> bool {
        true
    }
}

fn require_environment(need: &ProcessNeed, command: &raw::Command) -> Result<(), Error> {
    let refused = command.environment.iter().find(|(name, _)| !need.allows_environment(name));
    match refused {
        Some((name, _)) => {
            Err(Error::denied(format!("the variable `{name}` was not granted for this command")))
        }
        None => Ok(()),
    }
}

fn argument(argument: &raw::Argument) -> Argument {
    match argument {
        raw::Argument::Text(text) => Argument::Text(text.clone()),
        raw::Argument::SecretFile((prefix, name)) => {
            Argument::SecretFile { prefix: prefix.clone(), name: name.clone() }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use crate::process;
    use crate::testing::{Installed, Machine, Reply};
    use crate::{Case, Error};

    const MANIFEST: &str = r#"
        format = 1
        name = "ping"
        version = "1.0.0"
        contract = "0.1"
        description = "Asks a server whether it is there"
        exports = ["health-check"]
        tools = [{ name = "ping" }]
        settings.properties.wake = { type = "array", items = { type = "string" } }
        [[process]]
        class = "read"
        argv = ["ping", "--count={n:number}", "{host}"]
        environment = ["PING_*"]
        [[process]]
        class = "change"
        setting = "wake"
        variables = ["host"]
    "#;

    fn machine() -> Installed {
        let machine = Machine::new().with_manifest(MANIFEST).unwrap().install();
        machine.answer("ping", |_| Reply::exit(0));
        machine.answer("wake", |_| Reply::exit(0));
        machine
    }

    fn refused(run: Result<process::Finished, Error>) -> String {
        let error = run.unwrap_err();
        assert_eq!(error.case(), &Case::Denied, "{error}");
        error.to_string()
    }

    #[test]
    fn what_the_manifest_says_is_granted() {
        let machine = machine();
        let ping = || process::command("ping").arguments(["--count=3", "db"]);
        ping().environment("PING_TIMEOUT", "1").run().unwrap();
        process::setting("wake").variable("host", "db").run().unwrap();
        assert_eq!(machine.calls().len(), 2);
    }

    #[test]
    fn what_it_does_not_say_is_refused_and_the_nearest_pattern_named() {
        let machine = machine();
        let flooding = process::command("ping").arguments(["--count=3", "--flood", "db"]);
        assert!(refused(flooding.run()).contains("argument 2"));
        let ping = process::command("ping").arguments(["--count=3", "db"]);
        assert!(refused(ping.environment("PATH", "/tmp").run()).contains("`PATH`"));
        let waking = process::setting("wake").variable("user", "root");
        assert!(refused(waking.run()).contains("no variable `user`"));
        assert!(refused(process::release("wake").run()).contains("`wake`"));
        assert!(machine.calls().is_empty(), "none of them ran");
    }

    #[test]
    fn a_text_that_is_no_manifest_is_refused_with_its_faults() {
        let error = Machine::new().with_manifest("format = 1\nnmae = 'a'").err().unwrap();
        assert!(error.to_string().contains("nmae"), "{error}");
    }
}
