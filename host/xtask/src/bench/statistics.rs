//! Medians, and measurements in turns.

use std::time::Duration;

use anyhow::Result;

/// Measures two things in turns, and which comes first changes with every round, so that neither
/// always runs in the other's wake.
pub(super) fn in_turns<T>(
    rounds: usize,
    mut ours: impl FnMut() -> Result<T>,
    mut theirs: impl FnMut() -> Result<T>,
) -> Result<(Vec<T>, Vec<T>)> {
    let (mut our_values, mut their_values) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if round % 2 == 0 {
            our_values.push(ours()?);
            their_values.push(theirs()?);
        } else {
            their_values.push(theirs()?);
            our_values.push(ours()?);
        }
    }
    Ok((our_values, their_values))
}

/// The value in the middle, or the mean of the two in the middle. 0 of nothing.
fn median(values: &[f64]) -> f64 {
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
    let milliseconds = durations.iter().map(|duration| duration.as_secs_f64() * 1_000.0);
    median(&milliseconds.collect::<Vec<f64>>())
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
    fn turns_change_who_comes_first() {
        let order = RefCell::new(String::new());
        let turn = |who: char| {
            order.borrow_mut().push(who);
            Ok(who)
        };
        let (ours, theirs) = in_turns(3, || turn('o'), || turn('t')).unwrap();
        assert_eq!(*order.borrow(), "ottoot");
        assert_eq!((ours.len(), theirs.len()), (3, 3));
    }
}
