//! When a new segment of the journal begins, and which ones go.

use super::outbox::Outbox;
use super::{DatabaseState, Scheduler};
use crate::core::event::Action;
use crate::core::journal::{Entry, Loss, Segment, count_records, encode};
use crate::core::time::Now;

/// A segment takes no more entries when it has this many bytes.
const SEGMENT_BYTES: u64 = 4 << 20;

/// The last records of a daemon that ends may take this long, in milliseconds.
const LAST_RECORDS_MS: u64 = 5_000;

impl Scheduler {
    /// Whether a daemon that has waited for its last run may end. The database is to know how that
    /// ended, for there may be no next daemon that could tell; one that does not answer is not
    /// waited for.
    pub(super) fn last_records_told(&mut self, now: Now) -> bool {
        let is_exiting = self.is_exiting();
        let outbox = &mut self.outbox;
        // What waits elsewhere is told as the last thing.
        if is_exiting || outbox.waiting_bytes() == 0 || self.astray.is_some() {
            return true;
        }
        let by_ms = *outbox.last_by_ms.get_or_insert(now.mono_ms + LAST_RECORDS_MS);
        if now.mono_ms >= by_ms || matches!(self.sync.state.database, DatabaseState::Down { .. }) {
            match outbox.unwritten.is_empty() {
                true => log::warn!("end: the last records wait in the journal for the next daemon"),
                false => log::error!("end: there is no room for the last records: they are lost"),
            }
            return true;
        }
        outbox.record_at = outbox.record_at.map(|_| 0);
        false
    }

    /// Begins a new segment when the last one is full, and lets the oldest ones go.
    pub(super) fn rotate_if_due(&mut self, now: Now) {
        self.outbox.looked_ms = now.wall_ms;
        self.outbox.unwritten.look(now);
        if !self.outbox.unwritten.is_empty() {
            return;
        }
        let full = self.outbox.segments.back().is_none_or(|last| last.bytes >= SEGMENT_BYTES);
        let early = now.mono_ms < self.outbox.segment_not_before_ms;
        let is_wanted = full || self.outbox.must_checkpoint;
        if is_wanted && !early && self.may_checkpoint() && !self.is_counting() {
            self.outbox.must_checkpoint = false;
            self.begin_segment();
        }
        // Nothing goes for a segment that is not there yet: it may turn out that it can't be begun.
        if !self.outbox.pending.is_empty() {
            return;
        }
        while let Some(start) = self.outbox.take_forgettable() {
            self.actions.push_back(Action::JournalForget(start));
        }
        while let Some((start, from)) =
            self.outbox.take_over_limit(self.settings.journal_limit_bytes)
        {
            self.actions.push_back(Action::JournalCount(start, from));
        }
    }

    /// Whether a checkpoint would tell all that counts. A slot that is half decided is told by its
    /// intents, which a checkpoint does not repeat; and a run that waits for its launch has none
    /// yet, and must not be among those alive.
    fn may_checkpoint(&self) -> bool {
        !self.busy() && !self.is_launching()
    }

    /// Tells the next daemon what counts, where the newest segment does not tell it any more.
    pub(super) fn last_checkpoint(&mut self) {
        let is_wanted = std::mem::take(&mut self.outbox.must_checkpoint);
        if is_wanted && self.outbox.unwritten.is_empty() && self.may_checkpoint() {
            self.begin_segment();
        }
    }

    /// Whether a segment is still to be counted. Till then no checkpoint may be written: it would
    /// go before that, and tell that all is recorded up to where what is dropped ends.
    fn is_counting(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::JournalCount(..)))
    }

    /// These segments are on the disk. The newest is written again where it is taken away.
    pub(in crate::core) fn segments_there(&mut self, there: &[Segment]) {
        for (start, from) in self.outbox.look(there) {
            self.actions.push_back(Action::JournalCount(start, from));
        }
    }

    /// A segment over the limit has so many records that the database does not know.
    pub(in crate::core) fn segment_counted(&mut self, start: u64, records: u64) {
        if self.outbox.has(start) {
            return self.outbox.found(start, records);
        }
        // What is no longer there counts as well.
        let records = records.max(self.outbox.forget_held(start));
        if records > 0 {
            self.records_dropped(records, Loss::Limit);
            self.outbox.must_flush = true;
        }
        self.actions.push_back(Action::JournalForget(start));
    }

    /// Begins a new segment with a checkpoint: what is needed to go on without the older ones.
    pub(super) fn begin_segment(&mut self) {
        self.outbox.forget_keepers(&self.runs);
        let mut lines = Vec::new();
        encode(&mut lines, &Entry::Checkpoint);
        encode(&mut lines, &Entry::Boot(self.outbox.boot_id.as_str().into()));
        for place in &self.homes.known {
            encode(&mut lines, &Entry::Home(place.as_str().into()));
        }
        for keeper in &self.outbox.keepers {
            encode(&mut lines, &Entry::Keeper(keeper.as_str().into()));
        }
        self.outbox.held.entries().for_each(|entry| encode(&mut lines, &entry));
        encode(&mut lines, &Entry::Held { segment: self.outbox.end(), records: 0 });
        encode(&mut lines, &Entry::Sequence(self.last_sequence));
        encode(&mut lines, &Entry::Recorded(self.outbox.recorded));
        if self.counters.records_dropped > 0 {
            encode(&mut lines, &self.dropped_entry());
        }
        self.refused.entry().iter().for_each(|entry| encode(&mut lines, entry));
        encode(&mut lines, &Entry::Anew(self.due.anew_sequence));
        encode(&mut lines, &Entry::Decided(self.due.decided_ms));
        self.pauses.of_checkpoint().iter().for_each(|entry| encode(&mut lines, entry));
        self.snapshot.entry().iter().for_each(|entry| encode(&mut lines, entry));
        for (job, slot_ms) in self.slots_beyond_decided() {
            encode(&mut lines, &Entry::Slot { job, slot_ms });
        }
        self.acts.entries().for_each(|entry| encode(&mut lines, &entry));
        for run in self.runs.values() {
            let Some(job) = self.table.get(run.job) else { continue };
            let md5 = job.def.md5_hex();
            let entry = run.entry(&job.def.name, &job.def.command, &md5, None);
            encode(&mut lines, &Entry::Carried(entry));
        }
        self.outbox.begin_segment(lines);
    }
}

impl Outbox {
    /// How many records the database is not known to have.
    pub fn records_held(&self) -> u64 {
        self.held.counts().iter().map(|(_, records)| records).sum()
    }

    /// Whether there is a segment that begins here.
    pub(super) fn has(&self, start: u64) -> bool {
        self.segments.iter().any(|segment| segment.start == start)
    }

    /// Looks which segments are on the disk. What those had that are gone is missing; one that is
    /// shorter than it was written is to be counted, from this offset on.
    pub(super) fn look(&mut self, there: &[Segment]) -> Vec<(u64, u64)> {
        if !self.unwritten.is_empty() || !self.pending.is_empty() {
            return Vec::new();
        }
        let last = self.segments.back().map(|last| last.start);
        let mut damaged = Vec::new();
        for Segment { start, bytes } in self.segments.clone() {
            let is_last = Some(start) == last;
            let written = match is_last {
                true => self.last_bytes(bytes.saturating_sub(self.lines.len() as u64)),
                false => bytes,
            };
            let found = there.iter().find(|found| found.start == start);
            if found.is_some_and(|found| found.bytes < written) {
                log::error!("journal: somebody cut its segment {start}");
                damaged.push((start, start.max(self.recorded)));
                // The newest tells no longer all that counts.
                self.must_checkpoint |= is_last;
                self.was_cut(start, found.map_or(0, |found| found.bytes), is_last);
            } else if found.is_none() && !is_last {
                log::error!("journal: somebody took its segment {start} away");
                self.missing += self.forget_held(start);
                self.segments.retain(|segment| segment.start != start);
            }
        }
        self.must_flush |= self.missing > 0;
        damaged
    }

    /// The segment before this one gets no more lines.
    pub(super) fn ends_before(&mut self, start: u64) {
        let before = self.segments.iter().rposition(|segment| segment.start < start);
        if let Some(at) = before {
            let (first, bytes) = (self.segments[at].start, self.segments[at].bytes);
            self.segments[at].bytes = bytes.min(self.written_to.saturating_sub(first));
        }
    }

    /// How long the newest segment is, of so many bytes that it was to have.
    fn last_bytes(&self, bytes: u64) -> u64 {
        let first = self.segments.back().map_or(0, |last| last.start);
        bytes.min(self.written_to.saturating_sub(first))
    }

    /// So many records that the database does not have were found in a segment that was cut.
    pub(super) fn found(&mut self, start: u64, records: u64) {
        let in_memory = if self.segments.back().is_some_and(|last| last.start == start) {
            self.unwritten.held() + count_records(&self.lines)
        } else {
            0
        };
        let Some((missing, entry)) = self.held.found(start, records + in_memory) else { return };
        self.missing += missing;
        self.note(&entry);
        self.must_flush = true;
    }

    /// A segment is gone. Returns how many records it had; no later daemon is to miss them again.
    fn forget_held(&mut self, start: u64) -> u64 {
        let records = self.held.remove(start);
        if records > 0 {
            self.note(&Entry::Held { segment: start, records: 0 });
        }
        records
    }

    /// What was cut off is not looked for again. The newest may still be written to.
    fn was_cut(&mut self, start: u64, bytes: u64, is_last: bool) {
        let segment = self.segments.iter_mut().find(|segment| segment.start == start);
        segment.filter(|_| !is_last).into_iter().for_each(|segment| segment.bytes = bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Outbox;
    use crate::core::journal::Segment;

    /// A segment that was emptied, or that the disk has by its name alone after a loss of power,
    /// begins again under that name.
    #[test]
    fn there_are_no_two_segments_of_one_name() {
        let there = [(0, 100), (100, 0)].map(|(start, bytes)| Segment { start, bytes });
        let mut outbox = Outbox::new("boot".into(), 0, 100, there.into());
        outbox.begin_segment(b"x\n".to_vec());
        let starts: Vec<u64> = outbox.segments.iter().map(|segment| segment.start).collect();
        assert_eq!(starts, [0, 100]);
    }
}
