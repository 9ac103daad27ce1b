//! The journal as an outbox: what is written, when a new segment begins, which ones may go, and
//! how far the database has got. See [`crate::core::journal`] for the format.

use super::{Core, DatabaseState};
use crate::core::clock;
use crate::core::event::Action;
use crate::core::journal::{Entry, encode, past_segments};
use crate::core::time::Now;
use std::collections::VecDeque;

/// A segment takes no more entries when it has this many bytes.
const SEGMENT_BYTES: u64 = 4 << 20;

/// A segment that could not be begun is tried again after this long, in milliseconds.
const SEGMENT_PAUSE_MS: u64 = 1_000;

/// Lines are handed to the shell at the latest when they have this many bytes.
const FLUSH_BYTES: usize = 64 << 10;

/// Records wait about this long for others to come along, in milliseconds.
const RECORD_PAUSE_MS: u64 = 1_000;

/// The last records of a daemon that ends may take this long, in milliseconds.
const LAST_RECORDS_MS: u64 = 5_000;

/// A file of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The offset of the log at which it begins.
    pub start: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Entries in it that are to reach the database, as far as this daemon wrote them.
    pub records: u64,
}

/// Where the journal stands.
pub struct Outbox {
    /// What goes before the lines: full segments and the beginnings of new ones.
    pending: VecDeque<Action>,
    /// Lines that the shell was not given yet.
    lines: Vec<u8>,
    /// Whether the lines must be written before anything else is done.
    pub must_flush: bool,
    /// Oldest first; the last one is being written.
    segments: VecDeque<Segment>,
    /// The offset of the log after all lines, handed over or not.
    end: u64,
    /// Everything before this offset is in the database.
    pub recorded: u64,
    /// How far the exchange under way, or the last one, was asked to go.
    pub recorded_target: u64,
    /// When what the database does not know is to be carried there (monotonic clock, ms); none if
    /// there is nothing.
    pub record_at: Option<u64>,
    /// The daemon ends with its runs, and these have ended: so long the last records may take to
    /// reach the database (monotonic clock, ms).
    pub last_by_ms: Option<u64>,
    /// The boot of the machine whose `@reboot` jobs were started.
    pub boot_id: String,
    /// The keeper that launches, behind those that may have been asked for what the journal has
    /// intents of: see [`Entry::Keeper`].
    pub keepers: Vec<String>,
    /// What is on disk has a hole: a new segment must say again what is alive.
    must_checkpoint: bool,
    /// No new segment is begun before this (monotonic clock, ms).
    segment_not_before_ms: u64,
    /// The segment that the shell was last asked to begin, if that was the last it was asked for.
    beginning: Option<u64>,
    /// What was last said about a journal that can't be written.
    failure: Option<String>,
}

impl Outbox {
    /// A journal that ends at `end`; there may be unrecorded entries in it.
    pub fn new(boot_id: String, recorded: u64, end: u64, segments: Vec<Segment>) -> Outbox {
        let segments = VecDeque::from(segments);
        // Whether there is something to record is found out by asking for it once.
        let record_at = (recorded < end).then_some(0);
        let first = segments.front().map_or(end, |segment| segment.start);
        Outbox {
            pending: VecDeque::new(),
            lines: Vec::new(),
            must_flush: false,
            segments,
            end,
            recorded: recorded.max(first),
            recorded_target: 0,
            record_at,
            last_by_ms: None,
            boot_id,
            keepers: Vec::new(),
            must_checkpoint: false,
            segment_not_before_ms: 0,
            beginning: None,
            failure: None,
        }
    }

    /// The same, where these keepers launched, the last of them at the end.
    pub fn kept_by(self, keepers: Vec<String>) -> Outbox {
        Outbox { keepers, ..self }
    }

    /// Writes that there is another keeper.
    pub fn keeper_is(&mut self, id: String) {
        if self.keepers.last() != Some(&id) {
            self.keepers.push(id);
            self.note_keeper();
        }
    }

    /// Writes again which keeper will be asked for the intents that follow, where that may have
    /// been lost.
    pub fn renote_keeper(&mut self) {
        if self.has_hole() {
            self.note_keeper();
        }
    }

    fn note_keeper(&mut self) {
        let Some(id) = self.keepers.last().cloned() else { return };
        self.note(&Entry::Keeper(id.into()));
        self.must_flush = true;
    }

    /// Writes an entry that is of no interest to the database.
    pub fn note(&mut self, entry: &Entry<'_>) {
        let before = self.lines.len();
        encode(&mut self.lines, entry);
        let bytes = (self.lines.len() - before) as u64;
        self.end += bytes;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += bytes;
        }
        self.must_flush |= self.lines.len() >= FLUSH_BYTES;
    }

    /// Writes an entry that is to reach the database.
    pub fn record(&mut self, now: Now, entry: &Entry<'_>) {
        self.note(entry);
        self.record_at
            .get_or_insert_with(|| clock::between_slots(now, now.mono_ms + RECORD_PAUSE_MS));
        if let Some(segment) = self.segments.back_mut() {
            segment.records += 1;
        }
    }

    /// What is not written yet, the oldest first.
    pub fn flush(&mut self) -> Option<Action> {
        let action = self.pending.pop_front().or_else(|| {
            self.must_flush = false;
            self.take_lines()
        })?;
        self.beginning = match &action {
            Action::JournalSegment(start, _) => Some(*start),
            _ => None,
        };
        Some(action)
    }

    fn take_lines(&mut self) -> Option<Action> {
        let offset = self.end - self.lines.len() as u64;
        (!self.lines.is_empty()).then(|| Action::Journal(offset, std::mem::take(&mut self.lines)))
    }

    fn begin_segment(&mut self, checkpoint: Vec<u8>) {
        let lines = self.take_lines();
        self.pending.extend(lines);
        let (start, bytes) = (self.end, checkpoint.len() as u64);
        self.end += bytes;
        self.segments.push_back(Segment { start, bytes, records: 0 });
        self.pending.push_back(Action::JournalSegment(start, checkpoint));
        self.must_flush = true;
    }

    /// The offset of the log after all entries.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of the journal that the database is still to be told of; 0 if it knows all there is.
    pub fn waiting_bytes(&self) -> u64 {
        let waits = self.record_at.is_some() || self.recorded < self.recorded_target;
        if waits { self.end - self.recorded } else { 0 }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Whether everything that was handed over is on the disk, or is told anew by a checkpoint
    /// that is.
    pub fn is_whole(&self) -> bool {
        !self.has_hole() && self.pending.is_empty()
    }

    /// Whether something that was handed over could not be written, and no checkpoint told it anew.
    pub fn has_hole(&self) -> bool {
        self.failure.is_some() || self.must_checkpoint
    }

    /// What was last said about a journal that can't be written.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The journal could not be written. Jobs go on: a full disk must not stop them.
    pub fn failed(&mut self, now: Now, why: String) {
        if let Some(start) = self.beginning.take() {
            self.not_begun(start);
            self.must_checkpoint = true;
            self.segment_not_before_ms = now.mono_ms + SEGMENT_PAUSE_MS;
        }
        if self.failure.as_deref() != Some(&why) {
            log::error!("journal: {why}: runs are not remembered over a restart until it can");
            self.failure = Some(why);
        }
    }

    /// A segment that is not on the disk must not count among those that tell the past, or one
    /// that does would be deleted for it. What follows is written behind the one before.
    fn not_begun(&mut self, start: u64) {
        let Some(at) = self.segments.iter().position(|segment| segment.start == start) else {
            return;
        };
        let failed = self.segments.remove(at);
        let before = at.checked_sub(1).and_then(|before| self.segments.get_mut(before));
        if let (Some(failed), Some(before)) = (failed, before) {
            before.bytes = failed.start + failed.bytes - before.start;
            before.records += failed.records;
        }
    }

    /// The journal was written.
    pub fn works(&mut self) {
        let checkpoint = self.beginning.take().is_some();
        if self.failure.take().is_some() {
            log::info!("journal: it can be written again");
            self.must_checkpoint |= !checkpoint;
        }
    }

    /// The database has everything before `through`; more than was asked for can't be.
    pub fn recorded_through(&mut self, through: u64) {
        self.recorded = self.recorded.max(through.min(self.recorded_target));
        self.note(&Entry::Recorded(self.recorded));
    }

    /// Segments that may go: all is recorded and they are not among those that tell a restarted
    /// daemon what happened lately.
    fn take_forgettable(&mut self) -> Option<u64> {
        let first = self.segments.front()?;
        let past = past_segments(self.segments.iter().rev().map(|segment| segment.bytes));
        let done = first.start + first.bytes <= self.recorded && self.segments.len() > past;
        done.then(|| self.segments.pop_front().map(|segment| segment.start)).flatten()
    }

    /// The oldest segment if all together are over the limit, and how many records go with it.
    fn take_over_limit(&mut self, limit_bytes: u64) -> Option<(u64, u64)> {
        if self.segments.len() < 2 || self.bytes() <= limit_bytes {
            return None;
        }
        let first = self.segments.pop_front()?;
        let next = self.segments.front().map_or(self.end, |segment| segment.start);
        let lost = if self.recorded < next { first.records } else { 0 };
        self.recorded = self.recorded.max(next);
        Some((first.start, lost))
    }
}

impl Core {
    /// Whether a daemon that has waited for its last run may end. The database is to know how that
    /// ended, for there may be no next daemon that could tell; one that does not answer is not
    /// waited for.
    pub(super) fn last_records_told(&mut self, now: Now) -> bool {
        let outbox = &mut self.outbox;
        if self.exiting || outbox.waiting_bytes() == 0 {
            return true;
        }
        let by_ms = *outbox.last_by_ms.get_or_insert(now.mono_ms + LAST_RECORDS_MS);
        if now.mono_ms >= by_ms || matches!(self.sync.state.database, DatabaseState::Down { .. }) {
            log::warn!("end: the last records wait in the journal for the next daemon");
            return true;
        }
        outbox.record_at = outbox.record_at.map(|_| 0);
        false
    }

    /// Begins a new segment when the last one is full, and lets the oldest ones go.
    pub(super) fn rotate_if_due(&mut self, now: Now) {
        let full = self.outbox.segments.back().is_none_or(|last| last.bytes >= SEGMENT_BYTES);
        let early = now.mono_ms < self.outbox.segment_not_before_ms;
        // A slot that is half decided is told by its intents, which a checkpoint does not repeat;
        // and a run that waits for its launch has none yet, and must not be among those alive.
        let settled = !self.busy() && !self.is_launching();
        if (full || self.outbox.must_checkpoint) && !early && settled {
            self.outbox.must_checkpoint = false;
            // It is settled what became of all that the keepers before were asked for.
            self.outbox.keepers.drain(..self.outbox.keepers.len().saturating_sub(1));
            self.begin_segment();
        }
        // Nothing goes for a segment that is not there yet: it may turn out that it can't be begun.
        if !self.outbox.pending.is_empty() {
            return;
        }
        while let Some(start) = self.outbox.take_forgettable() {
            self.actions.push_back(Action::JournalForget(start));
        }
        while let Some((start, lost)) =
            self.outbox.take_over_limit(self.settings.journal_limit_bytes)
        {
            self.counters.records_dropped += lost;
            let total = self.counters.records_dropped;
            log::error!(
                "journal over its limit: the {lost} oldest records dropped, {total} in all"
            );
            self.actions.push_back(Action::JournalForget(start));
        }
    }

    /// Begins a new segment with a checkpoint: what is needed to go on without the older ones.
    pub(super) fn begin_segment(&mut self) {
        let mut lines = Vec::new();
        encode(&mut lines, &Entry::Checkpoint);
        encode(&mut lines, &Entry::Boot(self.outbox.boot_id.as_str().into()));
        for keeper in &self.outbox.keepers {
            encode(&mut lines, &Entry::Keeper(keeper.as_str().into()));
        }
        encode(&mut lines, &Entry::Sequence(self.last_sequence));
        encode(&mut lines, &Entry::Recorded(self.outbox.recorded));
        encode(&mut lines, &Entry::Anew(self.due.anew_sequence));
        encode(&mut lines, &Entry::Decided(self.due.decided_ms));
        for (job, slot_ms) in self.slots_beyond_decided() {
            encode(&mut lines, &Entry::Slot { job, slot_ms });
        }
        for run in self.runs.values() {
            let Some(job) = self.table.get(run.job) else { continue };
            let md5 = job.def.md5_hex();
            let entry = run.entry(&job.def.name, &job.def.command, &md5, None);
            encode(&mut lines, &Entry::Carried(entry));
        }
        self.outbox.begin_segment(lines);
    }
}
