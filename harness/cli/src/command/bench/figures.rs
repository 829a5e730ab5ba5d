//! Durations measured several times, and how they are shown.

use std::time::Duration;

/// What was measured of one thing, once or more.
#[derive(Debug, Clone, Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    /// Adds a measurement.
    pub fn add(&mut self, duration: Duration) {
        let at = self.0.partition_point(|known| *known < duration);
        self.0.insert(at, duration);
    }

    /// The median, the lower one of two; none without a measurement.
    pub fn median(&self) -> Option<Duration> {
        self.0.get(self.0.len().checked_sub(1)? / 2).copied()
    }

    /// Minimum, median and maximum in seconds.
    pub fn show(&self) -> String {
        match (self.0.first(), self.median(), self.0.last()) {
            (Some(min), Some(median), Some(max)) => format!(
                "{:7.3} {:7.3} {:7.3}",
                min.as_secs_f64(),
                median.as_secs_f64(),
                max.as_secs_f64()
            ),
            _ => format!("{:>7} {:>7} {:>7}", "-", "-", "-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], "      -       -       -")]
    #[case(&[1500], "  1.500   1.500   1.500")]
    #[case(&[30, 10, 20], "  0.010   0.020   0.030")]
    #[case(&[40, 30, 10, 20], "  0.010   0.020   0.040")]
    fn shows_three_of_them(#[case] millis: &[u64], #[case] shown: &str) {
        let mut figures = Figures::default();
        for millis in millis {
            figures.add(Duration::from_millis(*millis));
        }
        assert_eq!(figures.show(), shown);
    }
}
