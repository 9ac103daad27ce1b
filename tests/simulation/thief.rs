//! Somebody takes away the file of what is set aside, or a part of it. What nobody was told of yet
//! comes again, or is in the database already; so it is done where all was told, and each record
//! that is gone counts once.

use super::ledger::LastWord;
use super::random::Random;
use super::world::World;
use schedule::core::event::Event;
use schedule::core::homes::Homes;
use schedule::core::journal::Entry;
use schedule::core::records::{Key, key};
use schedule::core::refused::Refused;
use std::collections::{BTreeMap, BTreeSet};

/// See the module's text.
pub struct Thief {
    random: Random,
    /// What the file no longer has as it had it.
    spoilt: BTreeSet<Key>,
    /// Records that are to be counted.
    records: u64,
}

impl Thief {
    /// There is one in some worlds.
    pub fn new(seed: u64) -> Option<Thief> {
        let mut random = Random::new(seed.rotate_left(32) ^ 0x7e1f);
        let is_there = random.one_in(6);
        is_there.then(|| Thief { random, spoilt: BTreeSet::new(), records: 0 })
    }
}

impl World {
    /// What is set aside is stolen, perhaps.
    pub fn steal(&mut self) {
        if self.disk.refused.is_empty() || !self.is_all_told() {
            return;
        }
        let Some(thief) = &mut self.thief else { return };
        if !thief.random.one_in(40) {
            return;
        }
        let file = std::mem::take(&mut self.disk.refused);
        let before = entries(&file);
        let mut lines: Vec<&[u8]> = file.split_inclusive(|it| *it == b'\n').collect();
        match thief.random.below(4) {
            0 => lines.clear(),
            1 => lines.truncate(thief.random.below(lines.len() as u64) as usize),
            _ => drop(lines.remove(thief.random.below(lines.len() as u64) as usize)),
        }
        self.disk.refused = lines.concat();
        let after = entries(&self.disk.refused);
        for (key, entry) in &before {
            let left = after.get(key);
            let is_gone = entry.is_record() && !left.is_some_and(Entry::is_record);
            thief.records += u64::from(is_gone);
            if left != Some(entry) {
                thief.spoilt.insert(*key);
            }
        }
        let records = thief.records;
        self.tell(|| format!("somebody took records that were set aside: {records} in all"));
        if let Some(core) = &mut self.core {
            core.handle(self.now, Event::SetAsideChanged);
        }
    }

    /// Whether the journal knows how the file stands.
    fn is_all_told(&self) -> bool {
        let stand = Refused::read(&self.disk.refused).told(&Homes::default()).stand;
        let last = self.disk.segments.last_key_value().map_or(0, |(start, _)| *start);
        let word = LastWord::read(&self.disk.last_word);
        let has_word = word.is_some_and(|word| {
            word.end > self.disk.end() || word.until.is_some_and(|until| last <= until)
        });
        let is_known = self.core.as_ref().is_none_or(|core| {
            core.scheduler.set_aside().stand == stand
                && core.scheduler.outbox().is_whole()
                && !self.pressed
        });
        let is_quiet = !self.is_carrying() && !has_word;
        is_quiet && is_known && self.ledger.durable.set_aside == Some(stand)
    }

    /// Whether it was stolen: its database may lack it.
    pub fn is_stolen(&self, key: Key) -> bool {
        self.thief.as_ref().is_some_and(|thief| thief.spoilt.contains(&key))
    }

    /// What was stolen is counted, and nothing else.
    pub fn check_stolen(&self) {
        let stolen = self.thief.as_ref().map_or(0, |thief| thief.records);
        let counted = self.core.as_ref().map_or(0, |core| core.scheduler.set_aside().stand.dropped);
        assert_eq!(counted, stolen, "records set aside that are counted, and that were stolen");
    }
}

fn entries(file: &[u8]) -> BTreeMap<Key, Entry<'_>> {
    let entries = Refused::read(file).entries().into_iter();
    entries.filter_map(|entry| Some((key(&entry)?, entry))).collect()
}
