//! The records of `migrate`.

use model::contract::{Extent, MigrateRequest, Migration, Pending, Schema, Watch};

use super::{FromAnswer, Reader, Unusable};
use crate::bindings::migrate::exports::vaultup::plugin::migrate as wit;

impl FromAnswer<wit::ObservedSchema> for Schema {
    fn from_answer(answer: wit::ObservedSchema, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            version: answer.version.map(|text| reader.short(&text)),
            fingerprint: reader.short(&answer.fingerprint),
            dirty: answer.dirty,
            applied: reader.list(answer.applied)?,
        })
    }
}

impl FromAnswer<wit::Migration> for Migration {
    fn from_answer(answer: wit::Migration, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            id: reader.short(&answer.id),
            description: reader.short(&answer.description),
            checksum: answer.checksum.map(|text| reader.short(&text)),
        })
    }
}

impl FromAnswer<wit::Extent> for Extent {
    fn from_answer(answer: wit::Extent, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self { name: reader.short(&answer.name), bytes: answer.bytes, count: answer.count })
    }
}

impl FromAnswer<wit::Backlog> for Pending {
    fn from_answer(answer: wit::Backlog, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            migrations: reader.list(answer.migrations)?,
            extents: reader.list(answer.extents)?,
            commands: reader.list(answer.commands)?,
        })
    }
}

impl FromAnswer<wit::LogRules> for Watch {
    fn from_answer(answer: wit::LogRules, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            success: reader.list(answer.success)?,
            failure: reader.list(answer.failure)?,
            seconds: answer.seconds,
        })
    }
}

/// What to migrate, as the plugin is told.
pub(crate) fn request(request: &MigrateRequest) -> wit::Request {
    wit::Request {
        datastore: request.datastore.clone(),
        command: request.command.clone(),
        expected: request.expected.clone(),
    }
}
