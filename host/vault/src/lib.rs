//! Backup sets: stream, compress, encrypt, hash, make durable, read back, prove, keep, prune.
//!
//! A backup set is all datastores' backups of one moment under one id. It is written beside the
//! published ones, read back, and published by one rename; from then on nothing in it changes, and
//! only proofs are added. What protects it:
//!
//! - accidents: blake3 of the stored bytes and of the content, over everything incl. the
//!   description; the reader gives its end only when all of it matched ([`Vault::reader`])
//! - curiosity: age; files 0600, directories 0700; only who has an identity reads ([`Keys`])
//! - crashes: nothing has a set's name before it is durable ([`SetWriter::publish`]), and nothing
//!   keeps it while it is removed ([`Vault::prune`])
//! - haste: [`Proven`], which the destructive steps of a run ask for and only this crate makes
//!
//! What does not: somebody who may write in the vault's directory can replace a set by one of his
//! own making, because hashes are no signatures. That is why such directories are refused.
//!
//! Everything blocks; call it from threads that may. Time is an argument. In the vault's directory:
//!
//! ```text
//! <set>/set.json                          the description, with the hash of its own content
//! <set>/<datastore>/<artifact>.zst.age    one stream each
//! <set>/proofs/<datastore>.json           what was proven since
//! .<set>.partial/                         being written, or left by a crash
//! .<set>.removing/                        being removed, or left by a crash
//! ```
//!
//! Without vaultup, a backup reads as `age -d -i identity NAME.zst.age | zstd -d`.

mod artifact_reader;
mod artifact_writer;
mod compressor;
mod durable;
mod error;
mod keys;
mod medium;
mod name;
mod proof;
mod prune;
mod record;
mod sealed;
mod set_writer;
mod stored_reader;
mod stored_writer;
mod vault;

pub use artifact_reader::{ArtifactReader, Verified};
pub use artifact_writer::ArtifactWriter;
pub use error::{CODES, Damage, Error};
pub use keys::{Keys, KeysOrigin, RECIPIENTS_MAX};
pub use name::{NAME_BYTES_MAX, SetId};
pub use proof::{Demand, PROOF_RECORDS_MAX, Proven, Recheck};
pub use prune::{Kept, PARTIAL_AGE_MAX, PruneRequest, Pruned, Retention};
pub use record::{
    ARTIFACTS_PER_SET_MAX, ArtifactRecord, BackupSet, DatastoreRecord, Digest, Meanwhile,
    NotADigest, ProofRecord, Purpose, SetHeader, SetRecord, Written,
};
pub use sealed::RECORD_BYTES_MAX;
pub use set_writer::{ARTIFACTS_OPEN_MAX, SetWriter};
pub use vault::{Listed, SETS_MAX, Vault};
