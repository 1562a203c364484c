//! Links: which release the link of an instance names.

/// What stands where the link of an instance belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nothing.
    Absent,
    /// A link to the directory of this release.
    Release(String),
    /// A link to something else.
    Elsewhere(String),
}

impl Link {
    /// What a link says that lies in `directory` and points `to`, if releases lie in `releases`.
    /// All paths are taken as they are written; no other link on the way is followed.
    pub(crate) fn read(to: &str, directory: &str, releases: &str) -> Self {
        let absolute =
            if to.starts_with('/') { to.to_owned() } else { format!("{directory}/{to}") };
        let parts = normal(&absolute);
        match parts.split_last() {
            Some((version, above)) if above == normal(releases) => {
                Self::Release((*version).to_owned())
            }
            _ => Self::Elsewhere(to.to_owned()),
        }
    }

    /// The release that it names.
    pub(crate) fn release(&self) -> Option<&str> {
        match self {
            Self::Release(version) => Some(version),
            Self::Absent | Self::Elsewhere(_) => None,
        }
    }

    /// As people read it.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Absent => "nothing",
            Self::Release(version) => version,
            Self::Elsewhere(to) => to,
        }
    }
}

/// The directory in which a path lies.
pub(crate) fn directory_of(path: &str) -> &str {
    path.trim_end_matches('/').rsplit_once('/').map_or("", |(above, _)| above)
}

/// The last part of a path; nothing if it has none of its own.
pub(crate) fn name_of(path: &str) -> Option<&str> {
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    (!matches!(name, "" | "." | "..")).then_some(name)
}

fn normal(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_the_release_however_it_is_written() {
        let release = Link::Release("1.0.0".to_owned());
        for to in ["/srv/releases/1.0.0", "/srv/./releases//1.0.0/", "../releases/1.0.0"] {
            assert_eq!(Link::read(to, "/srv/links", "/srv/releases"), release, "{to}");
        }
        assert_eq!(Link::read("releases/1.0.0", "/srv", "/srv/releases/"), release);
    }

    #[test]
    fn a_link_to_anything_else_names_no_release() {
        for to in ["/srv/other/1.0.0", "/srv/releases", "/srv/releases/1.0.0/bin", "1.0.0", ""] {
            assert_eq!(Link::read(to, "/srv", "/srv/releases").release(), None, "{to}");
        }
    }

    #[test]
    fn a_path_has_a_directory_and_a_name() {
        assert_eq!(
            (directory_of("/srv/current/"), name_of("/srv/current/")),
            ("/srv", Some("current"))
        );
        assert_eq!((directory_of("current"), name_of("current")), ("", Some("current")));
        assert_eq!((name_of("/"), name_of("."), name_of("a/..")), (None, None, None));
    }
}
