//! Medians, and measurements in turns.

use std::time::Duration;

use anyhow::Result;

/// Measures several things in turns. Who comes first changes with every round, so that none always
/// runs in another's wake.
pub(super) fn in_turns<T, const N: usize>(
    rounds: usize,
    subjects: [&dyn Fn() -> Result<T>; N],
) -> Result<[Vec<T>; N]> {
    let mut values = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..rounds {
        for turn in 0..N {
            let subject = (round + turn) % N;
            values[subject].push(subjects[subject]()?);
        }
    }
    Ok(values)
}

/// The value in the middle, or the mean of the two in the middle. 0 of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The median of how many times longer each of ours took than theirs of the same round, so that
/// what slows the machine down for a while slows both.
pub(super) fn median_ratio(ours: &[Duration], theirs: &[Duration]) -> f64 {
    let pairs = ours.iter().zip(theirs);
    let ratios = pairs.map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64());
    median(&ratios.collect::<Vec<f64>>())
}

/// The median of durations, in milliseconds.
pub(super) fn median_ms(durations: &[Duration]) -> f64 {
    median(&milliseconds(durations))
}

/// The median with the least and the most, for people: `3.1 ms (2.9 to 8.4, 15 times)`.
pub(super) fn described(durations: &[Duration]) -> String {
    let all = milliseconds(durations);
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(0.0, f64::max);
    format!("{:.1} ms ({least:.1} to {most:.1}, {} times)", median(&all), all.len())
}

fn milliseconds(durations: &[Duration]) -> Vec<f64> {
    durations.iter().map(|duration| duration.as_secs_f64() * 1_000.0).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]
    #![expect(clippy::float_cmp, reason = "these sums are exact")]

    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median_ms(&[Duration::from_micros(1_500)]), 1.5);
    }

    #[test]
    fn a_ratio_compares_what_ran_side_by_side() {
        let seconds = |seconds: &[u64]| seconds.iter().copied().map(Duration::from_secs).collect();
        let (ours, theirs): (Vec<_>, Vec<_>) = (seconds(&[4, 40, 8]), seconds(&[2, 20, 1]));
        assert_eq!(median_ratio(&ours, &theirs), 2.0);
    }

    #[test]
    fn a_description_says_how_far_the_measurements_lie_apart() {
        let durations = [5, 1, 2].map(Duration::from_millis);
        assert_eq!(described(&durations), "2.0 ms (1.0 to 5.0, 3 times)");
    }

    #[test]
    fn turns_change_who_comes_first() {
        let order = RefCell::new(String::new());
        let turn = |who: char| {
            order.borrow_mut().push(who);
            Ok(who)
        };
        let [a, b, c] = in_turns(3, [&|| turn('a'), &|| turn('b'), &|| turn('c')]).unwrap();
        assert_eq!(*order.borrow(), "abcbcacab");
        assert_eq!((a, b, c), (vec!['a'; 3], vec!['b'; 3], vec!['c'; 3]));
    }
}
