//! The interface `health-check`: whether the server answers, how full it is, and whether a proof
//! and a restore would be possible.

use vaultup_sdk::health_check::{Measurement, Verdict};
use vaultup_sdk::{Error, HealthCheck, Operation};

use crate::backup::bytes_free;
use crate::connection::Connection;
use crate::tools::Facts;
use crate::{PostgresPlugin, Settings};

/// Of all sessions that the server allows, the share from which it is degraded.
const SESSIONS_SHARE: f64 = 0.9;

impl HealthCheck for PostgresPlugin {
    fn probe(operation: &Operation<Settings>) -> Result<Vec<Measurement>, Error> {
        let connection = Connection::of(operation)?;
        let facts = Facts::of(connection, &operation.settings.database)?;
        let degraded_unless = |good| if good { Verdict::Healthy } else { Verdict::Degraded };
        let (sessions, sessions_max) = (facts.sessions as f64, facts.sessions_max as f64);
        let few = sessions < sessions_max * SESSIONS_SHARE;
        let writes = if facts.recovering { Verdict::Failing } else { Verdict::Healthy };
        let mut measured = vec![
            Measurement::text("server", facts.version.to_string(), Verdict::Healthy),
            Measurement::truth("takes-writes", !facts.recovering, writes),
            Measurement::number("bytes", facts.bytes as f64, "bytes", Verdict::Healthy),
            Measurement::number("sessions", sessions, "1", degraded_unless(few))
                .with_detail(format!("the server allows {}", facts.sessions_max)),
        ];
        let rights = facts.require_rights();
        let detail = rights.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let may_restore =
            Measurement::truth("may-restore", rights.is_ok(), degraded_unless(rights.is_ok()));
        measured.push(may_restore.with_detail(detail));
        if let Some(free) = bytes_free(&operation.settings)? {
            let verdict = degraded_unless(free >= facts.bytes);
            let detail = format!("a restore needs {} bytes", facts.bytes);
            let room = Measurement::number("bytes-free", free as f64, "bytes", verdict);
            measured.push(room.with_detail(detail));
        }
        Ok(measured)
    }
}
