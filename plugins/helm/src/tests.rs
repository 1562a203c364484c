//! The plugin against scripted answers of helm and kubectl.
