//! A figure of many runs: how often it was how great, in bins that grow by a tenth each.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A bin ends at so many times its beginning.
const GROWTH: f64 = 1.1;

/// A percentile is told as the middle of its bin, which is off by no more than this, and then as a
/// whole number. (The root of 1.1 is 1.049.)
pub const ERROR_PERCENT: u32 = 5;

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    sum: u64,
    max: u64,
    /// Runs by the number of their bin; 0 has what is zero.
    bins: BTreeMap<u16, u64>,
}

/// What there is to say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Of so many runs it is known.
    pub runs: u64,
    /// On average.
    pub mean: u64,
    /// Half of them have no more.
    pub p50: u64,
    /// 95 of 100 have no more.
    pub p95: u64,
    /// None has more.
    pub max: u64,
}

/// The bin of a value.
fn bin(value: u64) -> u16 {
    match value {
        0 => 0,
        // At most 466.
        _ => 1 + ((value as f64).ln() / GROWTH.ln()) as u16,
    }
}

/// The middle of a bin.
fn middle(bin: u16) -> u64 {
    match bin {
        0 => 0,
        _ => GROWTH.powf(f64::from(bin) - 0.5).round() as u64,
    }
}

impl Measure {
    /// Counts a run.
    pub fn count(&mut self, value: u64) {
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
        *self.bins.entry(bin(value)).or_default() += 1;
    }

    /// Takes in the runs of another one.
    pub fn add(&mut self, other: &Measure) {
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        for (bin, runs) in &other.bins {
            *self.bins.entry(*bin).or_default() += runs;
        }
    }

    /// How many runs were counted.
    pub fn runs(&self) -> u64 {
        self.bins.values().sum()
    }

    /// What there is to say; none: nothing was counted.
    pub fn summary(&self) -> Option<Summary> {
        let runs = self.runs();
        let mean = self.sum.checked_div(runs)?;
        let (p50, p95) = (self.percentile(runs, 50), self.percentile(runs, 95));
        Some(Summary { runs, mean, p50, p95, max: self.max })
    }

    /// What so many of a hundred have at the most: the value of the run that has this place in
    /// their order.
    fn percentile(&self, runs: u64, percent: u64) -> u64 {
        let place = (runs * percent).div_ceil(100);
        let mut before = 0;
        let found = self.bins.iter().find(|(_, runs)| {
            before += **runs;
            before >= place
        });
        match found {
            // All are alike: their mean says more than the middle of their bin, which none has.
            Some(_) if self.bins.len() == 1 => self.sum / runs,
            Some((bin, _)) => middle(*bin).min(self.max),
            None => 0,
        }
    }

    /// What [`fmt::Display`] has written. A word that says nothing is passed over.
    pub fn read(text: &str) -> Measure {
        let mut words = text.split_ascii_whitespace();
        let mut next = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let (sum, max) = (next(), next());
        let bins = words.filter_map(|word| {
            let (bin, runs) = word.split_once('=')?;
            Some((bin.parse().ok()?, runs.parse().ok()?))
        });
        Measure { sum, max, bins: bins.collect() }
    }
}

/// The sum, the greatest, and `BIN=RUNS` for each bin; nothing of no runs.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bins.is_empty() {
            return Ok(());
        }
        write!(f, "{} {}", self.sum, self.max)?;
        self.bins.iter().try_for_each(|(bin, runs)| write!(f, " {bin}={runs}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(told: u64, true_value: u64) -> bool {
        let most = true_value as f64 * f64::from(ERROR_PERCENT) / 100.0 + 0.5;
        told.abs_diff(true_value) as f64 <= most
    }

    /// All runs took 12 s: so does the median one.
    #[test]
    fn runs_that_are_alike_are_told_as_they_are() {
        let mut all = Measure::default();
        [12_003, 12_000, 12_009].iter().for_each(|ms| all.count(*ms));
        assert_eq!(all.summary().map(|told| (told.p50, told.p95)), Some((12_004, 12_004)));
    }

    #[test]
    fn percentiles_are_off_by_no_more_than_is_said() {
        let mut seed = 7_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        for case in 0..400_u64 {
            let most = 1 << (case % 31 + 1);
            let mut values: Vec<u64> = (0..=random() % 300).map(|_| random() % most).collect();
            let mut measure = Measure::default();
            let mut parts = [Measure::default(), Measure::default()];
            for (at, value) in values.iter().enumerate() {
                measure.count(*value);
                parts[at % 2].count(*value);
            }
            let [mut one, other] = parts;
            one.add(&other);
            assert_eq!(one, measure);
            assert_eq!(Measure::read(&measure.to_string()), measure);
            values.sort_unstable();
            let told = measure.summary().unwrap();
            let at = |percent: usize| values[(values.len() * percent).div_ceil(100) - 1];
            assert_eq!(told.runs, values.len() as u64);
            assert_eq!(told.mean, values.iter().sum::<u64>() / told.runs);
            assert_eq!(told.max, *values.last().unwrap());
            assert!(is_near(told.p50, at(50)) && is_near(told.p95, at(95)), "{told:?} {values:?}");
        }
    }

    #[test]
    fn every_value_is_near_the_middle_of_its_bin() {
        for exponent in 0..640 {
            let value = 1.07_f64.powi(exponent) as u64;
            for value in [value, value + 1] {
                assert!(is_near(middle(bin(value)), value), "{value} {}", middle(bin(value)));
            }
        }
        assert_eq!((bin(0), middle(0), bin(u64::MAX)), (0, 0, 466));
    }

    #[test]
    fn what_is_no_measure_says_nothing() {
        assert_eq!(Measure::read(""), Measure::default());
        assert_eq!(Measure::read("x y z=1 2=3").runs(), 3);
        assert_eq!(
            (Measure::default().summary(), Measure::default().to_string()),
            (None, "".into())
        );
    }
}
