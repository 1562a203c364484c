//! Moments as helm and the cluster write them: `2026-11-21T10:23:14.753636032Z`, or with `+01:00`
//! at the end.

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// Milliseconds since 1970; nothing if it is no such moment.
#[must_use]
pub fn milliseconds(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let end = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(end);
    let mut clock = clock.splitn(3, ':');
    let (hours, minutes) = (clock.next()?.parse::<i64>().ok()?, clock.next()?.parse::<i64>().ok()?);
    let seconds = clock.next()?.parse::<f64>().ok()?;
    let fits =
        (1..=12).contains(&month) && (1..=31).contains(&day) && (0.0..61.0).contains(&seconds);
    if !fits {
        return None;
    }
    let since_midnight = (hours * 60 + minutes) * MINUTE_MS + (seconds * 1000.0) as i64;
    let moment = days(year, month, day) * DAY_MS + since_midnight - offset(zone)?;
    u64::try_from(moment).ok()
}

/// A moment as the cluster writes one of its own, to the microsecond.
#[must_use]
pub fn text(milliseconds: u64) -> String {
    let day_ms = DAY_MS.unsigned_abs();
    let (year, month, day) = date(milliseconds / day_ms);
    let of_day = milliseconds % day_ms;
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, fraction) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{fraction:03}000Z")
}

/// Year, month and day of a number of days since 1970-01-01, counting years from March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let of_cycle = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_cycle + of_cycle / 4 - of_cycle / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + of_cycle + u64::from(month <= 2), month, day)
}

/// Minutes east of Greenwich, in milliseconds.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some(if zone.starts_with('-') { -minutes } else { minutes } * MINUTE_MS)
}

/// Days since 1970-01-01 in the Gregorian calendar, by counting years from March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{milliseconds, text};

    #[test]
    fn moments_are_read_as_helm_writes_them() {
        assert_eq!(milliseconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(milliseconds("2024-02-29T12:00:00.5Z"), Some(1_709_208_000_500));
        assert_eq!(milliseconds("2026-11-21T11:23:14.75+01:00"), Some(1_795_256_594_750));
        assert_eq!(milliseconds("2026-11-21T10:23:14.75Z"), Some(1_795_256_594_750));
    }

    #[test]
    fn a_moment_that_is_written_is_read_as_the_same() {
        for moment in [0, 951_782_400_000, 1_709_208_000_500, 1_795_256_594_750, 4_107_542_399_999]
        {
            assert_eq!(milliseconds(&text(moment)), Some(moment), "{}", text(moment));
        }
        assert_eq!(text(1_709_208_000_500), "2024-02-29T12:00:00.500000Z");
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in ["", "now", "2026-11-21", "2026-13-01T00:00:00Z", "2026-11-21T10:23Z", "T:Z"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
