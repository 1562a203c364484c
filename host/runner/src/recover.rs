//! An effect that an earlier process began and of which nobody knows the outcome.
//!
//! First whatever of it still runs comes to its end, so that nothing happens twice at a time. Then
//! the platform is asked. Only what has not happened, or is idempotent under its key and was seen
//! not to be complete, is done again.

use std::time::Duration;

use engine::act::{Act, Answer, Failure, Migrate, Outcome, Repeat};
use engine::machine::{Effect, Machine};
use model::Name;
use model::contract::{Observation, Schema};
use sandbox::RestoreStage;

use crate::error::{Error, failures};
use crate::news::News;
use crate::perform::{Trouble, Worker, not_known};

/// Between two looks at something that is still under way.
const PAUSE: Duration = Duration::from_millis(100);

impl Worker {
    /// Finds out what became of an effect, and brings it to its end.
    ///
    /// # Errors
    /// As [`Worker::perform`].
    pub async fn recover(&self, machine: &Machine, effect: &Effect) -> Result<Outcome, Error> {
        self.writer.fence()?;
        self.let_survivors_end(effect).await?;
        let found = match effect.step.act.repeat() {
            Repeat::Freely => Ok(None),
            Repeat::AfterObserving => self.observed(effect).await,
            Repeat::OnlyIfNotStarted => match &effect.step.act {
                Act::Migrate(migrate) => self.observed_migration(machine, effect, migrate).await,
                _ => Ok(None),
            },
        };
        match found {
            Ok(Some(outcome)) => Ok(outcome),
            Ok(None) => self.perform(machine, effect).await,
            Err(Trouble::Failed(failure)) => Ok(Outcome::Failed(failure)),
            Err(Trouble::Fatal(error)) => Err(error),
        }
    }

    /// Programs that the earlier process left behind are waited for, and ended at the deadline.
    async fn let_survivors_end(&self, effect: &Effect) -> Result<(), Error> {
        for survivor in system::process::survivors(&self.key(effect))? {
            let arguments = survivor.arguments.iter().map(|text| text.to_string_lossy());
            let what = arguments.collect::<Vec<_>>().join(" ");
            let what = self.platform.redactor().redact(&what).into_owned();
            self.seen(effect, &format!("`{what}` still runs; waiting for its end"));
            if !survivor.wait(effect.step.within).await {
                self.seen(effect, &format!("`{what}` did not end in time; ending it"));
                survivor.kill().await?;
            }
        }
        Ok(())
    }

    /// The outcome of something idempotent, if it is complete; nothing if it is to be done again.
    async fn observed(&self, effect: &Effect) -> Result<Option<Outcome>, Trouble> {
        let act = &effect.step.act;
        if let Act::BackUp(purpose, names) = act {
            return Ok(self.published(*purpose, names)?.map(Outcome::Done));
        }
        let deadline = std::time::Instant::now() + effect.step.within;
        loop {
            let observation = match (act.deploy_change(), act) {
                (Some((name, change)), _) => self.deployment_status(effect, name, &change).await?,
                (None, Act::Fill(_)) => Observation::NotStarted,
                (None, Act::Switch(name)) => {
                    self.restore_status(effect, name, RestoreStage::Switch).await?
                }
                (None, Act::DiscardAside(name)) => {
                    self.restore_status(effect, name, RestoreStage::Discard).await?
                }
                (None, _) => Observation::NotStarted,
            };
            match observation {
                Observation::Done(seen) => {
                    self.seen(effect, &format!("it was done: {seen}"));
                    return Ok(Some(Outcome::Done(Answer::Text(seen))));
                }
                Observation::InProgress(seen) if std::time::Instant::now() < deadline => {
                    self.seen(effect, &format!("it is under way: {seen}"));
                    tokio::time::sleep(PAUSE).await;
                }
                Observation::Unknown(seen) => {
                    let failure =
                        not_known(format!("it cannot be told what became of: {act}"), &seen);
                    return Ok(Some(Outcome::Failed(failure)));
                }
                Observation::NotStarted | Observation::Failed(_) | Observation::InProgress(_) => {
                    self.seen(effect, "it was not complete; doing it again");
                    return Ok(None);
                }
            }
        }
    }

    /// A migration is never repeated unless nothing of it has happened: the datastore's own schema
    /// has the last word, the plugin's record the one before.
    async fn observed_migration(
        &self,
        machine: &Machine,
        effect: &Effect,
        migrate: &Migrate,
    ) -> Result<Option<Outcome>, Trouble> {
        let name = &migrate.datastore;
        let told = self.migration_status(effect, migrate).await?;
        if let Observation::InProgress(seen) = &told {
            let message = format!("the migration of {name} is still going on");
            return Ok(Some(Outcome::Failed(not_known(message, seen))));
        }
        let before = machine.plan().snapshot.datastores.get(name);
        let before = before.and_then(|seen| seen.schema.as_ref());
        let now = self.schema(name, &effect.step.target).await?;
        let outcome = match (before, now, told) {
            (Some(before), Some(now), _) => self.judge(effect, migrate, before, &now),
            (_, _, Observation::Done(seen)) => Some(Outcome::Done(Answer::Text(seen))),
            (_, _, Observation::NotStarted) => None,
            (_, _, Observation::Failed(said)) => {
                let message = format!("the migration of {name} failed");
                Some(Outcome::Failed(Failure::new(failures::MIGRATION, message, &said)))
            }
            (_, _, Observation::Unknown(seen) | Observation::InProgress(seen)) => {
                let message = format!("it cannot be told what became of the migration of {name}");
                Some(Outcome::Failed(not_known(message, &seen)))
            }
        };
        Ok(outcome)
    }

    fn judge(
        &self,
        effect: &Effect,
        migrate: &Migrate,
        before: &Schema,
        now: &Schema,
    ) -> Option<Outcome> {
        let name: &Name = &migrate.datastore;
        let expected = migrate.request.expected.as_deref();
        let version = now.version.as_deref();
        if !now.dirty && expected.is_some() && version == expected {
            self.seen(effect, &format!("{name} has schema {}", version.unwrap_or("none")));
            return Some(Outcome::Done(Answer::Schema(Some(now.clone()))));
        }
        let same = before.fingerprint == now.fingerprint && before.version == now.version;
        if same && !now.dirty {
            self.seen(effect, &format!("the schema of {name} is as it was; migrating now"));
            return None;
        }
        Some(Outcome::Failed(Failure {
            code: failures::MIGRATION,
            message: format!("the migration of {name} was interrupted half-way"),
            causes: vec![format!(
                "its schema is {}{}",
                version.unwrap_or("none"),
                if now.dirty { ", with a migration that was begun and not ended" } else { "" }
            )],
            unknown: false,
        }))
    }

    fn seen(&self, effect: &Effect, seen: &str) {
        let news = News::Recovered { number: effect.number, seen: seen.to_owned() };
        self.platform.machinery.listener.hear(&news);
    }
}
