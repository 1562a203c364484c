//! vaultup-vault
