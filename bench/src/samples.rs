//! What was measured, and what is said of it.

use std::time::Duration;

/// Measurements of one thing in one unit, in the order they were made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds a duration, in milliseconds.
    pub(crate) fn add_ms(&mut self, duration: Duration) {
        self.add(duration.as_secs_f64() * 1000.0);
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The middle one; of an even number the higher of the two.
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// The smallest value that at least `percent` of all do not exceed. NaN where nothing was measured.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = if percent == 50 {
            sorted.len() / 2
        } else {
            (sorted.len() * percent).div_ceil(100).max(1) - 1
        };
        sorted.get(rank).copied().unwrap_or(f64::NAN)
    }

    /// The smallest.
    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The largest.
    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }
}

impl FromIterator<Duration> for Samples {
    /// In milliseconds.
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut samples = Self::default();
        durations
            .into_iter()
            .for_each(|duration| samples.add_ms(duration));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let samples: Samples = (1..=100).rev().map(Duration::from_millis).collect();
        let found = [95, 99, 100].map(|percent| samples.percentile(percent));
        assert_eq!(
            format!("{found:?} {} {}", samples.min(), samples.max()),
            "[95.0, 99.0, 100.0] 1 100"
        );
    }

    #[test]
    fn the_median_is_the_middle_and_of_nothing_it_is_nothing() {
        let three: Samples = [9, 1, 5].map(Duration::from_millis).into_iter().collect();
        assert_eq!(format!("{} of {}", three.median(), three.len()), "5 of 3");
        assert!(Samples::default().median().is_nan());
    }
}
