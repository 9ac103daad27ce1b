//! What the journal should have and the disk has no room for.
//!
//! The log on the disk has no holes: behind a piece that could not be written there is nothing
//! until that is there. So long everything waits in memory, each piece for its own offset. Were the
//! daemon killed then, the next one would know nothing of it; so before anything is done that
//! depends on these lines there is a *last word*, in a place that needs no more room (`last_word`).

use super::{Counters, Scheduler};
use crate::core::database::ErrorKind;
use crate::core::event::Action;
use crate::core::ids::RunId;
use crate::core::journal::{Dropped, Entry, Loss, count_records, decode};
use crate::core::plain::counted;
use crate::core::protocol::Tended;
use crate::core::time::Now;
use std::collections::{BTreeSet, VecDeque};

/// A piece that could not be written is tried again after this long, in milliseconds.
const RETRY_MS: u64 = 200;

/// Pieces are put together up to this many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// A piece of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the log it belongs.
    pub offset: u64,
    /// Whole lines.
    pub lines: Vec<u8>,
    /// There is no segment that it could be added to: it begins one.
    pub segment: bool,
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + self.lines.len() as u64
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Unwritten {
    pieces: VecDeque<Piece>,
    bytes: usize,
    limit_bytes: usize,
    /// Runs that the disk has no line of.
    unknown: BTreeSet<RunId>,
    /// Runs whose end is among the lines; the rest of them is known to the disk.
    ended: BTreeSet<RunId>,
    /// Skips among the lines.
    singles: u64,
    /// Records among the lines.
    held: u64,
    /// When the oldest piece is to be tried again, by the monotonic clock in ms.
    retry_at_ms: u64,
    /// It may be now.
    may_retry: bool,
    /// There is something that the last word does not tell.
    word_is_due: bool,
    /// Records that found no place here and were not counted yet.
    dropped: u64,
}

impl Unwritten {
    /// Nothing waits; so many bytes may.
    pub(super) fn new(limit_bytes: usize) -> Unwritten {
        Unwritten { limit_bytes, ..Unwritten::default() }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// What waits, the oldest first.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    /// The offset of the first line that waits.
    pub(super) fn start(&self) -> Option<u64> {
        self.pieces.front().map(|piece| piece.offset)
    }

    /// When the oldest piece is to be tried again, by the monotonic clock in ms.
    pub(super) fn retry_at_ms(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.retry_at_ms)
    }

    /// The oldest piece may be tried again, if it is time.
    pub(super) fn look(&mut self, now: Now) {
        self.may_retry |= now.mono_ms >= self.retry_at_ms;
    }

    /// It may be, whatever the time: there will be no other.
    pub(super) fn look_at_once(&mut self) {
        self.may_retry = true;
    }

    /// The oldest piece, if it may be tried now. It stays here until [`Unwritten::written`].
    pub(super) fn retry(&mut self) -> Option<Piece> {
        let piece = self.pieces.front().filter(|_| self.may_retry).cloned();
        self.may_retry = false;
        piece
    }

    /// The oldest piece is on the disk: the next one may follow at once.
    pub(super) fn written(&mut self) {
        let Some(piece) = self.pieces.pop_front() else { return };
        self.may_retry = true;
        // What it said was lost is not, even where a gap before keeps it.
        self.word_is_due = true;
        self.left(&piece, true);
    }

    /// A piece could not be written.
    pub(super) fn failed(&mut self, now: Now) {
        self.may_retry = false;
        self.retry_at_ms = now.mono_ms + RETRY_MS;
    }

    /// Takes what could not be written, or waits behind that. Returns how many records had to go
    /// for it; none where nothing had to.
    pub(super) fn keep(&mut self, piece: Piece) -> Option<u64> {
        self.bytes += piece.lines.len();
        self.held += count_records(&piece.lines);
        self.word_is_due = true;
        for line in piece.lines.split(|&byte| byte == b'\n') {
            match decode(line) {
                Some(Entry::Run(run)) if run.pid == 0 && run.end.is_none() => {
                    self.unknown.insert(run.run);
                }
                Some(Entry::Run(run)) if run.end.is_some() && !self.unknown.contains(&run.run) => {
                    self.ended.insert(run.run);
                }
                Some(Entry::Skip(_) | Entry::Act(_)) => self.singles += 1,
                _ => {}
            }
        }
        let most = PIECE_BYTES.min(self.limit_bytes / 8);
        let fits = |last: &&mut Piece| {
            last.end() == piece.offset && last.lines.len() + piece.lines.len() <= most
        };
        // The first one may be on its way to the disk as it is.
        let last = if self.pieces.len() > 1 { self.pieces.back_mut().filter(fits) } else { None };
        match last {
            Some(last) => last.lines.extend_from_slice(&piece.lines),
            None => self.pieces.push_back(piece),
        }
        let (before, mut any) = (self.dropped, false);
        while self.bytes > self.limit_bytes && self.drop_oldest() {
            any = true;
        }
        any.then(|| self.dropped - before)
    }

    fn drop_oldest(&mut self) -> bool {
        if self.pieces.len() < 2 {
            return false;
        }
        let Some(piece) = self.pieces.pop_front() else { return false };
        self.dropped += count_records(&piece.lines);
        self.left(&piece, false);
        if let Some(next) = self.pieces.front_mut() {
            next.segment |= piece.segment;
        }
        true
    }

    /// A piece is here no more; `written`: it is on the disk, and the disk knows its runs. Of those
    /// whose end was dropped there is nothing left to be told.
    fn left(&mut self, piece: &Piece, written: bool) {
        self.bytes -= piece.lines.len();
        self.held -= count_records(&piece.lines);
        for line in piece.lines.split(|&byte| byte == b'\n') {
            match decode(line) {
                Some(Entry::Run(run)) if written || run.end.is_some() => {
                    self.unknown.remove(&run.run);
                    if run.end.is_some() {
                        self.ended.remove(&run.run);
                    }
                }
                Some(Entry::Carried(run)) if written => {
                    self.unknown.remove(&run.run);
                }
                Some(Entry::Skip(_) | Entry::Act(_)) => self.singles -= 1,
                _ => {}
            }
        }
    }

    /// Runs that are alive are known by a checkpoint that is on the disk.
    pub(super) fn told_anew(&mut self) {
        if self.is_empty() {
            self.unknown.clear();
        }
    }

    /// There is something that the last word does not tell.
    pub(super) fn word_is_due(&mut self) {
        self.word_is_due = true;
    }

    /// How many records wait.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Records that were dropped since this was asked for the last time.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// How many records the database would never hear of if the daemon were killed now.
    pub(super) fn records(&self) -> u64 {
        self.unknown.len() as u64 + self.singles
    }

    /// Runs that the disk knows to be alive, and whose end is here.
    pub(super) fn ended(&self) -> impl Iterator<Item = RunId> {
        self.ended.iter().copied()
    }

    /// Whether the disk has a line of this run, as far as this is about it.
    pub(super) fn knows(&self, run: RunId) -> bool {
        !self.unknown.contains(&run)
    }

    /// Whether there was something that the last word does not tell.
    pub(super) fn take_word_is_due(&mut self) -> bool {
        std::mem::take(&mut self.word_is_due)
    }
}

impl Scheduler {
    /// What the journal is to be told next; behind it the last word, where that can't be done.
    pub(super) fn flush_journal(&mut self) -> Option<Action> {
        // What a gap has swallowed no line behind it tells.
        let first = self.outbox.gap_until().and_then(|_| self.last_word());
        // In the same breath as how many there are: a kill in between would leave them uncounted.
        if self.count_missing(self.outbox.looked_ms) {
            self.outbox.note(&self.dropped_entry());
        }
        let action = first.or_else(|| self.outbox.flush());
        let dropped = self.outbox.unwritten.take_dropped();
        if dropped > 0 {
            self.records_dropped(dropped, Loss::Room);
        }
        action.or_else(|| self.last_word())
    }

    /// So many records will never be in the database.
    pub(super) fn records_dropped(&mut self, count: u64, why: Loss) {
        self.counters.dropped(count, why, self.outbox.looked_ms);
        self.touch_daemon();
        self.outbox.note(&self.dropped_entry());
    }

    /// Counts records that are not where they were written. The journal is yet to be told. Returns
    /// whether there are some.
    pub(super) fn count_missing(&mut self, now_ms: i64) -> bool {
        let missing = std::mem::take(&mut self.outbox.missing);
        if missing > 0 {
            self.counters.dropped(missing, Loss::Gone, now_ms);
            self.touch_daemon();
        }
        missing > 0
    }

    pub(super) fn dropped_entry(&self) -> Entry<'static> {
        let Counters { records_dropped: count, .. } = self.counters;
        let (at_ms, why) = (self.counters.records_dropped_ms, self.counters.records_dropped_why);
        Entry::Dropped(Dropped { count, at_ms, why })
    }

    /// How many records the database would never hear of if the daemon ended now: they are in
    /// memory alone, as the disk did not take them.
    pub fn records_unwritten(&self) -> u64 {
        if !self.outbox.needs_last_word() {
            return 0;
        }
        self.records_in_memory()
    }

    pub(super) fn records_in_memory(&self) -> u64 {
        // They count as decided, so they will not be launched by the next one either.
        let queued = self.runs.values().filter(|run| !run.intended).count() as u64;
        self.outbox.unwritten.records() + queued
    }

    /// How much room there is. Where the journal is about to need more than is kept for it, the
    /// outputs of runs go first: a helper deletes the oldest ones that there are.
    pub(in crate::core) fn room(&mut self, now: Now, full: Option<String>, is_short: bool) {
        if full != self.outbox.full {
            match &full {
                Some(why) => log::error!("{why}: the journal goes on in the room kept for it"),
                None => log::info!("the state directory has room again"),
            }
            self.outbox.full = full;
            self.touch_daemon();
        }
        if is_short && self.outbox.full.is_some() {
            self.outputs.give_way(now);
        }
    }

    /// How many records the database does not have and the next daemon would not find: they are in
    /// a journal that was taken away.
    pub fn records_astray(&self) -> u64 {
        if self.astray.is_some() { self.outbox.records_held() } else { 0 }
    }

    /// Why what counts is not where helpers look for it, if so: none is sent there then.
    pub(in crate::core) fn state_dir_astray(&mut self, why: Option<String>) {
        self.astray = why;
        self.touch_daemon();
    }

    /// Files of outputs were looked after, or could not be.
    pub(super) fn outputs_tended(
        &mut self,
        now: Now,
        failure: Option<(ErrorKind, String)>,
        tended: Option<Tended>,
    ) {
        let count = self.outputs.answered(now, failure, tended);
        if count > 0 {
            self.counters.outputs_dropped += count;
            let total = self.counters.outputs_dropped;
            let runs = counted(count, "run");
            log::warn!(
                "the disk is full: the oldest outputs, of {runs}, are deleted; {total} in all"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, Unwritten};
    use crate::core::ids::JobId;
    use crate::core::journal::{Entry, SkipEntry, SkipReason, encode};

    /// With a gap the last word counts on when all that waited is there: it must not go on calling
    /// that lost.
    #[test]
    fn what_found_room_is_told_by_another_last_word() {
        let (first_ms, last_ms) = (1_000, 1_000);
        let (job, reason) = (JobId(1), SkipReason::Overlap);
        let skip = SkipEntry { job, reason, first_ms, last_ms, count: 1, home: 0 };
        let mut lines = Vec::new();
        encode(&mut lines, &Entry::Skip(skip));
        let mut unwritten = Unwritten::new(1 << 20);
        unwritten.keep(Piece { offset: 0, lines, segment: false });
        assert!(std::mem::take(&mut unwritten.word_is_due));
        assert_eq!(unwritten.records(), 1);
        unwritten.written();
        assert!(unwritten.word_is_due);
        assert_eq!(unwritten.records(), 0);
    }
}
