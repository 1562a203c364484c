//! Puts a plugin's manifest into its component, where it is read without running a line of it.
//!
//! Format: <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>; a
//! custom section is id 0, length, name with its length, content, the lengths in LEB128.

use anyhow::{Context, Result, ensure};

/// The custom section that carries a plugin's `plugin.toml`, verbatim.
pub(crate) const MANIFEST_SECTION: &str = "vaultup:manifest";

/// Magic, version 13 and layer 1: a component. A core module has version 1 and layer 0.
const COMPONENT_HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
const CUSTOM_SECTION_ID: u8 = 0;

/// The component with the manifest as its last section.
///
/// # Errors
/// If the bytes are no component, for instance the core module that `wasm32-wasip1` gives.
pub(crate) fn with_manifest(component: &[u8], manifest: &str) -> Result<Vec<u8>> {
    ensure!(component.starts_with(COMPONENT_HEADER), "this is no WebAssembly component");
    let mut content = Vec::with_capacity(manifest.len() + MANIFEST_SECTION.len() + 1);
    push_length(&mut content, MANIFEST_SECTION.len())?;
    content.extend_from_slice(MANIFEST_SECTION.as_bytes());
    content.extend_from_slice(manifest.as_bytes());

    let mut bytes = component.to_vec();
    bytes.push(CUSTOM_SECTION_ID);
    push_length(&mut bytes, content.len())?;
    bytes.extend_from_slice(&content);
    Ok(bytes)
}

/// The name that a manifest gives its plugin: `name` before the first table.
///
/// # Errors
/// If there is none, or one that would not do as a file name.
pub(crate) fn plugin_name(manifest: &str) -> Result<&str> {
    let own_keys = manifest.lines().take_while(|line| !line.trim_start().starts_with('['));
    let mut pairs = own_keys.filter_map(|line| line.split_once('='));
    let (_, value) = pairs
        .find(|(key, _)| key.trim() == "name")
        .context("`name` is missing from plugin.toml")?;
    let name = value.trim().strip_prefix('"').and_then(|rest| rest.split('"').next());
    let name = name.context("`name` in plugin.toml is no text in double quotes")?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        !name.is_empty() && name.bytes().all(is_plain),
        "the plugin name `{name}` has other characters than a-z, 0-9 and `-`"
    );
    Ok(name)
}

/// Unsigned LEB128 of a length, which the format limits to 32 bits.
fn push_length(bytes: &mut Vec<u8>, length: usize) -> Result<()> {
    let mut rest = u32::try_from(length).context("a section may have no more than 4 GiB")?;
    while rest >= 0x80 {
        bytes.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn the_manifest_becomes_the_last_section() {
        let bytes = with_manifest(COMPONENT_HEADER, "name = \"x\"\n").unwrap();
        let mut expected = COMPONENT_HEADER.to_vec();
        expected.extend_from_slice(b"\0\x1c\x10vaultup:manifestname = \"x\"\n");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn lengths_of_more_than_seven_bits_take_several_bytes() {
        for (length, encoded) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![0x80, 1]),
            (624_485, vec![0xe5, 0x8e, 0x26]),
        ] {
            let mut bytes = Vec::new();
            push_length(&mut bytes, length).unwrap();
            assert_eq!(bytes, encoded);
        }
    }

    #[test]
    fn a_core_module_is_refused() {
        let error = with_manifest(b"\0asm\x01\0\0\0", "").unwrap_err();
        assert_eq!(error.to_string(), "this is no WebAssembly component");
    }

    #[test]
    fn the_name_is_the_manifests_own_and_not_a_tools() {
        let manifest = "format  = 1\nname    = \"helm\" # the word\n[[tools]]\nname = \"other\"\n";
        assert_eq!(plugin_name(manifest).unwrap(), "helm");
        assert!(plugin_name("[[tools]]\nname = \"other\"\n").is_err());
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        assert!(plugin_name("name = \"../helm\"").is_err());
        assert!(plugin_name("name = \"\"").is_err());
        assert!(plugin_name("name = helm").is_err());
    }
}
