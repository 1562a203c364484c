//! vaultup-plugin-host
