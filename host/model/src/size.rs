//! Sizes as people write them: `10GB`, `512MiB`.
//!
//! Accepted: a whole number with one unit: `B`, `kB`, `MB`, `GB`, `TB` of 1000, `KiB`, `MiB`,
//! `GiB`, `TiB` of 1024. Rejected: `10` (no unit), `1.5GB`, `10 GB`, `10gb`, the empty text.

use crate::pattern::shown;

/// Units with their bytes.
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a size, in bytes.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is no size", shown(text));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*bytes).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn what_people_write_is_read_and_what_is_not_clear_is_refused() {
        let good = [("10GB", 10_000_000_000), ("1KiB", 1024), ("0B", 0), ("3TiB", 3 << 40)];
        for (text, bytes) in good {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "10", "GB", "1.5GB", "10 GB", "10gb", "-1GB", "99999999999TB", "ä"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
