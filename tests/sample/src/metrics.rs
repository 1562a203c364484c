//! `/metrics` in Prometheus's text format. Only requests to `/orders` and `/signed` count, so that
//! probes do not thin out an error rate.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the histogram's buckets in seconds; `+Inf` is the last one, unnamed here.
const BOUNDS_S: [f64; 9] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: AtomicU64,
    errors: AtomicU64,
    microseconds: AtomicU64,
    /// Not cumulative; the last one is beyond every bound.
    buckets: [AtomicU64; BOUNDS_S.len() + 1],
}

impl Metrics {
    /// Counts a request that was answered; an error is a status from 500.
    pub(crate) fn count(&self, took: Duration, error: bool) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS_S.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BOUNDS_S.len())].fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(u64::from(error), Ordering::Relaxed);
    }

    /// The text.
    pub(crate) fn text(&self, version: &str, connections: u64) -> String {
        let requests = self.requests.load(Ordering::Relaxed);
        let errors = self.errors.load(Ordering::Relaxed);
        let mut text = format!(
            "# TYPE build_info gauge\nbuild_info{{version=\"{version}\"}} 1\n\
             # TYPE requests_total counter\nrequests_total {requests}\n\
             # TYPE request_errors_total counter\nrequest_errors_total {errors}\n\
             # TYPE connections gauge\nconnections {connections}\n\
             # TYPE request_duration_seconds histogram\n"
        );
        let mut below = 0;
        let bounds = BOUNDS_S.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            below += bucket.load(Ordering::Relaxed);
            let _ = writeln!(text, "request_duration_seconds_bucket{{le=\"{bound}\"}} {below}");
        }
        let seconds = Duration::from_micros(self.microseconds.load(Ordering::Relaxed));
        let _ = writeln!(text, "request_duration_seconds_sum {}", seconds.as_secs_f64());
        let _ = writeln!(text, "request_duration_seconds_count {below}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_a_bound_belongs_to_its_bucket() {
        let metrics = Metrics::default();
        metrics.count(Duration::from_millis(5), false);
        metrics.count(Duration::from_millis(6), true);
        metrics.count(Duration::from_secs(60), true);
        let text = metrics.text("1.0.0", 4);
        for line in [
            "build_info{version=\"1.0.0\"} 1",
            "requests_total 3",
            "request_errors_total 2",
            "connections 4",
            "request_duration_seconds_bucket{le=\"0.001\"} 0",
            "request_duration_seconds_bucket{le=\"0.005\"} 1",
            "request_duration_seconds_bucket{le=\"0.01\"} 2",
            "request_duration_seconds_bucket{le=\"5\"} 2",
            "request_duration_seconds_bucket{le=\"+Inf\"} 3",
            "request_duration_seconds_sum 60.011",
            "request_duration_seconds_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
