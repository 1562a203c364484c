//! What the server says of itself, and whether the tools are new enough for it.

use serde::Deserialize;
use serde_json::Value;
use vaultup_sdk::process::Asked;
use vaultup_sdk::{Error, Operation};

use crate::connection::Connection;
use crate::{Settings, State, trouble};

/// How a major version counts in the number that a server gives itself.
const MAJOR: u32 = 10_000;
/// The oldest server that this was written for.
const SERVER_MAJOR_MIN: u32 = 14;

/// What the server says of the database and of the user.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Facts {
    /// 150018 for 15.18.
    pub(crate) version: u32,
    /// Size of the database.
    pub(crate) bytes: u64,
    pub(crate) superuser: bool,
    /// Whether the user may make databases.
    pub(crate) may_create: bool,
    /// Whether it is the database's owner, or a member of it.
    pub(crate) owns: bool,
    pub(crate) user: String,
    /// Whether it is a standby, or still starting.
    pub(crate) recovering: bool,
    /// Sessions of others in this database.
    pub(crate) sessions: u64,
    pub(crate) sessions_max: u64,
    /// What belongs to the database itself.
    pub(crate) properties: Value,
}

impl Facts {
    pub(crate) fn of(connection: Connection<'_>, database: &str) -> Result<Self, Error> {
        Self::asked(connection, database).answer()
    }

    /// Begins to ask for them.
    pub(crate) fn asked(connection: Connection<'_>, database: &str) -> Asked<'static, Self> {
        connection.begin_to_ask(database, "facts", &[]).and_then(|mut answered| {
            let facts: Option<Self> = answered.pop();
            facts.ok_or_else(|| Error::corrupt("the server says nothing of the database"))
        })
    }

    /// Refuses a server of another major version than the next release needs, with the way there:
    /// a new major does not start on the data of an old one.
    pub(crate) fn require_server(&self, operation: &Operation<Settings>) -> Result<(), Error> {
        let Some(next) = &operation.next else { return Ok(()) };
        let Needs { server: Some(wanted) } = next.entry()? else { return Ok(()) };
        let is = self.version / MAJOR;
        if wanted == is {
            return Ok(());
        }
        Err(Error::invalid_settings(format!(
            "release {} needs PostgreSQL {wanted}, and the server is {is}, on whose data no other \
             major starts. Stop whoever writes, `vaultup backup create`, start a new server of \
             {wanted} beside this one with the roles of the backup's `globals.sql`, let the \
             settings name it, `vaultup restore SET`",
            next.version
        )))
    }

    /// Refuses to restore into an older major than the dump is of: it may have what that lacks.
    pub(crate) fn require_major(&self, state: &State) -> Result<(), Error> {
        let (is, was) = (self.version / MAJOR, state.server / MAJOR);
        if is >= was {
            return Ok(());
        }
        Err(Error::invalid_settings(format!(
            "the backup is of PostgreSQL {was}, and this server is {is}: restore it into {was} or \
             a newer one"
        )))
    }

    /// Refuses what would fail half way: tools that are older than the server.
    pub(crate) fn require_tools(&self, connection: Connection<'_>) -> Result<(), Error> {
        let server = self.version / MAJOR;
        if server < SERVER_MAJOR_MIN {
            return Err(Error::invalid_settings(format!(
                "the server is PostgreSQL {server}; {SERVER_MAJOR_MIN} is the oldest that is known"
            )));
        }
        let said = trouble::run("pg_dump", connection.tool("pg_dump", ["--version"]))?.output;
        let tool = major(&said).ok_or_else(|| {
            Error::corrupt("`pg_dump --version` says no version").with_platform(&said)
        })?;
        if tool < server {
            return Err(Error::invalid_settings(format!(
                "the server is PostgreSQL {server} and `pg_dump` is of {tool}: install the tools \
                 of {server} or a newer one"
            )));
        }
        Ok(())
    }

    /// Refuses what would fail half way: a user that may not make the copy of a restore.
    pub(crate) fn require_rights(&self) -> Result<(), Error> {
        let user = &self.user;
        if !self.may_create {
            return Err(Error::refused(format!(
                "the user {user} may not make the database that a proof or a restore needs: \
                 ALTER ROLE \"{user}\" CREATEDB"
            )));
        }
        if !self.owns {
            let owner = self.properties.get("owner").and_then(Value::as_str).unwrap_or_default();
            return Err(Error::refused(format!(
                "the user {user} may not make a database that {owner} owns: \
                 GRANT \"{owner}\" TO \"{user}\""
            )));
        }
        Ok(())
    }
}

/// What a release's entry says of the server.
#[derive(Deserialize)]
struct Needs {
    server: Option<u32>,
}

/// The major version that a tool says, such as 15 of `pg_dump (PostgreSQL) 15.18 (Debian …)`.
fn major(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("(PostgreSQL) ")?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_of_a_tool_is_read_from_what_it_says() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("pg_dump (PostgreSQL) 17beta2"), Some(17));
        assert_eq!(major("pg_dump 15"), None);
    }
}
