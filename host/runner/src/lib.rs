//! vaultup-runner
