//! vaultup-evil
