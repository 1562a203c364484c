//! The plugin against scripted answers of kubectl.
