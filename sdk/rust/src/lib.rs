//! vaultup-sdk
