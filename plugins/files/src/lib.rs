//! vaultup-plugin-files
