//! Which of a manifest's needs grants a command.

use super::{Class, Manifest, ProcessNeed, Runs};
use crate::pattern::{Argument, MatchContext, Mismatch, shown};

/// Why a command is not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGranted {
    /// Patterns are there, and this one comes nearest.
    #[error("this command was not granted: {0}")]
    Mismatch(Mismatch),
    /// The manifest has no pattern at all.
    #[error("this command was not granted: no command was granted")]
    NoPattern,
    /// No command of the operator's or the release's was asked for under this key.
    #[error("no command under `{0}` was granted")]
    NoKey(String),
    /// The plugin may not fill this in.
    #[error("`{key}` has no variable `{variable}` for the plugin")]
    NoVariable {
        /// Where the command stands.
        key: String,
        /// What it was to fill in.
        variable: String,
    },
}

impl Manifest {
    /// The need that grants a command of the plugin's own. One that only reads is taken before one
    /// that changes: the narrower right is enough.
    ///
    /// # Errors
    /// [`NotGranted::Mismatch`] of the pattern that matches furthest, or [`NotGranted::NoPattern`].
    pub fn granting(
        &self,
        arguments: &[Argument],
        context: &impl MatchContext,
    ) -> Result<&ProcessNeed, NotGranted> {
        let mut nearest: Option<Mismatch> = None;
        let mut found: Option<&ProcessNeed> = None;
        for need in &self.process {
            let Runs::Arguments(pattern) = &need.runs else { continue };
            match pattern.matches(arguments, context) {
                Ok(()) if need.class == Class::Read => return Ok(need),
                Ok(()) => found = found.or(Some(need)),
                Err(mismatch) => {
                    let deeper = |old: &Mismatch| old.position >= mismatch.position;
                    if !nearest.as_ref().is_some_and(deeper) {
                        nearest = Some(mismatch);
                    }
                }
            }
        }
        found.ok_or_else(|| nearest.map_or(NotGranted::NoPattern, NotGranted::Mismatch))
    }

    /// The need that grants a command of the operator's or the release's own in which the plugin
    /// fills in these variables.
    ///
    /// # Errors
    /// [`NotGranted::NoKey`] or [`NotGranted::NoVariable`].
    pub fn granting_reference<'a>(
        &self,
        runs: &Runs,
        variables: impl IntoIterator<Item = &'a str>,
    ) -> Result<&ProcessNeed, NotGranted> {
        let key = match runs {
            Runs::Setting(key) | Runs::Release(key) => shown(key),
            Runs::Arguments(_) => String::new(),
        };
        let Some(need) = self.process.iter().find(|need| need.runs == *runs) else {
            return Err(NotGranted::NoKey(key));
        };
        let unknown = |variable: &&str| !need.variables.iter().any(|known| known == variable);
        match variables.into_iter().find(unknown) {
            Some(variable) => Err(NotGranted::NoVariable { key, variable: shown(variable) }),
            None => Ok(need),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    /// Who grants nothing beyond what patterns say.
    struct Nothing;

    impl MatchContext for Nothing {
        fn is_setting(&self, _: &str) -> bool {
            false
        }

        fn is_literal(&self, _: &str) -> bool {
            false
        }

        fn is_granted_path(&self, _: &str) -> bool {
            false
        }

        fn is_granted_secret(&self, _: &str) -> bool {
            false
        }
    }

    fn manifest(needs: &str) -> Manifest {
        let text = format!(
            "format = 1\nname = \"a\"\nversion = \"1.0.0\"\ncontract = \"0.1\"\n\
             description = \"A plugin\"\nexports = [\"deploy\"]\n{needs}"
        );
        Manifest::parse(&text, "plugin.toml").unwrap()
    }

    fn words(words: &[&str]) -> Vec<Argument> {
        words.iter().map(|word| Argument::Text((*word).to_owned())).collect()
    }

    #[test]
    fn the_narrower_right_is_taken_and_the_nearest_pattern_is_named() {
        let manifest = manifest(
            "tools = [{ name = \"t\" }]\n\
             [[process]]\nclass = \"change\"\nargv = [\"t\", \"{any}\"]\n\
             [[process]]\nclass = \"read\"\nargv = [\"t\", \"show\"]\n\
             [[process]]\nclass = \"change\"\nargv = [\"t\", \"set\", \"{name}\", \"--now\"]\n",
        );
        let class = |all: &[&str]| manifest.granting(&words(all), &Nothing).map(|need| need.class);
        assert_eq!(class(&["t", "show"]), Ok(Class::Read));
        assert_eq!(class(&["t", "drop"]), Ok(Class::Change));
        let refused = class(&["t", "set", "a", "--later"]).unwrap_err().to_string();
        assert!(refused.contains("argument 3: expected `--now`"), "{refused}");
    }

    #[test]
    fn where_nothing_is_granted_that_is_said() {
        let manifest = manifest("");
        assert_eq!(manifest.granting(&words(&["t"]), &Nothing), Err(NotGranted::NoPattern));
        let runs = Runs::Setting("start".to_owned());
        let refused = manifest.granting_reference(&runs, []);
        assert_eq!(refused, Err(NotGranted::NoKey("start".to_owned())));
    }

    #[test]
    fn a_variable_that_the_manifest_does_not_name_is_not_filled_in() {
        let manifest = manifest(
            "settings.properties.start = { type = \"array\", items = { type = \"string\" } }\n\
             [[process]]\nclass = \"change\"\nsetting = \"start\"\nvariables = [\"instance\"]\n",
        );
        let runs = Runs::Setting("start".to_owned());
        assert!(manifest.granting_reference(&runs, ["instance"]).is_ok());
        let refused = manifest.granting_reference(&runs, ["instance", "user"]).unwrap_err();
        assert_eq!(refused.to_string(), "`start` has no variable `user` for the plugin");
        let of_release = Runs::Release("start".to_owned());
        assert!(manifest.granting_reference(&of_release, []).is_err(), "another's command");
    }
}
