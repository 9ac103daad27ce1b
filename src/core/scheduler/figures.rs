//! Figures as one program hands them to the next in its place: each by its name, never by its place
//! in an order, for the next one may know more of them, or fewer.

use super::metrics::{Histogram, Metrics};
use crate::core::journal::{SkipReason, Skips};
use crate::core::outcome::{OutcomeKind, Outcomes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// What [`Metrics`] come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    lateness: Buckets,
    turns: Buckets,
    outcomes: BTreeMap<String, u64>,
    skipped: BTreeMap<String, u64>,
}

/// What a histogram comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Buckets {
    /// How many were within each bound, in microseconds, and above the one before.
    within_us: BTreeMap<u64, u64>,
    beyond: u64,
    sum_us: u64,
}

impl Buckets {
    fn of<const N: usize>(histogram: &Histogram<N>) -> Buckets {
        let Histogram { bounds_us, counts, beyond, sum_us } = *histogram;
        Buckets { within_us: bounds_us.into_iter().zip(counts).collect(), beyond, sum_us }
    }

    /// What was counted by a bound that is not known here is within the next greater one.
    fn give<const N: usize>(&self, histogram: &mut Histogram<N>) {
        (histogram.counts, histogram.beyond) = ([0; N], self.beyond);
        histogram.sum_us = self.sum_us;
        for (bound_us, count) in &self.within_us {
            *histogram.bucket(*bound_us) += count;
        }
    }
}

impl Figures {
    /// From metrics.
    pub fn of(metrics: &Metrics) -> Figures {
        Figures {
            lateness: Buckets::of(&metrics.lateness),
            turns: Buckets::of(&metrics.turns),
            outcomes: metrics.outcomes.by_name(),
            skipped: metrics.skipped.by_name(),
        }
    }

    /// Metrics that go on from these. What another version did not know is 0.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics {
            outcomes: Outcomes::from_names(&self.outcomes),
            skipped: Skips::from_names(&self.skipped),
            ..Metrics::new()
        };
        self.lateness.give(&mut metrics.lateness);
        self.turns.give(&mut metrics.turns);
        metrics
    }

    /// From an earlier version, which handed them over in this order and no other.
    pub fn in_a_row(figures: &[u64]) -> Figures {
        use OutcomeKind::{Failure, Lost, Signal, SpawnFailed, Stopped, Success};
        use SkipReason::{Draining, Misfire, Overlap, Waiting};
        const LATENESS_MS: [u64; 10] = [1, 5, 10, 20, 50, 100, 250, 1_000, 5_000, 30_000];
        const TURNS_US: [u64; 10] =
            [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000];
        let mut figures = figures.iter().copied();
        let mut next = || figures.next().unwrap_or(0);
        let mut buckets = |bounds_us: [u64; 10]| Buckets {
            within_us: bounds_us.into_iter().map(|bound_us| (bound_us, next())).collect(),
            beyond: next(),
            sum_us: next(),
        };
        let (lateness, turns) = (buckets(LATENESS_MS.map(|ms| ms * 1_000)), buckets(TURNS_US));
        let mut named = |word: &'static str| (word.to_owned(), next());
        let ends = [Success, Failure, Signal, SpawnFailed, Lost].map(|kind| named(kind.label()));
        let skips = [Overlap, Draining, Waiting, Misfire].map(|why| named(why.label()));
        let outcomes = ends.into_iter().chain([named(Stopped.label())]).collect();
        Figures { lateness, turns, outcomes, skipped: skips.into_iter().collect() }
    }
}

/// Reads what another version has handed over. What makes no sense here is left out, and costs
/// nothing that stands beside it.
///
/// # Errors
/// It is no JSON.
pub fn if_known<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: DeserializeOwned + Default,
    D: Deserializer<'de>,
{
    let value = serde_json::Value::deserialize(from)?;
    Ok(T::deserialize(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::Figures;
    use crate::core::journal::{Loss, SkipReason};
    use crate::core::scheduler::{Carried, Counters, Metrics};

    #[test]
    fn what_is_within_an_unknown_bound_is_within_the_next() {
        let text = r#"{"lateness":{"within_us":{"5000":1,"7000":2,"99000000":4},"beyond":8}}"#;
        let metrics = serde_json::from_str::<Figures>(text).unwrap().metrics();
        let mut expected = Metrics::new();
        expected.lateness.counts[..3].copy_from_slice(&[0, 1, 2]);
        expected.lateness.beyond = 12;
        assert_eq!(metrics, expected);
    }

    #[test]
    fn what_another_version_says_costs_nothing_beside_it() {
        let text = r#"{"counters":{"launched":5,"records_dropped":2,"records_dropped_why":"flood"},
            "exchanges":7,"stopping":[["1-1","soon"]],"held":[[1,2]],"draining":true,
            "metrics":{"skipped":{"overlap":1,"eclipse":4}}}"#;
        let carried: Carried = serde_json::from_str(text).unwrap();
        assert_eq!((carried.counters.launched, carried.counters.records_dropped), (5, 2));
        assert_eq!(carried.counters.records_dropped_why, Loss::Untold);
        assert_eq!((carried.exchanges, &carried.held[..]), (7, &[(1, 2)][..]));
        assert!(carried.draining && carried.stopping.is_empty());
        assert_eq!(carried.metrics().skipped.get(SkipReason::Overlap), 1);
        let counters: Carried = serde_json::from_str(r#"{"counters":7,"exchanges":7}"#).unwrap();
        assert_eq!((counters.counters, counters.exchanges), (Counters::default(), 7));
    }
}
