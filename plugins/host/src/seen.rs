//! What was seen of an instance.

use crate::link::Link;
use crate::status::Status;

/// What was seen of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its name.
    pub(crate) name: String,
    /// What its link says.
    pub(crate) link: Link,
    /// What its status command says.
    pub(crate) status: Status,
}

impl Seen {
    /// The version that it runs: what it says itself or, as links are switched only while nothing
    /// runs, what its link says.
    pub(crate) fn version(&self) -> Option<&str> {
        let said = self.status.version.as_deref();
        if self.status.running { said.or(self.link.release()) } else { None }
    }

    /// Whether it runs this release from its link, ready or not.
    pub(crate) fn runs(&self, version: &str) -> bool {
        self.status.running && self.has_in_place(version) && self.version() == Some(version)
    }

    /// Whether it runs this release and is ready.
    pub(crate) fn serves(&self, version: &str) -> bool {
        self.runs(version) && self.status.ready
    }

    /// Whether its link names this release.
    pub(crate) fn has_in_place(&self, version: &str) -> bool {
        self.link.release() == Some(version)
    }

    /// A sentence on it.
    pub(crate) fn shown(&self) -> String {
        let Self { name, link, status } = self;
        let place = link.shown();
        match (status.running, status.ready, self.version()) {
            (false, ..) => format!("instance `{name}` does not run and has {place} in place"),
            (true, true, version) => {
                format!("instance `{name}` runs {} and is ready", version.unwrap_or(place))
            }
            (true, false, version) => {
                let version = version.unwrap_or(place);
                format!("instance `{name}` runs {version} and is not ready: {}", status.reason)
            }
        }
    }
}

/// The value that all have, if they all have the same.
pub(crate) fn common<'s>(values: impl IntoIterator<Item = Option<&'s str>>) -> Option<String> {
    let mut values = values.into_iter();
    let first = values.next()??;
    values.all(|value| value == Some(first)).then(|| first.to_owned())
}
