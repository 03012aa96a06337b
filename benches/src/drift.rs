//! Whether a figure drifts: the straight line through its values over time, and how well they say it.

use serde::Serialize;

/// Standard errors that a slope must be away from zero to be told from noise.
const ERRORS: f64 = 3.0;

/// A line through values that were taken minute by minute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Drift {
    /// Of the values.
    pub(crate) mean: f64,
    /// How much they change each minute.
    pub(crate) per_minute: f64,
    /// The standard error of that.
    pub(crate) per_minute_error: f64,
    /// The change over the whole time, in parts of a hundred of the mean.
    pub(crate) percent: f64,
    /// Whether the change can be told from noise.
    pub(crate) is_told: bool,
}

impl Drift {
    /// By least squares; needs three values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        if values.len() < 3 {
            return None;
        }
        let count = values.len() as f64;
        let (mean, middle) = (values.iter().sum::<f64>() / count, (count - 1.0) / 2.0);
        let minutes = |place: usize| place as f64 - middle;
        let spread: f64 = (0..values.len()).map(|place| minutes(place).powi(2)).sum();
        let together: f64 =
            values.iter().enumerate().map(|(place, value)| minutes(place) * (value - mean)).sum();
        let per_minute = together / spread;
        let off = |(place, value): (usize, &f64)| (value - mean - per_minute * minutes(place)).powi(2);
        let left: f64 = values.iter().enumerate().map(off).sum();
        let per_minute_error = (left / (count - 2.0) / spread).sqrt();
        let percent = if mean == 0.0 { 0.0 } else { 100.0 * per_minute * (count - 1.0) / mean };
        let is_told = per_minute.abs() > ERRORS * per_minute_error;
        Some(Self { mean, per_minute, per_minute_error, percent, is_told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_noise_is_not_taken_for_one() {
        let line: Vec<f64> = (0..10).map(|minute| 100.0 + 2.0 * f64::from(minute)).collect();
        let found = Drift::of(&line).unwrap();
        assert!((found.per_minute - 2.0).abs() < 1e-9 && found.per_minute_error < 1e-6 && found.is_told);
        assert!((found.mean - 109.0).abs() < 1e-9 && (found.percent - 100.0 * 18.0 / 109.0).abs() < 1e-9);

        let noise: Vec<f64> = (0..30).map(|minute| if minute % 2 == 0 { 90.0 } else { 110.0 }).collect();
        let found = Drift::of(&noise).unwrap();
        assert!(!found.is_told && found.per_minute.abs() < 0.2, "{found:?}");
        // The error of a slope over values that are off by 10: 10 / sqrt(30 · 899 / 12), and a little more for what the line took.
        assert!((found.per_minute_error - 0.218).abs() < 0.005, "{found:?}");
    }

    #[test]
    fn what_stays_the_same_does_not_drift() {
        let found = Drift::of(&[7.0; 5]).unwrap();
        assert_eq!((found.per_minute, found.percent, found.is_told), (0.0, 0.0, false));
        assert!(Drift::of(&[1.0, 2.0]).is_none());
        assert!(Drift::of(&[0.0; 4]).is_some_and(|found| !found.is_told));
    }
}
