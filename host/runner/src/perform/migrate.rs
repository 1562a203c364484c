//! Applying migrations, and looking at what became of a schema.

use engine::act::{Answer, Migrate};
use engine::machine::Effect;
use engine::snapshot::Snapshot;
use model::Name;
use model::contract::{Observation, Target};
use sandbox::Artifacts;

use super::{ProvenSet, Trouble, Worker, call_failed, failed, is_live};
use crate::error::failures;

impl Worker {
    /// Applies a datastore's migrations, and looks whether the schema is the one expected.
    pub(super) async fn migrate(
        &self,
        effect: &Effect,
        migrate: &Migrate,
        before: &Snapshot,
        _proven: &ProvenSet,
    ) -> Result<Answer, Trouble> {
        let by = migrate.with.as_ref().unwrap_or(&migrate.datastore);
        let key = self.key(effect);
        let call = self.call(effect, by, &key);
        let operation = self.platform.operation_with_entry(&call, &migrate.datastore)?;
        let session = self.changing(Artifacts::None);
        let plugin = self.platform.plugin(by)?;
        plugin.migrate_apply(&session, &operation, &migrate.request).await.map_err(|error| {
            let what = migrate.request.command.join(" ");
            let message = format!("migration `{what}` of {} failed", migrate.datastore);
            call_failed(failures::MIGRATION, message, &error)
        })?;
        if !is_live(&effect.step.target) {
            self.live_is_untouched(&migrate.datastore, before).await?;
        }
        let expected = migrate.request.expected.as_deref();
        self.expect_schema(effect, &migrate.datastore, expected).await
    }

    /// A rehearsal's migration runs a command of the release's: whether it kept to the copy is
    /// looked at, not believed.
    async fn live_is_untouched(&self, name: &Name, before: &Snapshot) -> Result<(), Trouble> {
        let now = self.schema(name, &Target::Live).await?;
        let was = before.datastores.get(name).and_then(|seen| seen.schema.as_ref());
        if was == now.as_ref() {
            return Ok(());
        }
        let message = format!(
            "the migration of the copy of {name} changed the live datastore: restore the backup \
             of this rehearsal with `vaultup restore SET`"
        );
        Err(failed(failures::MIGRATION, message))
    }

    /// What the platform knows of a migration.
    pub(crate) async fn migration_status(
        &self,
        effect: &Effect,
        migrate: &Migrate,
    ) -> Result<Observation, Trouble> {
        let by = migrate.with.as_ref().unwrap_or(&migrate.datastore);
        let key = self.key(effect);
        let call = self.call(effect, by, &key);
        let operation = self.platform.operation_with_entry(&call, &migrate.datastore)?;
        let plugin = self.platform.plugin(by)?;
        let session = self.platform.quiet();
        let seen = plugin.migrate_status(&session, &operation, &migrate.request).await;
        Ok(seen.unwrap_or_else(|error| Observation::Unknown(error.to_string())))
    }

    /// Whether a datastore has the schema expected: that of a release, or the one it had before.
    pub(super) async fn check_schema(
        &self,
        effect: &Effect,
        name: &Name,
        expected: Option<&str>,
        before: &Snapshot,
    ) -> Result<Answer, Trouble> {
        let answer = self.expect_schema(effect, name, expected).await?;
        let was = before.datastores.get(name).and_then(|seen| seen.schema.as_ref());
        if let (Some(was), Answer::Schema(Some(is))) = (was, &answer)
            && was.version == is.version
            && was.fingerprint != is.fingerprint
        {
            let message = format!(
                "datastore {name} says that it has schema {}, but its structure is another",
                is.version.as_deref().unwrap_or("none")
            );
            return Err(failed(failures::SCHEMA, message));
        }
        Ok(answer)
    }

    async fn expect_schema(
        &self,
        effect: &Effect,
        name: &Name,
        expected: Option<&str>,
    ) -> Result<Answer, Trouble> {
        let target = &effect.step.target;
        let schema = self.schema(name, target).await?;
        let version = schema.as_ref().and_then(|schema| schema.version.as_deref());
        let dirty = schema.as_ref().is_some_and(|schema| schema.dirty);
        if dirty {
            let message = format!("a migration of datastore {name} was begun and not ended");
            return Err(failed(failures::SCHEMA, message));
        }
        if let (Some(expected), Some(_)) = (expected, &schema)
            && version != Some(expected)
        {
            let found = version.unwrap_or("none");
            let message = format!("datastore {name} has schema {found} instead of {expected}");
            return Err(failed(failures::SCHEMA, message));
        }
        Ok(Answer::Schema(schema))
    }
}
