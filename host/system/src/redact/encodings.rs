//! The forms in which a secret may appear.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;

use zeroize::Zeroizing;

use super::SECRET_BYTES_MIN;

/// Piece by which a part of readable text is recognised: short ones are ordinary words.
const TEXT_PIECE_BYTES: usize = 16;

/// Piece by which a part of base64 or hexadecimal digits is recognised: no words there, and 32
/// bits or more do not agree by chance often enough to matter.
const DIGITS_PIECE_BYTES: usize = 8;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What the percent-encoders in use leave as it is, besides letters and digits: RFC 3986,
/// JavaScript's `encodeURIComponent`, HTML forms, Python's `quote`, Go's `url.Userinfo` and paths.
const PERCENT_KEEPS: &[&[u8]] =
    &[b"-._~", b"-._~!'()*", b"-._*", b"-._~/", b"-._~$&+,;=", b"-._~$&+,/:;=@", b""];

/// Something to look for.
pub(super) struct Needle {
    /// What it looks like.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// How many bytes of it are looked for at once: all, or a piece of a long one.
    pub(super) piece_bytes: usize,
    /// Whose it is.
    pub(super) label: usize,
    /// Whether the characters next to it can hold some of its bits.
    base64: bool,
}

impl Needle {
    /// Where the pieces begin that are looked for: side by side, the last at the very end.
    pub(super) fn piece_starts(&self) -> impl Iterator<Item = usize> {
        let last = self.bytes.len() - self.piece_bytes;
        (0..last).step_by(self.piece_bytes).chain([last])
    }

    /// How much around a found piece belongs to the needle as well.
    pub(super) fn grow(&self, text: &[u8], hit: Range<usize>, start: usize) -> Range<usize> {
        let same = |(left, right): &(&u8, &u8)| left == right;
        let before = text[..hit.start].iter().rev().zip(self.bytes[..start].iter().rev());
        let end = start + hit.len();
        let after = text[hit.end..].iter().zip(&self.bytes[end..]);
        let grown =
            hit.start - before.take_while(same).count()..hit.end + after.take_while(same).count();
        if self.base64 { with_shared_digits(text, grown) } else { grown }
    }
}

/// In base64 a digit at the border holds bits of the secret and of its neighbour.
fn with_shared_digits(text: &[u8], found: Range<usize>) -> Range<usize> {
    let is_digit = |at: usize| {
        text.get(at).is_some_and(|byte| STANDARD.contains(byte) || URL_SAFE.contains(byte))
    };
    let start =
        if found.start > 0 && is_digit(found.start - 1) { found.start - 1 } else { found.start };
    let mut end = if is_digit(found.end) { found.end + 1 } else { found.end };
    while end < found.end + 3 && text.get(end) == Some(&b'=') {
        end += 1;
    }
    start..end
}

/// All forms of a secret, and of each of its lines.
pub(super) fn needles(value: &[u8], label: usize) -> Vec<Needle> {
    let mut texts = BTreeSet::new();
    let mut digits = BTreeSet::new();
    let mut base64 = BTreeSet::new();
    let parts = parts(value);
    for part in parts.iter().map(AsRef::as_ref) {
        texts.extend(percent(part));
        digits.extend(hexadecimal(part));
        for alphabet in [STANDARD, URL_SAFE] {
            base64.extend((0..3).map(|alignment| base64_at(part, alignment, alphabet)));
        }
        match std::str::from_utf8(part) {
            Ok(text) => texts.extend(quoted(text)),
            // Shown as text, it loses what is no text: what remains are the pieces between.
            Err(_) => texts.extend(part.utf8_chunks().map(|chunk| chunk.valid().into())),
        }
        texts.insert(part.to_vec());
    }
    let needle = |bytes: Vec<u8>, piece_bytes: usize, base64: bool| {
        let whole = bytes.len() <= 2 * piece_bytes;
        let piece_bytes = if whole { bytes.len() } else { piece_bytes };
        Needle { bytes: Zeroizing::new(bytes), piece_bytes, label, base64 }
    };
    let mut all = Vec::new();
    all.extend(texts.into_iter().map(|bytes| needle(bytes, TEXT_PIECE_BYTES, false)));
    all.extend(digits.into_iter().map(|bytes| needle(bytes, DIGITS_PIECE_BYTES, false)));
    all.extend(base64.into_iter().map(|bytes| needle(bytes, DIGITS_PIECE_BYTES, true)));
    all.retain(|needle| needle.bytes.len() >= SECRET_BYTES_MIN);
    all
}

/// The value, its lines without the space around them, and the passwords of addresses in it, which
/// tools show without the rest of the address.
fn parts(value: &[u8]) -> BTreeSet<Cow<'_, [u8]>> {
    let lines = value.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    let whole = lines.chain([value]).map(Cow::Borrowed);
    let passwords = passwords(value).into_iter().flat_map(|password| {
        let decoded = percent_decoded(password);
        [Cow::Borrowed(password), Cow::Owned(decoded)]
    });
    whole.chain(passwords).filter(|part| part.len() >= SECRET_BYTES_MIN).collect()
}

/// What stands between `scheme://user:` and the last `@` before the address's path.
fn passwords(value: &[u8]) -> Vec<&[u8]> {
    const SCHEME: &[u8] = b"://";
    let starts = value.windows(SCHEME.len()).enumerate().filter(|(_, bytes)| *bytes == SCHEME);
    let password = |(at, _): (usize, &[u8])| {
        let rest = &value[at + SCHEME.len()..];
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/?#\"'".contains(byte);
        let authority = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
        let login = &authority[..authority.iter().rposition(|byte| *byte == b'@')?];
        Some(&login[login.iter().position(|byte| *byte == b':')? + 1..])
    };
    starts.filter_map(password).collect()
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| byte == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(meant) => {
                decoded.push(meant);
                rest = &after[2..];
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

fn hexadecimal(value: &[u8]) -> [Vec<u8>; 2] {
    let (mut lower, mut upper) = (String::new(), String::new());
    for byte in value {
        // Writing into a string cannot fail.
        let _ = write!(lower, "{byte:02x}");
        let _ = write!(upper, "{byte:02X}");
    }
    [lower.into_bytes(), upper.into_bytes()]
}

/// The digits that depend on the value alone, when so many bytes stand before it in their group.
fn base64_at(value: &[u8], alignment: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut padded = vec![0; alignment];
    padded.extend_from_slice(value);
    let digits_whole = padded.len() * 8 / 6;
    let digits_shared = (alignment * 8).div_ceil(6);
    let digit = |number: usize| {
        let bit = number * 6;
        let high = u16::from(padded[bit / 8]) << 8;
        let low = padded.get(bit / 8 + 1).map_or(0, |byte| u16::from(*byte));
        alphabet[usize::from((high | low) >> (10 - bit % 8) & 0x3f)]
    };
    (digits_shared..digits_whole).map(digit).collect()
}

fn percent(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for keeps in PERCENT_KEEPS {
        for upper in [true, false] {
            let plain = percent_encoded(value, keeps, upper);
            forms.push(plain.replace("%20", "+").into_bytes());
            forms.push(plain.into_bytes());
        }
    }
    forms
}

fn percent_encoded(value: &[u8], keeps: &[u8], upper: bool) -> String {
    let mut form = String::new();
    for byte in value {
        let _ = match (byte.is_ascii_alphanumeric() || keeps.contains(byte), upper) {
            (true, _) => write!(form, "{}", char::from(*byte)),
            (false, true) => write!(form, "%{byte:02X}"),
            (false, false) => write!(form, "%{byte:02x}"),
        };
    }
    form
}

/// Quoted for JSON, as the encoders in use do it, and within single quotes of a shell.
fn quoted(text: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![text.replace('\'', "'\\''").into_bytes()];
    for (slash, ascii, html) in [
        (false, false, false), // most
        (true, false, false),  // PHP
        (false, true, false),  // Python
        (true, true, false),   // PHP without its Unicode flag
        (false, false, true),  // Go, and so docker, helm and kubectl
    ] {
        for upper in [false, true] {
            forms.push(json(text, slash, ascii, html, upper).into_bytes());
        }
    }
    forms
}

fn json(text: &str, slash: bool, ascii: bool, html: bool, upper: bool) -> String {
    let mut form = String::new();
    for character in text.chars() {
        match character {
            '"' | '\\' => form.extend(['\\', character]),
            '/' if slash => form.push_str("\\/"),
            '\n' => form.push_str("\\n"),
            '\r' => form.push_str("\\r"),
            '\t' => form.push_str("\\t"),
            '\u{8}' => form.push_str("\\b"),
            '\u{c}' => form.push_str("\\f"),
            '\0'..='\u{1f}' => escape(&mut form, character, upper),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if html => {
                escape(&mut form, character, upper);
            }
            '\u{7f}'.. if ascii => escape(&mut form, character, upper),
            _ => form.push(character),
        }
    }
    form
}

fn escape(form: &mut String, character: char, upper: bool) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        let _ = if upper { write!(form, "\\u{unit:04X}") } else { write!(form, "\\u{unit:04x}") };
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{STANDARD, URL_SAFE, base64_at, json, percent_encoded};
    use crate::redact::Redactor;

    /// Values whose encodings differ from each other and from the value.
    const VALUES: &[&str] = &[
        "pa/ss?w+rd",
        "a b&c<d>'e\"f\\g",
        "ünïcödé🔑",
        "tab\tand\u{1}",
        "x>~?",
        "0123456789abcdefghijklmnopqrstuvwxyz/ABCDEFGHIJKLMNOPQRSTUVWXYZ?=&",
    ];

    fn gone(value: &str, text: &str) {
        let redactor = Redactor::knowing([("db", value.as_bytes())]).unwrap();
        let left = redactor.redact(text);
        assert!(left.contains("{secret:db}"), "{value:?} was not found in {text:?}");
        // Digits of what stands around it may stay; padding says nothing.
        let pieces = left.replace("{secret:db}", "").replace('=', "");
        assert!(pieces.len() <= 8, "of {value:?} in {text:?} this is left: {left:?}");
    }

    /// A plain encoder to compare with: bits in, digits out.
    fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
        let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
        let digits = bits.as_bytes().chunks(6).map(|chunk| {
            let bits = format!("{:0<6}", std::str::from_utf8(chunk).unwrap());
            char::from(alphabet[usize::from_str_radix(&bits, 2).unwrap()])
        });
        let mut text: String = digits.collect();
        while !text.len().is_multiple_of(4) {
            text.push('=');
        }
        text
    }

    #[test]
    fn the_plain_encoder_of_these_tests_is_right() {
        assert_eq!(base64(b"light work.", STANDARD), "bGlnaHQgd29yay4=");
        assert_eq!(base64(&[0xfb, 0xff], URL_SAFE), "-_8=");
    }

    #[test]
    fn every_value_is_found_raw_and_in_hexadecimal_digits() {
        for value in VALUES {
            gone(value, value);
            let lower: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
            gone(value, &lower);
            gone(value, &lower.to_uppercase());
        }
    }

    #[test]
    fn every_value_is_found_in_base64_at_each_alignment_with_what_stands_around_it() {
        for value in VALUES {
            for alphabet in [STANDARD, URL_SAFE] {
                for before in ["", "u", "u:", "usr"] {
                    for after in ["", "\n", "@h", "@ho"] {
                        let whole = format!("{before}{value}{after}");
                        let text = base64(whole.as_bytes(), alphabet);
                        gone(value, &text);
                        gone(value, text.trim_end_matches('='));
                    }
                }
            }
        }
    }

    #[test]
    fn no_digit_that_holds_a_bit_of_the_secret_is_left() {
        let redactor = Redactor::knowing([("db", &b"swordfish!"[..])]).unwrap();
        // `u` and `@` are known to everybody; the digits between them are not to be seen.
        let text = base64(b"usr:swordfish!@host", STANDARD);
        assert_eq!(redactor.redact(&text), format!("{}{{secret:db}}{}", &text[..5], &text[19..]));
    }

    #[test]
    fn base64_broken_into_lines_is_found_line_by_line() {
        let key: Vec<u8> = (0..200_u32).map(|index| (index * 37 % 251) as u8).collect();
        let redactor = Redactor::knowing([("key", &key[..])]).unwrap();
        for width in [64, 76] {
            for line in base64(&key, STANDARD).as_bytes().chunks(width) {
                let line = std::str::from_utf8(line).unwrap();
                assert_eq!(redactor.redact(line), "{secret:key}", "{line}");
            }
        }
    }

    #[test]
    fn every_value_is_found_percent_encoded() {
        for value in VALUES {
            for keeps in ["-._~", "-._~!'()*", "-._~/", "-._*", ""] {
                for upper in [true, false] {
                    let text = percent_encoded(value.as_bytes(), keeps.as_bytes(), upper);
                    gone(value, &text);
                    gone(value, &text.replace("%20", "+"));
                }
            }
        }
    }

    #[test]
    fn every_value_is_found_quoted_for_json() {
        for value in VALUES {
            let common = serde_json::to_string(value).unwrap();
            gone(value, common.trim_matches('"'));
            gone(value, &json(value, true, true, false, false));
            gone(value, &json(value, false, false, true, false));
        }
        assert_eq!(json("a<é", false, true, true, false), "a\\u003c\\u00e9");
    }

    #[test]
    fn a_value_that_is_no_text_is_found_in_the_pieces_that_are() {
        let value = [b"abcdef".as_slice(), &[0xff, 0xfe], b"ghijkl"].concat();
        let redactor = Redactor::knowing([("key", &value[..])]).unwrap();
        let shown = String::from_utf8_lossy(&value);
        assert_eq!(redactor.redact(&shown), "{secret:key}\u{fffd}\u{fffd}{secret:key}");
    }

    #[test]
    fn digits_that_depend_on_the_value_alone_are_the_same_whatever_stands_around_it() {
        for (alignment, before) in ["", "x", "xy"].iter().enumerate() {
            let own = base64_at(b"swordfish", alignment, STANDARD);
            let own = String::from_utf8(own).unwrap();
            for after in ["", "1", "12"] {
                let whole = base64(format!("{before}swordfish{after}").as_bytes(), STANDARD);
                assert!(whole.contains(&own), "{own} in {whole}");
            }
        }
    }
}
