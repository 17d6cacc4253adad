//! Medians and their spread.

use serde::Serialize;

/// The median of some values, with the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Median; of an even number of values the mean of the two in the middle.
    pub median: f64,
    /// Smallest.
    pub low: f64,
    /// Largest.
    pub high: f64,
}

impl Spread {
    /// The spread of some values; `None` of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = sorted.get(middle)?;
        let median = match sorted.len() % 2 {
            0 => (sorted.get(middle - 1)? + upper) / 2.0,
            _ => *upper,
        };
        Some(Self { median, low, high })
    }

    /// The spread of what `combine` makes of the values of each round. What was measured side by
    /// side is compared side by side: a disturbance that lasts for a round is in both.
    #[must_use]
    pub fn paired(one: &[f64], other: &[f64], combine: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let pairs: Vec<f64> =
            one.iter().zip(other).map(|(one, other)| combine(*one, *other)).collect();
        Self::of(&pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers_of_values() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[7.0]), Some(Spread { median: 7.0, low: 7.0, high: 7.0 }));
        let three = Spread::of(&[9.0, 1.0, 4.0]);
        assert_eq!(three, Some(Spread { median: 4.0, low: 1.0, high: 9.0 }));
        let four = Spread::of(&[9.0, 1.0, 4.0, 5.0]);
        assert_eq!(four, Some(Spread { median: 4.5, low: 1.0, high: 9.0 }));
    }

    #[test]
    fn pairs_are_combined_round_by_round() {
        // The second round was disturbed, and both of it alike.
        let difference = Spread::paired(&[60.0, 160.0, 61.0], &[40.0, 140.0, 40.0], |a, b| a - b);
        assert_eq!(difference, Some(Spread { median: 20.0, low: 20.0, high: 21.0 }));
    }
}
