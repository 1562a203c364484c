//! What `cargo xtask bench` compares a cold start with: a Rust program that does nothing, built in
//! the same profile.

fn main() {}
