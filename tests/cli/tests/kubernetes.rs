//! helm releases and plain workloads on a real cluster, upgraded by the real binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

mod kubernetes {
    mod database;
    mod helm;
    mod helm_killed;
    mod helm_store;
    mod helm_waves;
    mod lease;
    mod message_center;
    mod order;
    mod rehearsal;
    mod stack_file;
    mod support;
    mod vault;
    mod workload;
}
