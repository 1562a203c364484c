//! Names of the databases that a restore makes beside the live one.

use vaultup_sdk::{Error, Operation};

use crate::Settings;

/// The longest name that PostgreSQL keeps.
const NAME_BYTES_MAX: usize = 63;
/// How many characters of a digest stand for an operation's key.
const KEY_CHARACTERS: usize = 12;
/// What every name has, and nothing without it is removed.
const MARK: &str = "_vaultup_";
/// The longest ending: mark, kind, key.
const ENDING_BYTES_MAX: usize = MARK.len() + "proof_".len() + KEY_CHARACTERS;

/// The databases of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The one that people use, or the copy.
    pub(crate) live: String,
    /// A restored copy that is not complete.
    pub(crate) fill: String,
    /// One that is complete and equal to what was backed up.
    pub(crate) new: String,
    /// What was live before.
    pub(crate) old: String,
    /// A restored copy while it is examined. Without a key: the next proof removes what an earlier
    /// one had to leave.
    pub(crate) proof: String,
    /// What all of them begin with.
    pub(crate) beginning: String,
}

impl Names {
    pub(crate) fn of(operation: &Operation<Settings>) -> Result<Self, Error> {
        let live = &operation.settings.database;
        if !operation.is_live() && !live.contains(MARK) {
            return Err(Error::invalid_settings(format!(
                "the database of a copy must contain `{MARK}` in its name, and `{live}` does not: \
                 whoever forgets to name one must not have the live data replaced"
            )));
        }
        let digest = blake3::hash(operation.key.as_bytes()).to_hex();
        let key = &digest.as_str()[..KEY_CHARACTERS];
        let kept: String = live.chars().take(NAME_BYTES_MAX - ENDING_BYTES_MAX).collect();
        let beginning = format!("{kept}{MARK}");
        Ok(Self {
            live: live.clone(),
            fill: format!("{beginning}fill_{key}"),
            new: format!("{beginning}new_{key}"),
            old: format!("{beginning}old_{key}"),
            proof: format!("{beginning}proof"),
            beginning,
        })
    }
}

impl Names {
    /// Whether a database is a copy that an earlier attempt to restore filled and never put in
    /// place: the host keeps everybody else away meanwhile, so nobody needs it any more.
    pub(crate) fn is_left_by_another(&self, name: &str) -> bool {
        let of_a_copy = |kind| name.strip_prefix(&self.beginning)?.strip_prefix(kind);
        let key = of_a_copy("fill_").or_else(|| of_a_copy("new_"));
        let is_key = key.is_some_and(|key| key.len() == KEY_CHARACTERS);
        is_key && name != self.fill && name != self.new
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::json;
    use vaultup_sdk::testing::Machine;
    use vaultup_sdk::{Case, Target};

    use super::*;

    #[test]
    fn the_longest_name_of_a_database_still_gives_different_names_that_postgres_keeps_whole() {
        let machine = Machine::new().install();
        for length in [1, 35, 36, 37, 63] {
            let settings = json!({ "database": "d".repeat(length) });
            let operation = machine.operation(serde_json::from_value(settings).unwrap());
            let names = Names::of(&operation).unwrap();
            let all = [&names.fill, &names.new, &names.old, &names.proof];
            assert!(all.iter().all(|name| name.len() <= NAME_BYTES_MAX && name.contains(MARK)));
            let distinct: std::collections::BTreeSet<_> = all.into_iter().collect();
            assert_eq!(distinct.len(), 4);
        }
    }

    #[test]
    fn what_an_earlier_attempt_filled_is_known_and_nothing_else_is_taken_for_it() {
        let machine = Machine::new().install();
        let operation =
            machine.operation(serde_json::from_value(json!({"database": "shop"})).unwrap());
        let names = Names::of(&operation).unwrap();
        for left in ["shop_vaultup_fill_0123456789ab", "shop_vaultup_new_0123456789ab"] {
            assert!(names.is_left_by_another(left), "{left}");
        }
        let old = "shop_vaultup_old_0123456789ab".to_owned();
        let others = ["shop", "shop_vaultup_proof", "shop_vaultup_fill_", &old];
        for other in others.into_iter().chain([names.fill.as_str(), names.new.as_str()]) {
            assert!(!names.is_left_by_another(other), "{other}");
        }
    }

    #[test]
    fn a_copy_that_could_be_the_live_database_is_refused() {
        let machine = Machine::new().install();
        let settings = |name| serde_json::from_value(json!({ "database": name })).unwrap();
        let mut operation = machine.operation(settings("shop"));
        operation.target = Target::Copy("rehearsal".to_owned());
        assert_eq!(Names::of(&operation).unwrap_err().case(), &Case::InvalidSettings);
        operation.settings = settings("shop_vaultup_copy");
        assert!(Names::of(&operation).is_ok());
    }
}
