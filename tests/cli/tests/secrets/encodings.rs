//! The forms in which a secret could slip out.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Plain, base64 and its form for URLs at each alignment, hexadecimal, percent and JSON.
pub(crate) fn encodings(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        secret.to_owned(),
        secret.replace('"', "\\\""),
        hexadecimal.to_uppercase(),
        hexadecimal,
        percent(bytes, |byte| !byte.is_ascii_alphanumeric()),
        percent(bytes, |_| true),
    ];
    for digits in [STANDARD, FOR_URLS] {
        forms.extend((0..3).map(|before| base64(bytes, digits, before)));
    }
    forms.sort();
    forms.dedup();
    forms
}

fn percent(bytes: &[u8], is_written: impl Fn(u8) -> bool) -> String {
    let one = |byte: &u8| match is_written(*byte) {
        true => format!("%{byte:02X}"),
        false => char::from(*byte).to_string(),
    };
    bytes.iter().map(one).collect()
}

/// What of the secret is the same whatever stands before and after it, when so many bytes do.
fn base64(bytes: &[u8], digits: &[u8; 64], before: usize) -> String {
    let whole = &bytes[(3 - before) % 3..];
    let groups = whole.chunks_exact(3).flat_map(|group| {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        [18, 12, 6, 0].map(|shift| char::from(digits[(bits >> shift & 63) as usize]))
    });
    groups.collect()
}

#[test]
fn base64_is_found_at_every_alignment() {
    let forms = encodings("a secret?>");
    for (text, encoded) in [
        ("a secret?>", "YSBzZWNyZXQ/Pg=="),
        ("x a secret?>", "eCBhIHNlY3JldD8+"),
        ("xx a secret?>", "eHggYSBzZWNyZXQ/Pg=="),
    ] {
        assert!(forms.iter().any(|form| encoded.contains(form.as_str())), "{text}");
    }
    assert!(forms.iter().any(|form| form.contains("Q_") || form.contains("8-")), "{forms:?}");
}
