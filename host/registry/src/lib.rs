//! vaultup-registry
