//! The texts of `plugin.toml`: the SQL that the operator granted, and no other, is what runs.

const MANIFEST: &str = include_str!("../plugin.toml");
const QUOTES: &str = "'''";

/// The text of this name, exactly as the host reads it from the manifest; empty if there is none,
/// which no test lets pass.
pub(crate) fn literal(name: &str) -> &'static str {
    let opening = format!("\n{name} = {QUOTES}\n");
    let text = MANIFEST.split_once(&opening).map_or("", |(_, rest)| rest);
    text.split_once(QUOTES).map_or("", |(literal, _)| literal)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn every_text_is_the_one_that_a_reader_of_toml_finds() {
        let manifest: toml::Table = toml::from_str(MANIFEST).unwrap();
        let literals = manifest["literals"].as_table().unwrap();
        assert!(literals.len() > 10);
        for (name, text) in literals {
            assert_eq!(text.as_str().unwrap(), literal(name), "{name}");
            assert!(!literal(name).is_empty(), "{name}");
        }
        assert_eq!(literal("nothing"), "");
    }
}
