//! A digest of a text, as the contract writes it.

use sha2::{Digest, Sha256};

/// `sha256:` and the digest of texts, each apart from the next.
#[must_use]
pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    let hex: Vec<String> = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn texts_are_told_apart_whatever_their_ends() {
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
        assert_eq!(of(["a"]).len(), "sha256:".len() + 64);
    }
}
