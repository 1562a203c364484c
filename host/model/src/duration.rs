//! Durations as people write them: `30s`, `2m`, `1h30m`, `500ms`, `7d`.
//!
//! Accepted: numbers with the units `d`, `h`, `m`, `s`, `ms`, larger units first, each at most
//! once. Rejected: `30` (no unit), `1.5h`, `30m1h`, `1h 30m`, `-1s`, the empty text.

use std::time::Duration;

use crate::pattern::shown;

/// The longest duration that can be written: a year.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Units with their milliseconds, largest first.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{}` is no duration", shown(text));
    if text.is_empty() || !text.is_ascii() {
        return Err(wrong());
    }
    let mut rest = text;
    let mut smallest = u64::MAX;
    let mut milliseconds = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        if *size >= smallest {
            return Err(wrong());
        }
        smallest = *size;
        milliseconds = number
            .checked_mul(*size)
            .and_then(|part| part.checked_add(milliseconds))
            .ok_or_else(wrong)?;
        rest = after;
    }
    let duration = Duration::from_millis(milliseconds);
    if duration > DURATION_MAX {
        return Err(format!("`{}` is longer than a year", shown(text)));
    }
    Ok(duration)
}

/// Shows a duration in the same form, to the millisecond: `1h30m`, `0s`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, size) in UNITS {
        let number = rest / size;
        rest %= size;
        if number > 0 {
            text.push_str(&format!("{number}{name}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::{DURATION_MAX, parse_duration, show_duration};

    #[test]
    fn what_people_write_is_read() {
        let cases = [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1d2h3m4s5ms", 93_784_005),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_millis(milliseconds),
                "{text}"
            );
        }
    }

    #[test]
    fn what_could_be_meant_in_two_ways_is_refused() {
        let wrong = [
            "",
            "30",
            "s",
            "1.5h",
            "30m1h",
            "1h1h",
            "1h 30m",
            "-1s",
            "+1s",
            "1S",
            "1w",
            "½h",
            "99999999999999999999s",
            "18446744073709551615d",
            "1s1",
        ];
        for text in wrong {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_year_is_the_longest_and_one_millisecond_more_is_refused() {
        assert_eq!(parse_duration("366d").unwrap(), DURATION_MAX);
        assert!(parse_duration("366d1ms").unwrap_err().contains("longer than a year"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(milliseconds in 0_u64..=31_622_400_000) {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&show_duration(duration)).unwrap(), duration);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), seconds in any::<u64>()) {
            let _ = parse_duration(&text);
            let _ = show_duration(Duration::from_secs(seconds));
        }
    }
}
