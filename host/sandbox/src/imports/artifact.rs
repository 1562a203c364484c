//! `artifact`: names, sizes and digests of a backup's artifacts, and their first bytes.
//!
//! Threats: a plugin that carries a backup out, or reads another datastore's; a secret that was
//! backed up. It sees the artifacts of one datastore of one set (whose content its own tools show
//! it anyway), has nowhere to carry them, and is given no piece that holds a secret.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vault::ArtifactRecord;

use super::vault_denial;
use crate::artifacts::{Artifacts, BackupRead};
use crate::bindings::host::vaultup::plugin::artifact as wit;
use crate::bindings::host::vaultup::plugin::types::Error as PluginError;
use crate::limits::{HEAD_BYTES_MAX, NEXT_BYTES_MAX, SECRET_OVERLAP_BYTES};
use crate::state::{Denial, Facts, Granting, State, denied, told};

/// What is read at once while an artifact is checked.
const PIECE_BYTES: usize = 256 * 1024;

impl wit::Host for State {
    async fn all(&mut self) -> Granting<Vec<wit::Description>> {
        let records = match &self.facts.session.artifacts {
            Artifacts::None => return Err(denied("this operation is about no backup")),
            Artifacts::Write(taken) => taken.written(),
            Artifacts::Read(backup) => backup.all().map_err(vault_denial)?,
        };
        let mut descriptions: Vec<_> = records.iter().map(description).collect();
        descriptions.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(descriptions)
    }

    async fn check(&mut self, name: String) -> Granting<wit::Description> {
        let backup = self.backup()?;
        let facts = Arc::clone(&self.facts);
        let stop = Stop::default();
        let stopped = stop.flag();
        let check = facts.beside(move |facts| {
            let mut reader = backup.open(&name).map_err(vault_denial)?;
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                if stopped.load(Ordering::Relaxed) || facts.is_cancelled() {
                    return Err(Denial::Told(PluginError::Cancelled));
                }
                match reader.read(&mut piece) {
                    // The vault gives the end only when everything was right.
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => return Err(read_denial(error)),
                }
            }
            Ok(description(&backup.record(&name).map_err(vault_denial)?))
        });
        check.await
    }

    async fn head(&mut self, name: String, bytes_max: u32) -> Granting<Vec<u8>> {
        let backup = self.backup()?;
        let most = u64::from(bytes_max.min(HEAD_BYTES_MAX));
        let facts = Arc::clone(&self.facts);
        let head = facts.beside(move |_| {
            let mut head = Vec::new();
            let reader = backup.open(&name).map_err(vault_denial)?;
            reader.take(most).read_to_end(&mut head).map_err(read_denial)?;
            Ok(head)
        });
        let head = head.await?;
        Ok(super::without_secrets(&facts.session.redactor, head))
    }

    async fn next(&mut self, name: String, bytes_max: u32) -> Granting<Vec<u8>> {
        let backup = self.backup()?;
        let wanted = piece_bytes(bytes_max);
        let reading = self.reading.take().filter(|reading| reading.name == name);
        let facts = Arc::clone(&self.facts);
        let read = facts.beside(move |facts| {
            let mut reading = match reading {
                Some(reading) => reading,
                None => Reading::begin(&backup, name)?,
            };
            let piece = reading.next(facts, wanted)?;
            Ok((reading, piece))
        });
        let (reading, piece) = read.await?;
        // After its end the next one begins anew.
        self.reading = (!piece.is_empty()).then_some(reading);
        Ok(piece)
    }
}

/// An artifact that a guest reads from its beginning to its end.
pub(crate) struct Reading {
    name: String,
    reader: Box<dyn Read + Send>,
    /// The end of what was given last.
    tail: Vec<u8>,
}

impl Reading {
    fn begin(backup: &BackupRead, name: String) -> Granting<Self> {
        let reader = backup.open(&name).map_err(vault_denial)?;
        Ok(Self { name, reader, tail: Vec::new() })
    }

    fn next(&mut self, facts: &Facts, wanted: usize) -> Granting<Vec<u8>> {
        let mut piece = Vec::with_capacity(wanted);
        let mut reader = self.reader.by_ref().take(wanted as u64);
        reader.read_to_end(&mut piece).map_err(read_denial)?;
        self.tail.extend_from_slice(&piece);
        if super::holds_secret(&facts.session.redactor, &self.tail) {
            return Err(denied(
                "the backup holds the value of a secret: the plugin may not read it",
            ));
        }
        let kept = self.tail.len().saturating_sub(SECRET_OVERLAP_BYTES);
        self.tail.drain(..kept);
        Ok(piece)
    }
}

impl State {
    fn backup(&self) -> Granting<BackupRead> {
        match &self.facts.session.artifacts {
            Artifacts::Read(backup) => Ok(backup.clone()),
            _ => Err(denied("this operation reads no backup")),
        }
    }
}

/// Tells blocking work to end when nobody waits for it any more.
#[derive(Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How much of what a guest asks for it is given at once.
fn piece_bytes(bytes_max: u32) -> usize {
    bytes_max.clamp(1, NEXT_BYTES_MAX) as usize
}

fn description(record: &ArtifactRecord) -> wit::Description {
    wit::Description {
        name: record.name.clone(),
        bytes: record.bytes,
        blake3: record.blake3.to_string(),
    }
}

fn read_denial(error: std::io::Error) -> Denial {
    match vault::Error::from_io(error) {
        Ok(error) => vault_denial(error),
        Err(error) => told(PluginError::Failed, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_has_at_most_the_limit_and_is_not_empty() {
        let limit = NEXT_BYTES_MAX as usize;
        assert_eq!(piece_bytes(NEXT_BYTES_MAX), limit);
        assert_eq!(piece_bytes(NEXT_BYTES_MAX + 1), limit);
        assert_eq!(piece_bytes(0), 1);
    }
}
