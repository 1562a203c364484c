//! vaultup-tests-cli
