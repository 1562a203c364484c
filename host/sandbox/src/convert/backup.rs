//! The records of `backup` and `restore`.

use model::contract::{Consistency, Estimate, Proof, ProofLevel, Taken};

use super::{FromAnswer, Reader, Unusable};
use crate::bindings::backup::exports::vaultup::plugin::backup as wit;
use crate::bindings::restore::exports::vaultup::plugin::restore as restore_wit;
use crate::{BackupChange, RestoreStage};

impl FromAnswer<wit::Cost> for Estimate {
    fn from_answer(answer: wit::Cost, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            bytes: answer.bytes,
            bytes_free: answer.bytes_free,
            consistency: Some(consistency(answer.consistency)),
            commands: reader.list(answer.commands)?,
        })
    }
}

impl FromAnswer<restore_wit::Cost> for Estimate {
    fn from_answer(answer: restore_wit::Cost, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            bytes: answer.bytes,
            bytes_free: answer.bytes_free,
            consistency: None,
            commands: reader.list(answer.commands)?,
        })
    }
}

impl FromAnswer<wit::Taken> for Taken {
    fn from_answer(answer: wit::Taken, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            figures: reader.list(answer.figures)?,
            consistency: consistency(answer.consistency),
            state: reader.state(&answer.state)?,
        })
    }
}

impl FromAnswer<wit::Proof> for Proof {
    fn from_answer(answer: wit::Proof, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            level: match answer.level {
                wit::Level::Exists => ProofLevel::Exists,
                wit::Level::Readable => ProofLevel::Readable,
                wit::Level::Checked => ProofLevel::Checked,
                wit::Level::Restored => ProofLevel::Restored,
            },
            figures: reader.list(answer.figures)?,
            answers: reader.list(answer.answers)?,
        })
    }
}

fn consistency(consistency: wit::Consistency) -> Consistency {
    match consistency {
        wit::Consistency::WritersHeld => Consistency::WritersHeld,
        wit::Consistency::OneMoment => Consistency::OneMoment,
        wit::Consistency::None => Consistency::None,
    }
}

/// The level that is asked for.
pub(crate) fn level(level: ProofLevel) -> wit::Level {
    match level {
        ProofLevel::Exists => wit::Level::Exists,
        ProofLevel::Readable => wit::Level::Readable,
        ProofLevel::Checked => wit::Level::Checked,
        ProofLevel::Restored => wit::Level::Restored,
    }
}

/// Which change the read-only twin is asked about.
pub(crate) fn change(change: BackupChange) -> wit::Change {
    match change {
        BackupChange::Take => wit::Change::Take,
        BackupChange::Prove => wit::Change::Prove,
    }
}

/// Which stage the read-only twin is asked about.
pub(crate) fn stage(stage: RestoreStage) -> restore_wit::Stage {
    match stage {
        RestoreStage::Fill => restore_wit::Stage::Fill,
        RestoreStage::Switch => restore_wit::Stage::Switch,
        RestoreStage::Discard => restore_wit::Stage::Discard,
    }
}
