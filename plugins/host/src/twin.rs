//! The read-only twins: what links and statuses say of a change. Pure.
//!
//! An instance that was not touched yet does not count against a change: it is made again, and is
//! idempotent. One that has the release in place but does not serve was tried and has failed.

use vaultup_sdk::Observation;

use crate::seen::Seen;

/// Whether the first `wanted` instances run a release.
pub(crate) fn applied(seen: &[Seen], version: &str, wanted: usize) -> Observation {
    let first = &seen[..wanted.min(seen.len())];
    if let Some(changing) = changing(seen) {
        return changing;
    }
    if wanted <= seen.len() && first.iter().all(|its| its.serves(version)) {
        let count = first.len();
        return Observation::done(format!("{count} instances run {version} and are ready"));
    }
    match first.iter().find(|its| its.has_in_place(version) && !its.serves(version)) {
        Some(tried) => Observation::failed(tried.shown()),
        None => Observation::NotStarted,
    }
}

/// Whether no instance runs.
pub(crate) fn stopped(seen: &[Seen]) -> Observation {
    if let Some(changing) = changing(seen) {
        return changing;
    }
    match seen.iter().find(|its| its.status.running) {
        None => Observation::done("no instance runs"),
        Some(_) if seen.iter().all(|its| its.status.running) => Observation::NotStarted,
        Some(left) => Observation::failed(left.shown()),
    }
}

/// Whether the first `wanted` instances are ready, with whatever release.
pub(crate) fn started(seen: &[Seen], wanted: usize) -> Observation {
    let first = &seen[..wanted.min(seen.len())];
    if let Some(changing) = changing(seen) {
        return changing;
    }
    if wanted <= seen.len() && first.iter().all(|its| its.status.ready) {
        return Observation::done(format!("{} instances are ready", first.len()));
    }
    match first.iter().find(|its| its.status.running && !its.status.ready) {
        Some(tried) => Observation::failed(tried.shown()),
        None => Observation::NotStarted,
    }
}

/// Whether a release is in place everywhere with no instance running.
pub(crate) fn in_place(seen: &[Seen], version: &str) -> Observation {
    if let Some(changing) = changing(seen) {
        return changing;
    }
    if seen.iter().all(|its| its.has_in_place(version) && !its.status.running) {
        return Observation::done(format!("{version} is in place and no instance runs"));
    }
    Observation::NotStarted
}

/// Whether nothing is left of a copy.
pub(crate) fn discarded(seen: &[Seen]) -> Observation {
    if let Some(changing) = changing(seen) {
        return changing;
    }
    let is_left = |its: &&Seen| its.status.running || its.link != crate::link::Link::Absent;
    match seen.iter().find(is_left) {
        None => Observation::done("no instance runs and no link is left"),
        Some(_) => Observation::NotStarted,
    }
}

/// Somebody who starts or stops an instance at this moment.
pub(crate) fn busy(seen: &[Seen]) -> Option<String> {
    let changing = seen.iter().find(|its| its.status.changing)?;
    Some(format!("a start or stop of instance `{}` is under way", changing.name))
}

fn changing(seen: &[Seen]) -> Option<Observation> {
    busy(seen).map(Observation::in_progress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;
    use crate::status::Status;

    fn seen(name: &str, link: &str, running: bool, ready: bool) -> Seen {
        let status = Status { running, ready, ..Status::default() };
        Seen { name: name.to_owned(), link: Link::Release(link.to_owned()), status }
    }

    fn is_failed(observation: &Observation) -> bool {
        matches!(observation, Observation::Failed(_))
    }

    #[test]
    fn a_wave_is_done_when_its_instances_serve_whatever_the_others_do() {
        let half = [seen("a", "2", true, true), seen("b", "1", true, true)];
        assert!(matches!(applied(&half, "2", 1), Observation::Done(_)));
        assert_eq!(applied(&half, "2", 2), Observation::NotStarted);
        assert_eq!(applied(&half, "2", 3), Observation::NotStarted);
    }

    #[test]
    fn an_instance_that_was_stopped_but_not_switched_was_not_tried() {
        assert_eq!(applied(&[seen("a", "1", false, false)], "2", 1), Observation::NotStarted);
    }

    #[test]
    fn an_instance_that_was_switched_but_does_not_serve_was_tried() {
        assert!(is_failed(&applied(&[seen("a", "2", false, false)], "2", 1)));
        assert!(is_failed(&applied(&[seen("a", "2", true, false)], "2", 1)));
    }

    #[test]
    fn a_version_that_an_instance_says_itself_outranks_its_link() {
        let mut old = seen("a", "2", true, true);
        old.status.version = Some("1".to_owned());
        assert!(is_failed(&applied(&[old], "2", 1)));
    }

    #[test]
    fn whoever_changes_an_instance_now_is_waited_for() {
        let mut other = seen("a", "1", true, true);
        other.status.changing = true;
        let seen = [other];
        for observation in [
            applied(&seen, "2", 1),
            stopped(&seen),
            started(&seen, 1),
            in_place(&seen, "2"),
            discarded(&seen),
        ] {
            assert!(matches!(observation, Observation::InProgress(_)), "{observation:?}");
        }
    }

    #[test]
    fn stopping_is_done_when_none_runs() {
        assert!(matches!(stopped(&[seen("a", "1", false, false)]), Observation::Done(_)));
        assert_eq!(stopped(&[seen("a", "1", true, true)]), Observation::NotStarted);
        let half = [seen("a", "1", false, false), seen("b", "1", true, true)];
        assert!(is_failed(&stopped(&half)));
    }

    #[test]
    fn starting_counts_only_the_instances_asked_for() {
        let half = [seen("a", "1", true, true), seen("b", "1", false, false)];
        assert!(matches!(started(&half, 1), Observation::Done(_)));
        assert_eq!(started(&half, 2), Observation::NotStarted);
        assert!(is_failed(&started(&[seen("a", "1", true, false)], 1)));
    }

    #[test]
    fn a_release_is_in_place_only_while_nothing_runs() {
        assert!(matches!(in_place(&[seen("a", "1", false, false)], "1"), Observation::Done(_)));
        assert_eq!(in_place(&[seen("a", "1", true, true)], "1"), Observation::NotStarted);
        assert_eq!(in_place(&[seen("a", "2", false, false)], "1"), Observation::NotStarted);
    }

    #[test]
    fn a_copy_is_gone_when_neither_process_nor_link_is_left() {
        let mut gone = seen("a", "1", false, false);
        assert_eq!(discarded(std::slice::from_ref(&gone)), Observation::NotStarted);
        gone.link = Link::Absent;
        assert!(matches!(discarded(&[gone]), Observation::Done(_)));
    }
}
