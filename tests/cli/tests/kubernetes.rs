//! helm releases and plain workloads on a real cluster, upgraded by the real binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

mod kubernetes {
    mod database;
    mod helm;
    mod order;
    mod support;
    mod workload;
}
