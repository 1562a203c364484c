//! Backup sets for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::contract::Consistency;
use serde::Serialize;
use vault::{BackupSet, DatastoreRecord, Listed, Pruned, Vault, Written};

use super::bytes;
use crate::error::Fault;
use crate::shell::{Paint, Shell};

/// A set in a listing.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Row {
    /// Its id.
    pub set: String,
    /// When it was begun; absent if that cannot be read.
    pub began: Option<String>,
    /// The release that its data belongs to.
    pub release: Option<String>,
    /// What it was made for.
    pub purpose: Option<String>,
    /// The lowest proof of its datastores.
    pub proof: Option<u8>,
    /// Bytes that were backed up.
    pub bytes: u64,
    /// Bytes on disk.
    pub bytes_stored: u64,
    /// Of each datastore that may have been written to while it was taken: by whom, and from when
    /// on that is missing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub written_meanwhile: BTreeMap<String, String>,
    /// What is wrong with it.
    pub damage: Option<String>,
}

/// The sets of a vault, newest first.
///
/// # Errors
/// When the vault cannot be read.
pub(crate) fn rows(vault: &Vault) -> Result<Vec<Row>, Fault> {
    let sets = vault.sets()?;
    Ok(sets.iter().map(|listed| row(vault, listed)).collect())
}

/// The listing as a table.
#[must_use]
pub(crate) fn table(rows: &[Row], shell: &Shell) -> String {
    if rows.is_empty() {
        return "no backup sets yet".to_owned();
    }
    let mut text = format!(
        "{:<20} {:<21} {:<9} {:<15} {:<6} size\n",
        "set", "began", "release", "purpose", "proof"
    );
    for row in rows {
        let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
        let proof = row.proof.map_or("?".to_owned(), |proof| proof.to_string());
        let (began, release, purpose) = (or(&row.began), or(&row.release), or(&row.purpose));
        let sizes = format!("{} → {}", bytes(row.bytes), bytes(row.bytes_stored));
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "{:<20} {began:<21} {release:<9} {purpose:<15} {proof:<6} {sizes}",
            row.set
        );
        if let Some(damage) = &row.damage {
            let _ = write!(text, "  {}", shell.paint(Paint::Red, &format!("damaged: {damage}")));
        }
        text.push('\n');
    }
    text
}

/// A set that was made.
#[must_use]
pub(crate) fn made(set: &BackupSet) -> String {
    let (plain, stored) = sizes(set);
    let mut lines = vec![format!("backup {}  {} → {}", set.id(), bytes(plain), bytes(stored))];
    lines.extend(set.record().datastores.iter().filter_map(|(name, record)| {
        let told = written_meanwhile(record)?;
        Some(format!("  {name}: {told}"))
    }));
    lines.join("\n")
}

/// What a restore of it would lose, if anything was written since.
fn written_meanwhile(record: &DatastoreRecord) -> Option<String> {
    let parts = match record.consistency {
        Consistency::None => ", and its parts may be of different moments",
        Consistency::OneMoment | Consistency::WritersHeld => "",
    };
    let who = match &record.meanwhile.written {
        Written::Nothing => return None,
        Written::By(names) => format!("{} ran while it was taken", names.join(", ")),
        Written::Unknown => "nobody knows who wrote while it was taken: name them under \
                             `written-by`"
            .to_owned(),
    };
    let at = record.taken_at;
    Some(format!("{who}{parts}; what was written after {at:.0} is not in it"))
}

/// What pruning removed and kept.
#[must_use]
pub(crate) fn pruned(pruned: &Pruned, dry: bool) -> String {
    let verb = if dry { "would remove" } else { "removed" };
    let removed = pruned.removed.iter().map(|id| format!("{verb} {id}"));
    let kept = pruned.kept.iter().map(|(id, why)| format!("kept {id}: {why}"));
    let freed = std::iter::once(format!("{verb} {}", bytes(pruned.bytes_freed)));
    removed.chain(kept).chain(freed).collect::<Vec<_>>().join("\n")
}

fn row(vault: &Vault, listed: &Listed) -> Row {
    let set = listed.description();
    let header = set.map(BackupSet::header);
    let (bytes, bytes_stored) = set.map(sizes).unwrap_or_default();
    let proof = set.and_then(|set| {
        let levels = set.record().datastores.keys().map(|name| vault.proof_level(set, name).ok());
        levels.collect::<Option<Vec<_>>>()?.into_iter().min().map(u8::from)
    });
    let datastores = set.iter().flat_map(|set| &set.record().datastores);
    let written =
        datastores.filter_map(|(name, record)| Some((name.clone(), written_meanwhile(record)?)));
    Row {
        set: listed.id().to_string(),
        began: header.map(|header| format!("{:.0}", header.began_at)),
        release: header.map(|header| header.release.clone()),
        purpose: header.map(|header| header.purpose.to_string()),
        proof,
        bytes,
        bytes_stored,
        written_meanwhile: written.collect(),
        damage: match listed {
            Listed::Whole(_) => None,
            Listed::Damaged { reason, .. } => Some(reason.clone()),
        },
    }
}

fn sizes(set: &BackupSet) -> (u64, u64) {
    let artifacts = set.record().datastores.values().flat_map(|its| &its.artifacts);
    artifacts.fold((0, 0), |(plain, stored), artifact| {
        (plain + artifact.bytes, stored + artifact.bytes_stored)
    })
}
