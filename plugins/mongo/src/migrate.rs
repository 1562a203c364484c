//! The half of `migrate` that is a database's, and `health-check`.
//!
//! MongoDB has no table of migrations that everybody uses: the version is what the document in
//! `meta` says, or the operator's expression. The fingerprint is of what is really there:
//! collections, their indexes and validators.

use serde::Deserialize;
use vaultup_sdk::health_check::{Measurement, Verdict};
use vaultup_sdk::migrate::{Backlog, Extent, ObservedSchema, Request};
use vaultup_sdk::{Error, HealthCheck, Migrate, Operation};

use crate::connection::Connection;
use crate::{MongoPlugin, Settings};

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Meta { version: Option<String>, dirty: bool },
    Collection { collection: String, r#type: String, options: String, indexes: Vec<String> },
}

#[derive(Deserialize)]
struct Sized {
    name: String,
    bytes: u64,
    count: u64,
}

impl Migrate for MongoPlugin {
    fn schema(operation: &Operation<Settings>) -> Result<ObservedSchema, Error> {
        let connection = Connection::of(operation)?;
        let database = &operation.settings.database;
        let (mut version, mut dirty) = (None, false);
        let mut fingerprint = blake3::Hasher::new();
        for line in connection.ask(database, "schema")? {
            match line {
                Line::Meta { version: found, dirty: is } => (version, dirty) = (found, is),
                Line::Collection { collection, r#type, options, indexes } => {
                    for text in [collection, r#type, options].iter().chain(&indexes) {
                        fingerprint.update(&(text.len() as u64).to_le_bytes());
                        fingerprint.update(text.as_bytes());
                    }
                }
            }
        }
        if let Some(query) = &operation.settings.schema {
            version = Some(connection.ask_own(database, query)?).filter(|said| !said.is_empty());
        }
        let fingerprint = format!("blake3:{}", fingerprint.finalize().to_hex());
        Ok(ObservedSchema { version, fingerprint, dirty, applied: Vec::new() })
    }

    fn pending(operation: &Operation<Settings>, _request: &Request) -> Result<Backlog, Error> {
        let connection = Connection::of(operation)?;
        let mut sized: Vec<Sized> = connection.ask(&operation.settings.database, "extents")?;
        sized.sort_by(|one, other| other.bytes.cmp(&one.bytes).then(one.name.cmp(&other.name)));
        let extent = |Sized { name, bytes, count }| Extent { name, bytes, count: Some(count) };
        let extents = sized.into_iter().map(extent).collect();
        Ok(Backlog { migrations: Vec::new(), extents, commands: Vec::new() })
    }
}

impl HealthCheck for MongoPlugin {
    fn probe(operation: &Operation<Settings>) -> Result<Vec<Measurement>, Error> {
        let facts = Connection::of(operation)?.facts()?;
        let writes = if facts.writable { Verdict::Healthy } else { Verdict::Failing };
        let set = facts.set.unwrap_or_else(|| "no replica set".to_owned());
        let (bytes, collections) = (facts.bytes as f64, facts.collections as f64);
        Ok(vec![
            Measurement::text("server", facts.version, Verdict::Healthy).with_detail(set),
            Measurement::truth("takes-writes", facts.writable, writes),
            Measurement::number("bytes", bytes, "bytes", Verdict::Healthy),
            Measurement::number("collections", collections, "1", Verdict::Healthy),
            connections(facts.named, facts.connections),
        ])
    }
}

/// Who is connected, as far as the server tells.
fn connections(named: Option<Vec<String>>, count: Option<u64>) -> Measurement {
    match (named, count) {
        (Some(named), _) => {
            let others = Measurement::number("others", named.len() as f64, "1", Verdict::Healthy);
            others.with_detail(named.join(", "))
        }
        (None, Some(count)) => {
            Measurement::number("connections", count as f64, "1", Verdict::Healthy)
        }
        (None, None) => Measurement::text("connections", "unknown", Verdict::Healthy),
    }
}
