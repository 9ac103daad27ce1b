//! The last word: what the next daemon is told beside the log, in a place that needs no room.
//!
//! It says up to when every slot counts as decided, so that none is started twice, and how many
//! records there were. While the journal can't be written it goes before all that depends on lines
//! that are in memory alone. And it is there for the case that somebody takes lines away while no
//! daemon looks: it says how far the log on the disk has come, so that is noticed. For that it is
//! said again before runs are launched that it does not know of, once for all of an instant, and at
//! the end of each turn in which lines were written, before the keeper forgets what they tell.

use super::outbox::{Outbox, Said};
use super::{Run, Scheduler};
use crate::core::event::Action;
use crate::core::ids::RunId;
use crate::core::journal::{Entry, MAX_WORD_BYTES, SAID_BYTES, count_records, cut_command, encode};

/// Bytes of an id of a run in the last word, its quotes and comma included.
const NAMED_BYTES: usize = 24;

/// Bytes of a line there without what it says.
const LINE_BYTES: usize = 32;

impl Outbox {
    /// Whether all that was handed over is on the disk, and tells all that counts.
    fn is_at_rest(&self) -> bool {
        self.unwritten.is_empty() && self.pending.is_empty() && !self.is_being_written()
    }

    /// How many records stand behind what is on the disk.
    pub(super) fn not_on_disk(&self) -> u64 {
        let pending = self.pending.iter().map(|action| match action {
            Action::Journal(_, lines) => count_records(lines),
            _ => 0,
        });
        self.unwritten.held() + pending.sum::<u64>() + count_records(&self.lines)
    }
}

impl Scheduler {
    /// The last word where the journal can't be written or has a gap, if there is something that
    /// it does not tell.
    pub(super) fn last_word(&mut self) -> Option<Action> {
        let outbox = &mut self.outbox;
        if !outbox.needs_last_word() || !outbox.unwritten.take_word_is_due() {
            return None;
        }
        // It does not say how far the log on the disk has come: that is said when all is there.
        let (sequence, decided_ms) = (self.last_sequence, self.decided_most());
        self.outbox.said = Said { end: 0, decided_ms, sequence };
        Some(Action::LastWord(self.word()))
    }

    /// The same if what is launched next is not known to it: also where lines are missing before
    /// those that tell of it, and these are on the disk. Somebody may take them away.
    pub(super) fn word_before_launch(&mut self) -> Option<Action> {
        let said = &self.outbox.said;
        let knows = said.sequence == self.last_sequence && said.decided_ms == self.decided_most();
        if knows {
            return None;
        }
        if self.outbox.gap_until().is_some() {
            self.outbox.unwritten.word_is_due();
            return self.last_word();
        }
        self.word_at_rest()
    }

    /// The same at the end of a turn in which lines were written.
    pub(super) fn word_at_rest(&mut self) -> Option<Action> {
        if !self.outbox.is_at_rest() || self.outbox.gap_until().is_some() {
            return None;
        }
        let (sequence, decided_ms) = (self.last_sequence, self.decided_most());
        self.outbox.said = Said { end: self.outbox.written_to, decided_ms, sequence };
        Some(Action::LastWord(self.word()))
    }

    /// In the middle of a turn some slots up to this instant may not be decided yet.
    fn decided_most(&self) -> i64 {
        self.due.decided_ms.max(self.due.last_slot_ms)
    }

    fn word(&self) -> Vec<u8> {
        let outbox = &self.outbox;
        let records = self.records_in_memory();
        let known = |run: &&Run| run.intended && outbox.unwritten.knows(run.id);
        // To the disk a run lives until that has its end.
        let living = self.runs.values().filter(known).map(|run| run.id);
        let living: Vec<RunId> = living.chain(outbox.unwritten.ended()).collect();
        let mut word = Vec::new();
        let until = outbox.gap_until();
        // The block has room for no more.
        let why = cut_command(outbox.error().unwrap_or_default()).into();
        let end = if outbox.is_at_rest() { outbox.written_to } else { outbox.end() };
        encode(&mut word, &Entry::Unwritten { end, until, records, why });
        encode(&mut word, &Entry::Boot(outbox.boot_id.as_str().into()));
        encode(&mut word, &Entry::Sequence(self.last_sequence));
        encode(&mut word, &Entry::Anew(self.due.anew_sequence));
        encode(&mut word, &Entry::Decided(self.decided_most()));
        encode(&mut word, &Entry::Recorded(outbox.recorded));
        encode(&mut word, &self.dropped_entry());
        self.refused.entry().iter().for_each(|entry| encode(&mut word, entry));
        let segment = outbox.segments.back().map_or(0, |segment| segment.start);
        let live = living.len() as u64;
        encode(&mut word, &Entry::Written { segment, end: outbox.written_to, live });
        self.snapshot.entry().iter().for_each(|entry| encode(&mut word, entry));
        outbox.held.last_said(outbox.not_on_disk()).iter().for_each(|it| encode(&mut word, it));
        let mut pauses = Vec::new();
        encode(&mut pauses, &self.pauses.of_word());
        let other = word.len() + pauses.len() + LINE_BYTES + SAID_BYTES;
        let room = MAX_WORD_BYTES.saturating_sub(other) / NAMED_BYTES;
        encode(&mut word, &Entry::Living(living.into_iter().take(room).collect()));
        // The last line, for an earlier version reads no further.
        word.append(&mut pauses);
        word
    }
}
