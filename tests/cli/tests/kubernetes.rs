//! helm releases and plain workloads on a real cluster, upgraded by the real binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

mod kubernetes {
    mod helm;
    mod helm_killed;
    mod helm_store;
    mod message_center;
    mod order;
    mod support;
    mod vault;
    mod workload;
}
