//! vaultup-sandbox
