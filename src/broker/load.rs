//! Load averages for `$SYS/broker/load`: moving averages per minute over 1, 5 and 15 minutes.

/// The three averages of one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    last: u64,
    averages: [f64; 3],
}

/// The windows in minutes.
pub(super) const WINDOWS: [u32; 3] = [1, 5, 15];

impl Load {
    /// Takes in the counter's value `elapsed_s` seconds after the last one.
    pub(super) fn update(&mut self, counter: u64, elapsed_s: f64) {
        let per_minute = counter.saturating_sub(self.last) as f64 * 60.0 / elapsed_s;
        self.last = counter;
        for (average, minutes) in self.averages.iter_mut().zip(WINDOWS) {
            let weight = decay(elapsed_s / (60.0 * f64::from(minutes)));
            *average = per_minute + weight * (*average - per_minute);
        }
    }

    /// The averages, in the order of [`WINDOWS`].
    pub(super) fn averages(&self) -> [f64; 3] {
        self.averages
    }
}

/// e to the power of minus `x`, to four digits and more for what comes here. The library that has
/// the real function would be a third of a megabyte in memory for this alone.
fn decay(x: f64) -> f64 {
    let mut power = 1.0 / (1.0 + x / 1024.0);
    for _ in 0..10 {
        power *= power;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_reached_first_by_the_shortest_window() {
        let mut load = Load::default();
        for second in 1..=120_u64 {
            load.update(second * 10, 1.0);
        }
        let [one, five, fifteen] = load.averages();
        assert!((one - 600.0 * (1.0 - (-2.0_f64).exp())).abs() < 0.1);
        assert!(one > five && five > fifteen && fifteen > 0.0);
    }
}
