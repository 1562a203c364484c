//! Sessions that others have in a database: named, and never ended but by the operator's policy.

use serde::Deserialize;
use vaultup_sdk::{Error, log};

use crate::Settings;
use crate::connection::{Connection, DUMPING};

/// How many sessions are named.
const NAMED_MAX: usize = 10;
/// What vaultup's own sessions in the live database call themselves.
const OWN: [&str; 3] = ["vaultup", "vaultup-moment", DUMPING];

/// A session that somebody has.
#[derive(Deserialize)]
pub(crate) struct Session {
    pid: u32,
    user: Option<String>,
    application: Option<String>,
    from: Option<String>,
}

impl Session {
    /// Every session in a database but the asking one.
    pub(crate) fn all(
        connection: Connection<'_>,
        settings: &Settings,
        database: &str,
    ) -> Result<Vec<Self>, Error> {
        connection.ask(&settings.maintenance, "sessions", &[("database", database)])
    }

    fn is_own(&self) -> bool {
        self.application.as_deref().is_some_and(|application| OWN.contains(&application))
    }

    /// The first of them by name, a line each.
    pub(crate) fn names(sessions: &[Self]) -> String {
        let named: Vec<String> = sessions.iter().take(NAMED_MAX).map(Self::named).collect();
        named.join("\n")
    }

    fn named(&self) -> String {
        let known = |text: &Option<String>| match text.as_deref() {
            None | Some("") => "unknown".to_owned(),
            Some(text) => text.to_owned(),
        };
        let (user, application) = (known(&self.user), known(&self.application));
        let from = self.from.as_deref().unwrap_or("this machine");
        format!("process {}: {application} as {user} from {from}", self.pid)
    }
}

/// Says who else uses the database while it is dumped. The database cannot be closed to them: the
/// dump and the release's own migration have to connect as well.
pub(crate) fn name_others(connection: Connection<'_>, settings: &Settings) -> Result<(), Error> {
    let mut others = Session::all(connection, settings, &settings.database)?;
    others.retain(|session| !session.is_own());
    if !others.is_empty() {
        log::warning(format!(
            "{} sessions of others are open, and what they write from now on is not in the \
             backup: {}",
            others.len(),
            Session::names(&others).replace('\n', "; ")
        ));
    }
    Ok(())
}
