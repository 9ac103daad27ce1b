//! How many records the journal holds for the database, segment by segment. Somebody may delete
//! or cut segments meanwhile: what was written and is not found again is counted as dropped.

use crate::core::journal::Entry;
use std::collections::BTreeMap;

/// The last word says of so many segments how many records they have.
const MAX_SAID: usize = 20;

/// See the module's text. The keys are the offsets at which segments begin.
#[derive(Debug, Default)]
pub struct Held(BTreeMap<u64, Count>);

#[derive(Debug, Default)]
struct Count {
    /// Records that the database is not known to have.
    records: u64,
    /// So many of them the exchange under way is to find.
    asked: u64,
}

impl Held {
    /// What an earlier daemon knew.
    pub fn told_by(counts: BTreeMap<u64, u64>) -> Held {
        let count = |(start, records)| (start, Count { records, asked: 0 });
        Held(counts.into_iter().map(count).collect())
    }

    /// What the next program is to know.
    pub fn counts(&self) -> Vec<(u64, u64)> {
        self.0.iter().map(|(start, count)| (*start, count.records)).collect()
    }

    /// What stands in the journal of a segment.
    fn entry(segment: u64, count: &Count) -> Entry<'static> {
        Entry::Held { segment, records: count.records }
    }

    /// What a checkpoint says of the segments before it.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'static>> {
        let held = self.0.iter().filter(|(_, count)| count.records > 0);
        held.map(|(segment, count)| Held::entry(*segment, count))
    }

    /// What the last word says of those that are on the disk, where so many are not: the newest
    /// first, and together those for which it has no room.
    pub fn last_said(&self, not_on_disk: u64) -> Vec<Entry<'static>> {
        let mut said: Vec<(u64, u64)> = Vec::new();
        for (nth, (&segment, count)) in self.0.iter().rev().enumerate() {
            let missing = if nth == 0 { not_on_disk } else { 0 };
            let records = count.records.saturating_sub(missing);
            match said.last_mut().filter(|_| nth >= MAX_SAID) {
                Some(last) => last.1 += records,
                None => said.push((segment, records)),
            }
        }
        let some = said.into_iter().filter(|(_, records)| *records > 0);
        some.map(|(segment, records)| Entry::Held { segment, records }).collect()
    }

    /// A segment begins.
    pub fn begun(&mut self, segment: u64) {
        self.0.entry(segment).or_default();
    }

    /// Records are written to the segment that this offset is in.
    pub fn add(&mut self, offset: u64, records: u64) {
        if let Some((_, count)) = self.0.range_mut(..=offset).next_back() {
            count.records += records;
        }
    }

    /// Records of the newest segment were dropped, and counted.
    pub fn dropped(&mut self, records: u64) {
        if let Some(mut last) = self.0.last_entry() {
            let count = last.get_mut();
            count.records = count.records.saturating_sub(records);
            count.asked = count.asked.min(count.records);
        }
    }

    /// A segment goes, or could not be begun. Returns how many records it had.
    pub fn remove(&mut self, segment: u64) -> u64 {
        self.0.remove(&segment).map_or(0, |count| count.records)
    }

    /// All is asked for but what is in memory alone: the last records of the log.
    pub fn ask(&mut self, in_memory: u64) {
        self.0.values_mut().for_each(|count| count.asked = count.records);
        self.ask_no_more_than_written(in_memory);
    }

    /// What was asked for and turned out not to be on the disk is not looked for. A segment may be
    /// about to begin while the end of the one before it is still in memory.
    pub fn ask_no_more_than_written(&mut self, in_memory: u64) {
        let mut left = in_memory;
        for count in self.0.values_mut().rev() {
            let not_there = left.min(count.records);
            count.asked = count.asked.min(count.records - not_there);
            left -= not_there;
        }
    }

    /// The database has all that was found before `through`, where `all`: all that was asked for.
    /// Returns how many records are missing, and what the journal is to be told. `found`: none
    /// where a helper does not say.
    pub fn carried(
        &mut self,
        found: Option<&[(u64, u64)]>,
        through: u64,
        all: bool,
    ) -> (u64, Vec<Entry<'static>>) {
        let ends: Vec<u64> = self.0.keys().skip(1).copied().chain([u64::MAX]).collect();
        let (mut missing, mut entries) = (0, Vec::new());
        let mut from = 0;
        for ((&segment, count), end) in self.0.iter_mut().zip(ends) {
            let before = count.records;
            // Where the last word had no room for older ones, this one stands for them, too.
            let is_here = |(start, _): &&(u64, u64)| (from..=segment).contains(start);
            let here: u64 =
                found.into_iter().flatten().filter(is_here).map(|(_, records)| records).sum();
            from = segment + 1;
            count.records = count.records.saturating_sub(here);
            count.asked = count.asked.saturating_sub(here);
            if all || end <= through {
                missing += if found.is_some() { count.asked } else { 0 };
                count.records -= std::mem::take(&mut count.asked).min(count.records);
            }
            if count.records != before {
                entries.push(Held::entry(segment, count));
            }
        }
        (missing, entries)
    }

    /// A segment has no more than so many records that the database is not known to have. Returns
    /// how many are missing, and what the journal is to be told.
    pub fn found(&mut self, segment: u64, records: u64) -> Option<(u64, Entry<'static>)> {
        let count = self.0.get_mut(&segment)?;
        let missing = count.records.saturating_sub(records);
        count.records -= missing;
        count.asked = count.asked.saturating_sub(missing);
        (missing > 0).then(|| (missing, Held::entry(segment, count)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, MAX_SAID};

    /// A program that takes over has 28 records in memory, and a segment is about to begin.
    #[test]
    fn what_is_in_memory_is_of_two_segments() {
        let mut known = Held::told_by([(0, 119), (500, 9)].into());
        known.ask(28);
        assert_eq!(known.carried(Some(&[(0, 100)]), 400, true).0, 0);
        known.ask(28);
        assert_eq!(known.carried(Some(&[]), 400, true).0, 0);
    }

    /// The last word has no room for all segments: the oldest one that it names stands for those
    /// before it, and nothing of them is missed.
    #[test]
    fn what_has_no_name_is_found() {
        let (most, found) = (MAX_SAID as u64 + 5, |last| (0..last).map(|at| (at * 100, 2)));
        let mut known = Held::told_by(found(most).collect());
        let said = known.last_said(0);
        assert_eq!(said.len(), MAX_SAID);
        let told = said.into_iter().filter_map(|entry| match entry {
            crate::core::journal::Entry::Held { segment, records } => Some((segment, records)),
            _ => None,
        });
        known = Held::told_by(told.collect());
        known.ask(0);
        let all: Vec<_> = found(most).collect();
        assert_eq!(known.carried(Some(&all), most * 100, true).0, 0);
        let mut known = Held::told_by(found(most).collect());
        known.ask(0);
        let some: Vec<_> = found(most - 1).collect();
        assert_eq!(known.carried(Some(&some), most * 100, true).0, 2);
    }
}
