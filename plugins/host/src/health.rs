//! The interface `health-check`: what the status commands say, as measurements.

use vaultup_sdk::health_check::{Measurement, Verdict};
use vaultup_sdk::{Error, HealthCheck, Operation};

use crate::HostPlugin;
use crate::seen::{Seen, common};
use crate::service::Service;
use crate::settings::Settings;

impl HealthCheck for HostPlugin {
    fn probe(operation: &Operation<Settings>) -> Result<Vec<Measurement>, Error> {
        Ok(measured(&Service::open(operation)?.see_all()?))
    }
}

/// `instances-ready`, `version` if there is a common one, and `ready.<instance>` for each.
fn measured(seen: &[Seen]) -> Vec<Measurement> {
    let ready = seen.iter().filter(|its| its.status.ready).count();
    let verdict = match ready {
        all if all == seen.len() => Verdict::Healthy,
        0 => Verdict::Failing,
        _ => Verdict::Degraded,
    };
    let of = format!("of {}", seen.len());
    let mut measured =
        vec![Measurement::number("instances-ready", ready as f64, "1", verdict).with_detail(of)];
    measured.push(match common(seen.iter().map(Seen::version)) {
        Some(version) => Measurement::text("version", version, Verdict::Healthy),
        None => Measurement::text("version", "", Verdict::Unknown)
            .with_detail("not every instance runs the same version"),
    });
    measured.extend(seen.iter().map(|its| {
        let ready = its.status.ready;
        let verdict = if ready { Verdict::Healthy } else { Verdict::Failing };
        Measurement::truth(format!("ready.{}", its.name), ready, verdict).with_detail(its.shown())
    }));
    measured
}

#[cfg(test)]
mod tests {
    use vaultup_sdk::health_check::Value;

    use super::*;
    use crate::link::Link;
    use crate::status::Status;

    fn seen(name: &str, version: &str, ready: bool) -> Seen {
        let status = Status { running: true, ready, ..Status::default() };
        Seen { name: name.to_owned(), link: Link::Release(version.to_owned()), status }
    }

    #[test]
    fn a_component_is_as_healthy_as_its_instances() {
        let verdict = |seen: &[Seen]| measured(seen)[0].verdict;
        assert_eq!(verdict(&[seen("a", "1", true), seen("b", "1", true)]), Verdict::Healthy);
        assert_eq!(verdict(&[seen("a", "1", true), seen("b", "1", false)]), Verdict::Degraded);
        assert_eq!(verdict(&[seen("a", "1", false)]), Verdict::Failing);
    }

    #[test]
    fn a_version_is_told_only_if_it_is_that_of_all() {
        let version = |seen: &[Seen]| measured(seen)[1].value.clone();
        let same = [seen("a", "1", true), seen("b", "1", true)];
        assert_eq!(version(&same), Value::Text("1".to_owned()));
        let mixed = [seen("a", "1", true), seen("b", "2", true)];
        assert_eq!(version(&mixed), Value::Text(String::new()));
    }
}
