//! Bringing a datastore back: beside what is there, shown to be equal, then put in its place.

use engine::act::{Answer, Purpose};
use engine::machine::{Effect, Machine};
use model::Name;
use model::contract::{Figure, Observation};
use sandbox::{Artifacts, RestoreStage};
use vault::BackupSet;

use super::{ProvenSet, Trouble, Worker, call_failed, failed};
use crate::error::failures;

impl Worker {
    /// Restores into an empty target beside the datastore, and compares what is there then with
    /// what was backed up. Touches nothing that exists.
    pub(super) async fn fill(
        &self,
        effect: &Effect,
        name: &Name,
        machine: &Machine,
    ) -> Result<Answer, Trouble> {
        let set = self.set_to_restore(machine)?;
        let record = set.datastore(name.as_str())?;
        let key = self.key(effect);
        let operation = self.platform.operation(&self.call(effect, name, &key))?;
        let session = self.changing(self.artifacts_of(&set, name));
        let plugin = self.platform.plugin(name)?;
        let filled = plugin.restore_fill(&session, &operation, &record.state).await;
        let found = filled.map_err(|error| {
            let message = format!("backup {} of {name} could not be restored", set.id());
            call_failed(failures::RESTORE, message, &error)
        })?;
        compare(name, &record.figures, &found)?;
        Ok(Answer::Text(format!("{} figures equal to backup {}", found.len(), set.id())))
    }

    /// Puts the filled copy in the datastore's place; what was there is set aside.
    pub(super) async fn switch(
        &self,
        effect: &Effect,
        name: &Name,
        _proven: &ProvenSet,
    ) -> Result<Answer, Trouble> {
        let key = self.key(effect);
        let operation = self.platform.operation(&self.call(effect, name, &key))?;
        let session = self.changing(Artifacts::None);
        let plugin = self.platform.plugin(name)?;
        let switched = plugin.restore_switch(&session, &operation).await;
        let aside = switched.map_err(|error| {
            let message = format!("the restored copy of {name} could not be put in its place");
            call_failed(failures::RESTORE, message, &error)
        })?;
        Ok(Answer::Text(aside))
    }

    /// Removes what a restore left beside a datastore.
    pub(super) async fn discard_aside(
        &self,
        effect: &Effect,
        name: &Name,
        _proven: &ProvenSet,
    ) -> Result<Answer, Trouble> {
        self.discard(effect, name).await
    }

    /// Removes a datastore's copy: nobody's data lies there, so no proof is asked for.
    pub(super) async fn discard_copy(
        &self,
        effect: &Effect,
        name: &Name,
    ) -> Result<Answer, Trouble> {
        self.discard(effect, name).await
    }

    /// What the platform knows of a stage of a restore.
    pub(crate) async fn restore_status(
        &self,
        effect: &Effect,
        name: &Name,
        stage: RestoreStage,
    ) -> Result<Observation, Trouble> {
        let key = self.key(effect);
        let operation = self.platform.operation(&self.call(effect, name, &key))?;
        let plugin = self.platform.plugin(name)?;
        let seen = plugin.restore_status(&self.platform.quiet(), &operation, stage).await;
        Ok(seen.unwrap_or_else(|error| Observation::Unknown(error.to_string())))
    }

    async fn discard(&self, effect: &Effect, name: &Name) -> Result<Answer, Trouble> {
        let key = self.key(effect);
        let operation = self.platform.operation(&self.call(effect, name, &key))?;
        let (session, _uncancelled) = self.session_for(&effect.step);
        let discarded = self.platform.plugin(name)?.restore_discard(&session, &operation).await;
        discarded.map_err(|error| {
            let message = format!("what was set aside of {name} could not be removed");
            call_failed(failures::RESTORE, message, &error)
        })?;
        Ok(Answer::Nothing)
    }

    fn set_to_restore(&self, machine: &Machine) -> Result<BackupSet, Trouble> {
        let named = machine.plan().restore_from.as_deref().map(vault::SetId::parse).transpose()?;
        let id = match named {
            Some(id) => id,
            None => self.set_id(Purpose::BeforeUpgrade)?,
        };
        Ok(self.vault.set(&id)?)
    }
}

/// Whether everything that was measured when a backup was taken shows again, no more and no less.
///
/// # Errors
/// A failure that names the first figure that differs.
pub(super) fn compare(name: &Name, taken: &[Figure], found: &[Figure]) -> Result<(), Trouble> {
    let differs = |taken: &&Figure| !found.contains(taken);
    if let Some(figure) = taken.iter().find(differs) {
        let other = found.iter().find(|other| other.name == figure.name);
        let message = format!(
            "what was restored of {name} is not what was backed up: {} was {}, and is {}",
            figure.name,
            shown(Some(figure)),
            shown(other)
        );
        return Err(failed(failures::FIGURES, message));
    }
    if taken.is_empty() {
        let message = format!("nothing was measured of {name} by which a restore could be judged");
        return Err(failed(failures::FIGURES, message));
    }
    Ok(())
}

fn shown(figure: Option<&Figure>) -> String {
    let Some(figure) = figure else { return "missing".to_owned() };
    let count = figure.count.map(|count| format!("{count} entries"));
    let bytes = figure.bytes.map(|bytes| format!("{bytes} bytes"));
    let digest = figure.digest.clone();
    [count, bytes, digest].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::compare;
    use model::Name;
    use model::contract::Figure;

    fn figure(name: &str, count: u64) -> Figure {
        Figure { name: name.to_owned(), count: Some(count), bytes: None, digest: None }
    }

    #[test]
    fn equal_figures_are_equal_and_one_row_less_is_not() {
        let orders = Name::parse("orders").unwrap();
        let taken = [figure("a", 3), figure("b", 1)];
        assert!(compare(&orders, &taken, &[figure("b", 1), figure("a", 3)]).is_ok());
        assert!(compare(&orders, &taken, &[figure("a", 2), figure("b", 1)]).is_err());
        assert!(compare(&orders, &taken, &[figure("a", 3)]).is_err());
    }

    #[test]
    fn a_plugin_that_measured_nothing_is_not_believed() {
        assert!(compare(&Name::parse("orders").unwrap(), &[], &[]).is_err());
    }
}
