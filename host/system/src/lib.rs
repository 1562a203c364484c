//! vaultup-system
