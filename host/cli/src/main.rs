//! vaultup-cli
fn main() {}
