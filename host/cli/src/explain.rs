//! The pages of `vaultup explain`: one Markdown file an error code, beside this file.

/// Every page by its code, in the order of codes.
pub(crate) const PAGES: &[(u16, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

#[cfg(test)]
mod tests {
    use super::PAGES;
    use std::collections::BTreeSet;

    fn codes() -> BTreeSet<u16> {
        let crates: [&[(u16, &str)]; 8] = [
            model::CODES,
            registry::CODES,
            sandbox::CODES,
            journal::CODES,
            vault::CODES,
            system::CODES,
            runner::CODES,
            crate::error::CODES,
        ];
        crates.iter().flat_map(|codes| codes.iter().map(|(code, _)| *code)).collect()
    }

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let pages: BTreeSet<u16> = PAGES.iter().map(|(code, _)| *code).collect();
        let missing: Vec<_> = codes().difference(&pages).copied().collect();
        let stray: Vec<_> = pages.difference(&codes()).copied().collect();
        assert_eq!((missing, stray), (vec![], vec![]));
    }

    #[test]
    fn every_page_says_what_it_means_and_what_to_do() {
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# VU{code:04}: ")), "VU{code:04}");
            assert!(page.contains("\n## What to do\n"), "VU{code:04}");
        }
    }
}
