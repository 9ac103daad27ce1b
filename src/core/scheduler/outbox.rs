//! The journal as an outbox: what is written, when a new segment begins, which ones may go, and
//! how far the database has got. See [`crate::core::journal`] for the format.

use super::held::Held;
use super::run::Runs;
use super::unwritten::{Piece, Unwritten};
use crate::core::clock;
use crate::core::event::Action;
use crate::core::journal::{Entry, Segment, encode, past_segments};
use crate::core::time::Now;
use std::collections::{BTreeMap, VecDeque};

/// A segment that could not be begun is tried again after this long, in milliseconds.
const SEGMENT_PAUSE_MS: u64 = 1_000;

/// Lines are handed to the shell at the latest when they have this many bytes.
const FLUSH_BYTES: usize = 64 << 10;

/// Records wait about this long for others to come along, in milliseconds.
const RECORD_PAUSE_MS: u64 = 1_000;

/// What the last word knows of the log on the disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub end: u64,
    pub decided_ms: i64,
    pub sequence: u64,
}

/// What the shell was asked to write last, if it has not said how that went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    Nothing,
    /// Lines for this offset.
    Lines(u64),
    /// The segment that begins here.
    Segment(u64),
    /// Once more what waits longest.
    Again,
}

/// Where the journal stands.
pub struct Outbox {
    /// What goes before the lines: full segments and the beginnings of new ones.
    pub(super) pending: VecDeque<Action>,
    /// Lines that the shell was not given yet.
    pub(super) lines: Vec<u8>,
    /// Whether the lines must be written before anything else is done.
    pub must_flush: bool,
    /// Oldest first; the last one is being written.
    pub(super) segments: VecDeque<Segment>,
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
    pub(super) must_checkpoint: bool,
    /// No new segment is begun before this (monotonic clock, ms).
    pub(super) segment_not_before_ms: u64,
    /// What there was no room for.
    pub unwritten: Unwritten,
    /// What the last word knows.
    pub(super) said: Said,
    /// How many records the segments have for the database.
    pub(super) held: Held,
    /// Records that are not where they were written, and were not counted yet.
    pub missing: u64,
    /// What the wall clock showed in this turn, unix ms.
    pub looked_ms: i64,
    writing: Writing,
    /// The offset behind that.
    writing_end: u64,
    /// The offset behind the last line that is on the disk: a checkpoint for which there was no
    /// room is left out.
    pub(super) written_to: u64,
    /// Lines were dropped, and no checkpoint was written since.
    has_gap: bool,
    /// What was last said about a journal that can't be written.
    failure: Option<String>,
    /// Why the disk takes no more but what is kept for the journal.
    pub full: Option<String>,
}

impl Outbox {
    /// A journal that ends at `end`; there may be unrecorded entries in it.
    pub fn new(boot_id: String, recorded: u64, end: u64, segments: Vec<Segment>) -> Outbox {
        let mut segments = VecDeque::from(segments);
        // One that has nothing begins again: there are no two of one name.
        if segments.back().is_some_and(|last| last.bytes == 0 && last.start == end) {
            segments.pop_back();
        }
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
            unwritten: Unwritten::default(),
            said: Said::default(),
            held: Held::default(),
            missing: 0,
            looked_ms: 0,
            writing: Writing::Nothing,
            writing_end: end,
            written_to: end,
            has_gap: false,
            failure: None,
            full: None,
        }
    }

    /// The same, where these keepers launched, the last of them at the end.
    pub fn kept_by(self, keepers: Vec<String>) -> Outbox {
        Outbox { keepers, ..self }
    }

    /// The same, where segments had so many records. What is not there any more is missing.
    pub fn holding(mut self, counts: BTreeMap<u64, u64>) -> Outbox {
        self.held = Held::told_by(counts.clone());
        for start in counts.into_keys() {
            if self.segments.iter().all(|segment| segment.start != start) {
                self.missing += self.held.remove(start);
            }
        }
        self
    }

    /// The same, where so many bytes may wait in memory.
    pub fn waiting_up_to(self, limit_bytes: usize) -> Outbox {
        Outbox { unwritten: Unwritten::new(limit_bytes), ..self }
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
        if self.must_checkpoint {
            self.note_keeper();
        }
    }

    /// Where it is settled what became of all that the keepers before were asked for, they need
    /// not be known any more: a keeper knows a bounded number of those before it.
    pub(super) fn forget_keepers(&mut self, runs: &Runs) {
        if self.keepers.len() > 1 && !runs.has_open_intent() {
            self.keepers.drain(..self.keepers.len() - 1);
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
        if entry.is_record() {
            self.held.add(self.end, 1);
        }
        self.note(entry);
        self.record_at
            .get_or_insert_with(|| clock::between_slots(now, now.mono_ms + RECORD_PAUSE_MS));
    }

    /// What is not written yet, the oldest first; nothing while that has to wait.
    pub fn flush(&mut self) -> Option<Action> {
        if let Some(piece) = self.unwritten.retry() {
            self.writing = Writing::Again;
            let Piece { offset, lines, segment } = piece;
            self.writing_end = offset + lines.len() as u64;
            return Some(match segment {
                true => Action::JournalSegment(offset, lines),
                false => Action::Journal(offset, lines),
            });
        }
        if !self.unwritten.is_empty() {
            self.wait_behind();
            return None;
        }
        let action = self.pending.pop_front().or_else(|| {
            self.must_flush = false;
            self.take_lines()
        })?;
        (self.writing, self.writing_end) = match &action {
            Action::JournalSegment(start, lines) => {
                (Writing::Segment(*start), start + lines.len() as u64)
            }
            Action::Journal(offset, lines) => {
                (Writing::Lines(*offset), offset + lines.len() as u64)
            }
            _ => (Writing::Nothing, self.written_to),
        };
        Some(action)
    }

    /// Everything new waits behind what could not be written.
    fn wait_behind(&mut self) {
        self.must_flush = false;
        while let Some(action) = self.pending.pop_front() {
            match action {
                Action::JournalSegment(start, lines) => {
                    self.keep_segment(start, lines);
                }
                Action::Journal(offset, lines) => {
                    self.keep(Piece { offset, lines, segment: false });
                }
                _ => {}
            }
        }
        if let Some(Action::Journal(offset, lines)) = self.take_lines() {
            self.keep(Piece { offset, lines, segment: false });
        }
    }

    fn keep(&mut self, piece: Piece) {
        // What was dropped is told again by a checkpoint, and till then by the last word.
        if let Some(dropped) = self.unwritten.keep(piece) {
            self.held.dropped(dropped);
            self.must_checkpoint = true;
            self.has_gap = true;
        }
    }

    /// Where there is a gap: the last segment that is on the disk. The next one begins with all
    /// that counts.
    pub fn gap_until(&self) -> Option<u64> {
        let is_to_come = |start| {
            let is = |it: &Action| matches!(it, Action::JournalSegment(at, _) if *at == start);
            self.pending.iter().any(is)
        };
        let mut starts = self.segments.iter().rev().map(|segment| segment.start);
        self.has_gap.then(|| starts.find(|start| !is_to_come(*start)).unwrap_or(0))
    }

    /// Whether there is something that the log on the disk does not tell.
    pub(super) fn needs_last_word(&self) -> bool {
        !self.unwritten.is_empty() || self.gap_until().is_some()
    }

    /// A segment could not be begun. What follows goes behind the one before, and its checkpoint
    /// is left out: half of one would be worse than none.
    fn keep_segment(&mut self, start: u64, lines: Vec<u8>) {
        match self.not_begun(start) {
            true => self.keep(Piece { offset: start, lines, segment: true }),
            false => {
                self.must_checkpoint = true;
                self.has_gap = true;
                self.unwritten.word_is_due();
            }
        }
    }

    /// Goes on with what the program before could not write. The replay knows its records.
    pub fn take_over(&mut self, unwritten: &[(u64, String)]) {
        for (offset, lines) in unwritten {
            let lines = lines.as_bytes().to_vec();
            self.keep(Piece { offset: *offset, lines, segment: false });
        }
        if !unwritten.is_empty() {
            self.failure = Some("the program before had no room for it".into());
        }
    }

    /// What is in memory alone, each piece with its offset.
    pub fn in_memory(&self) -> Vec<(u64, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut pieces: Vec<(u64, String)> =
            self.unwritten.pieces().map(|piece| (piece.offset, text(&piece.lines))).collect();
        for action in &self.pending {
            if let Action::Journal(offset, lines) = action {
                pieces.push((*offset, text(lines)));
            }
        }
        if !self.lines.is_empty() {
            pieces.push((self.end - self.lines.len() as u64, text(&self.lines)));
        }
        pieces
    }

    /// The offset up to which the log is on the disk, or about to be written.
    pub fn written_end(&self) -> u64 {
        self.unwritten.start().unwrap_or(self.end)
    }

    /// Whether there is nothing on the disk that the database could be told.
    pub fn must_wait(&self) -> bool {
        !self.unwritten.is_empty() && self.recorded >= self.written_end()
    }

    /// Whether what was handed over last may not be on the disk yet.
    pub(super) fn is_being_written(&self) -> bool {
        self.writing != Writing::Nothing
    }

    /// How many records stand behind [`Outbox::written_end`].
    pub(super) fn records_in_memory(&self) -> u64 {
        if self.unwritten.is_empty() { 0 } else { self.not_on_disk() }
    }

    fn take_lines(&mut self) -> Option<Action> {
        let offset = self.end - self.lines.len() as u64;
        (!self.lines.is_empty()).then(|| Action::Journal(offset, std::mem::take(&mut self.lines)))
    }

    pub(super) fn begin_segment(&mut self, checkpoint: Vec<u8>) {
        let lines = self.take_lines();
        self.pending.extend(lines);
        let (start, bytes) = (self.end, checkpoint.len() as u64);
        self.end += bytes;
        self.segments.push_back(Segment { start, bytes });
        self.held.begun(start);
        self.pending.push_back(Action::JournalSegment(start, checkpoint));
        self.must_flush = true;
    }

    /// The offset of the log after all entries.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of the journal that the database is still to be told of; 0 if it knows all there is.
    pub fn waiting_bytes(&self) -> u64 {
        let waits = self.record_at.is_some()
            || self.recorded < self.recorded_target
            || !self.unwritten.is_empty();
        if waits { self.end - self.recorded } else { 0 }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Whether everything that was handed over is on the disk, or is told again by a checkpoint
    /// that is.
    pub fn is_whole(&self) -> bool {
        !self.has_hole() && self.pending.is_empty() && self.unwritten.is_empty()
    }

    /// Whether something that was handed over could not be written, and no checkpoint tells it.
    pub fn has_hole(&self) -> bool {
        self.failure.is_some() || self.must_checkpoint
    }

    /// Whether all that was handed over, and was not left out, is on the disk.
    pub fn is_written(&self) -> bool {
        self.failure.is_none() && self.unwritten.is_empty()
    }

    /// Why the journal can't be written, or only in the room that is kept for it.
    pub fn error(&self) -> Option<&str> {
        self.failure.as_deref().or(self.full.as_deref())
    }

    /// The journal could not be written: the lines wait. Jobs go on: a full disk must not stop
    /// them.
    pub fn failed(&mut self, now: Now, why: String, lines: Vec<u8>) {
        match std::mem::replace(&mut self.writing, Writing::Nothing) {
            Writing::Nothing | Writing::Again => {}
            Writing::Lines(offset) => self.keep(Piece { offset, lines, segment: false }),
            Writing::Segment(start) => {
                self.segment_not_before_ms = now.mono_ms + SEGMENT_PAUSE_MS;
                self.keep_segment(start, lines);
            }
        }
        // A helper that is under way finds no more than that.
        self.recorded_target = self.recorded_target.min(self.written_end());
        self.held.ask_no_more_than_written(self.records_in_memory());
        self.unwritten.failed(now);
        // The last word goes before all that depends on these lines.
        self.must_flush = true;
        if self.failure.as_deref() != Some(&why) {
            log::error!("journal: {why}: what is to be remembered waits in memory until it can");
            self.failure = Some(why);
        }
    }

    /// A segment that is not on the disk must not count among those that tell the past, or one
    /// that does would be deleted for it. Returns whether there is none before it.
    fn not_begun(&mut self, start: u64) -> bool {
        let Some(at) = self.segments.iter().position(|segment| segment.start == start) else {
            return false;
        };
        if at == 0 {
            return true;
        }
        let failed = self.segments.remove(at);
        if let (Some(failed), Some(before)) = (failed, self.segments.get_mut(at - 1)) {
            before.bytes = failed.start + failed.bytes - before.start;
            let records = self.held.remove(start);
            self.held.add(before.start, records);
        }
        false
    }

    /// The journal was written. Returns whether that is news.
    pub fn works(&mut self) -> bool {
        let writing = std::mem::replace(&mut self.writing, Writing::Nothing);
        if writing == Writing::Again {
            self.unwritten.written();
        }
        if let Writing::Segment(start) = writing {
            self.has_gap = false;
            self.unwritten.told_anew();
            self.ends_before(start);
        }
        self.written_to = self.writing_end;
        let news = self.unwritten.is_empty() && self.failure.take().is_some();
        if news {
            log::info!("journal: it can be written again, and all that waited is there");
            self.must_checkpoint = true;
            self.record_at.get_or_insert(0);
        }
        news
    }

    /// The database has everything before `through`; more than was asked for can't be.
    pub fn recorded_through(&mut self, through: u64, found: Option<&[(u64, u64)]>) {
        let all = through >= self.recorded_target;
        let (missing, entries) = self.held.carried(found, through, all);
        self.missing += missing;
        self.must_flush |= missing > 0;
        // Before the line that tells how far it is: the other way round a kill in between would
        // have them looked for where nobody looks again.
        entries.iter().for_each(|entry| self.note(entry));
        let recorded = self.recorded.max(through.min(self.recorded_target));
        if recorded > self.recorded {
            self.recorded = recorded;
            self.note(&Entry::Recorded(recorded));
        }
    }

    /// Segments that may go: all is recorded and they are not among those that tell a restarted
    /// daemon what happened lately.
    pub(super) fn take_forgettable(&mut self) -> Option<u64> {
        let first = self.segments.front()?;
        let past = past_segments(self.segments.iter().rev().map(|segment| segment.bytes));
        let done = first.start + first.bytes <= self.recorded && self.segments.len() > past;
        let gone = done.then(|| self.segments.pop_front()).flatten()?;
        self.held.remove(gone.start);
        Some(gone.start)
    }

    /// The oldest segment if all together are over the limit, and from which offset on it has
    /// what the database does not know.
    pub(super) fn take_over_limit(&mut self, limit_bytes: u64) -> Option<(u64, u64)> {
        if self.segments.len() < 2 || self.bytes() <= limit_bytes {
            return None;
        }
        let first = self.segments.pop_front()?;
        let next = self.segments.front().map_or(self.end, |segment| segment.start);
        let from = self.recorded;
        self.recorded = self.recorded.max(next);
        Some((first.start, from))
    }
}
