//! Which process: its id alone is no identity, since numbers are used again.
//!
//! Threat: a lock or a tool of a process that is long gone must not be taken for a living one that
//! happens to have its number, and the other way round.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A process, told from every other one on this machine and on others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProcessIdentity {
    /// The machine's name.
    pub host: String,
    /// Process id, as its own process namespace counts.
    pub process_id: u32,
    /// Start, in clock ticks since the machine started.
    pub started_ticks: u64,
    /// Id of the machine's start.
    pub boot: String,
    /// Process namespace: two containers of one machine number their processes apart.
    pub namespace: u64,
}

/// What can be told of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It has ended.
    Gone,
    /// It belongs to another machine or container, so that nobody can tell from here.
    Elsewhere,
}

impl ProcessIdentity {
    /// This process.
    ///
    /// # Errors
    /// [`Error::ProcessTable`] when `/proc` cannot be read.
    pub fn current() -> Result<Self, Error> {
        Self::of(std::process::id())?.ok_or_else(|| Error::ProcessTable {
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        })
    }

    /// The process that has this id now; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::ProcessTable`] when `/proc` cannot be read.
    pub fn of(process_id: u32) -> Result<Option<Self>, Error> {
        let here = Here::look()?;
        Ok(Stat::of(process_id).filter(Stat::runs).map(|stat| here.identity(&stat)))
    }

    /// What can be told of it from here.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        let Ok(here) = Here::look() else { return Liveness::Elsewhere };
        if self.host != here.host {
            return Liveness::Elsewhere;
        }
        if self.boot != here.boot {
            return Liveness::Gone;
        }
        if self.namespace != here.namespace {
            return Liveness::Elsewhere;
        }
        match Stat::of(self.process_id) {
            Some(stat) if stat.started_ticks == self.started_ticks && stat.runs() => {
                Liveness::Alive
            }
            _ => Liveness::Gone,
        }
    }

    /// Whether it may still run: only what is surely gone is not alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.liveness() != Liveness::Gone
    }

    /// Everything but the process id as one word, for a lock's owner.
    #[must_use]
    pub fn started(&self) -> String {
        format!("{}@{}/{}", self.started_ticks, self.boot, self.namespace)
    }

    /// The identity that [`ProcessIdentity::started`] of a process on this host was made from;
    /// `None` when the text is no such word.
    #[must_use]
    pub fn parse(host: &str, process_id: u32, started: &str) -> Option<Self> {
        let (ticks, rest) = started.split_once('@')?;
        let (boot, namespace) = rest.split_once('/')?;
        Some(Self {
            host: host.to_owned(),
            process_id,
            started_ticks: ticks.parse().ok()?,
            boot: boot.to_owned(),
            namespace: namespace.parse().ok()?,
        })
    }
}

/// What all processes that can be seen from here have in common.
#[derive(Debug)]
pub(super) struct Here {
    host: String,
    boot: String,
    namespace: u64,
}

impl Here {
    pub(super) fn look() -> Result<Self, Error> {
        let failed = |source| Error::ProcessTable { source };
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed)?;
        let namespace = std::fs::metadata("/proc/self/ns/pid").map_err(failed)?;
        let names = rustix::system::uname();
        Ok(Self {
            host: names.nodename().to_string_lossy().into_owned(),
            boot: boot.trim().to_owned(),
            namespace: std::os::unix::fs::MetadataExt::ino(&namespace),
        })
    }

    pub(super) fn identity(&self, stat: &Stat) -> ProcessIdentity {
        ProcessIdentity {
            host: self.host.clone(),
            process_id: stat.process_id,
            started_ticks: stat.started_ticks,
            boot: self.boot.clone(),
            namespace: self.namespace,
        }
    }
}

/// What `/proc/<id>/stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) process_id: u32,
    state: u8,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) session: u32,
    pub(super) started_ticks: u64,
}

impl Stat {
    pub(super) fn of(process_id: u32) -> Option<Self> {
        let path = Path::new("/proc").join(process_id.to_string()).join("stat");
        Self::parse(process_id, &std::fs::read(path).ok()?)
    }

    /// The program's name stands in parentheses and may hold anything, parentheses included: what
    /// counts begins after the last one. Fields as in proc(5), which counts from 1.
    fn parse(process_id: u32, bytes: &[u8]) -> Option<Self> {
        let name_end = bytes.iter().rposition(|byte| *byte == b')')?;
        let text = std::str::from_utf8(&bytes[name_end + 1..]).ok()?;
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            process_id,
            state: *field(3)?.as_bytes().first()?,
            parent: field(4)?.parse().ok()?,
            group: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            started_ticks: field(22)?.parse().ok()?,
        })
    }

    /// Whether it still runs, as opposed to waiting to be waited for.
    pub(super) fn runs(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{Liveness, ProcessIdentity, Stat};

    #[test]
    fn this_process_is_alive_and_the_same_when_it_is_read_back() {
        let identity = ProcessIdentity::current().unwrap();
        assert_eq!(identity.liveness(), Liveness::Alive);
        let read = ProcessIdentity::parse(&identity.host, identity.process_id, &identity.started());
        assert_eq!(read, Some(identity));
    }

    #[test]
    fn another_process_with_the_same_number_is_not_it() {
        let mut identity = ProcessIdentity::current().unwrap();
        identity.started_ticks -= 1;
        assert_eq!(identity.liveness(), Liveness::Gone);
    }

    #[test]
    fn after_a_restart_of_the_machine_everything_before_is_gone() {
        let mut identity = ProcessIdentity::current().unwrap();
        identity.boot = "earlier".to_owned();
        assert_eq!(identity.liveness(), Liveness::Gone);
        assert!(!identity.is_alive());
    }

    #[test]
    fn of_another_machine_or_container_nothing_can_be_told() {
        let mut identity = ProcessIdentity::current().unwrap();
        identity.namespace += 1;
        assert_eq!(identity.liveness(), Liveness::Elsewhere);
        identity.host.push('x');
        identity.boot = "other".to_owned();
        assert_eq!(identity.liveness(), Liveness::Elsewhere);
        assert!(identity.is_alive());
    }

    #[test]
    fn a_name_that_imitates_the_format_deceives_nobody() {
        let mut line = b"7 (a) Z 1 1 1 ) S 4 5 6".to_vec();
        line.extend(b" 0".repeat(15));
        line.extend(b" 99 0\n");
        let stat = Stat::parse(7, &line).unwrap();
        assert!(stat.runs());
        assert_eq!((stat.parent, stat.group, stat.session, stat.started_ticks), (4, 5, 6, 99));
    }

    #[test]
    fn a_line_that_breaks_off_is_no_process() {
        assert_eq!(Stat::parse(7, b"7 (a) S 4 5"), None);
        assert_eq!(Stat::parse(7, b""), None);
    }
}
