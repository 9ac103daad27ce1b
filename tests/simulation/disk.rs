//! A disk that can be full, and whose journal is read back as the daemon's shell reads it.

use super::database::Rows;
use super::files::Files;
use super::ledger::LastWord;
use schedule::core::journal::{Segment, Stretch, past_segments};
use schedule::core::replay::Replay;
use schedule::core::scheduler::Kept;
use std::collections::BTreeMap;

/// The state directory.
#[derive(Default)]
pub struct Disk {
    /// Journal segments by the offset at which they begin.
    pub segments: BTreeMap<u64, Vec<u8>>,
    /// The segment that the daemon has open; gone for writes if it was deleted.
    open: Option<u64>,
    /// How many bytes it takes yet; none: as many as come.
    pub room: Option<usize>,
    /// What is kept where it needs no room.
    pub last_word: Vec<u8>,
    /// The last good snapshot.
    pub snapshot: Option<Snapshot>,
    /// The file of records that are set aside.
    pub refused: Vec<u8>,
    /// What a helper wrote for the next one.
    pub snapshot_new: Option<Snapshot>,
    /// What the last good one replaced.
    pub snapshot_old: Option<Snapshot>,
    /// No name in the directory can be made, changed or taken away; the journal, in one of its own,
    /// can be written.
    pub names_stay: bool,
    /// Those of outputs.
    pub files: Files,
    read: Read,
}

/// A snapshot, and the table it tells of.
#[derive(Clone)]
pub struct Snapshot {
    pub lines: Vec<Vec<u8>>,
    pub rows: Rows,
    /// All of the table is in it.
    pub is_whole: bool,
}

/// What the segments from `first` up to, but not including, `next` come to: they are not written
/// to any more, and to read them again for every daemon takes most of the time.
#[derive(Default)]
struct Read {
    first: u64,
    next: u64,
    replay: Replay,
}

impl Disk {
    /// One with these files of outputs.
    pub fn with(files: Files) -> Disk {
        Disk { files, ..Disk::default() }
    }

    /// Whether there is a segment to write to.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How many of so many bytes it takes; a part is written as far as it goes.
    pub fn take_room(&mut self, bytes: usize) -> usize {
        let Some(room) = &mut self.room else { return bytes };
        let taken = bytes.min(*room);
        *room -= taken;
        taken
    }

    /// Writes the first `keep` bytes of `lines`.
    pub fn write(&mut self, offset: u64, lines: &[u8], keep: usize) {
        let Some(start) = self.open else { return };
        let Some(file) = self.segments.get_mut(&start) else { return };
        let at = (offset - start) as usize;
        if keep == 0 {
            return;
        }
        file.resize(file.len().max(at + keep), 0);
        file[at..at + keep].copy_from_slice(&lines[..keep]);
    }

    /// A segment appears whole or not at all.
    pub fn begin_segment(&mut self, start: u64, lines: &[u8]) {
        self.segments.insert(start, lines.to_vec());
        self.open = Some(start);
    }

    /// Somebody takes the newest segment away, or what is in it.
    pub fn lose_newest(&mut self, how: u64) {
        let Some((start, mut file)) = self.segments.pop_last() else { return };
        match how {
            0 => return,
            1 => file.clear(),
            _ => file.fill(0),
        }
        self.segments.insert(start, file);
    }

    /// Where the log ends, as the next daemon finds it.
    pub fn end_of_lines(&self) -> u64 {
        let is_whole = |(_, file): &(&u64, &Vec<u8>)| file.last().is_some_and(|&byte| byte != 0);
        self.segments.iter().rfind(is_whole).map_or(0, |(start, file)| start + file.len() as u64)
    }

    /// The last word, if the next daemon hears it; else nothing.
    pub fn word_that_counts(&self) -> &[u8] {
        let last = self.segments.last_key_value().map_or(0, |(start, _)| *start);
        let counts = |word: LastWord| {
            word.end > self.end_of_lines() || word.until.is_some_and(|until| last <= until)
        };
        match LastWord::read(&self.last_word).is_some_and(counts) {
            true => &self.last_word,
            false => &[],
        }
    }

    /// Where the log ends.
    pub fn end(&self) -> u64 {
        self.segments.last_key_value().map_or(0, |(start, file)| start + file.len() as u64)
    }

    /// How many of the newest segments are replayed.
    pub fn past_segments(&self) -> usize {
        past_segments(self.segments.values().rev().map(|file| file.len() as u64))
    }

    /// A helper writes a snapshot, or has no room for it. Returns whether it did.
    pub fn write_snapshot(&mut self, new: Snapshot) -> bool {
        let bytes = new.lines.iter().map(|line| line.len() + 1).sum();
        self.snapshot_new = match self.names_stay && self.snapshot_new.is_none() {
            true => None,
            false if self.room.is_some_and(|room| room < bytes) => None,
            false => Some(new),
        };
        if self.snapshot.is_some() {
            self.snapshot_old = None;
        }
        self.snapshot_new.is_some()
    }

    /// Puts what a helper wrote in the place of the last good snapshot; killed in the middle of
    /// that only the first half is done. `unwritten`: why the helper wrote none.
    pub fn keep_snapshot(&mut self, is_killed: bool, unwritten: Option<String>) -> Kept {
        let why = unwritten.clone().unwrap_or("Operation not permitted".into());
        let not = |aside| Kept::Not { why, aside };
        if self.names_stay {
            return not(false);
        }
        assert_eq!(self.snapshot_new.is_none(), unwritten.is_some(), "what the helper told");
        if self.snapshot_new.is_none() {
            (self.snapshot, self.snapshot_old) = (None, None);
            return not(true);
        }
        self.snapshot_old = self.snapshot.take();
        if !is_killed {
            self.snapshot = self.snapshot_new.take();
        }
        Kept::Done
    }

    /// Opens the journal: the newest segments are replayed, torn last lines are cut off.
    pub fn open(&mut self) -> (Replay, u64, Vec<Segment>) {
        self.open = self.segments.last_key_value().map(|(start, _)| *start);
        let older = self.segments.len() - self.past_segments();
        let past = self.segments.iter_mut().skip(older);
        let mut past: Vec<(u64, &mut Vec<u8>)> = past.map(|(start, file)| (*start, file)).collect();
        let first = past.first().map_or(0, |(start, _)| *start);
        // What was read may be the last one since the one behind it was lost.
        let is_ahead = past.last().is_some_and(|(start, _)| self.read.next > *start);
        if self.read.first != first || is_ahead {
            self.read = Read { first, next: first, replay: Replay::default() };
        }
        // The last one may be written to again.
        let last = past.pop();
        let read = &mut self.read;
        for (start, file) in past {
            if start < read.next {
                continue;
            }
            replay_file(start, file, &mut read.replay);
            read.next = start + 1;
        }
        let mut replay = read.replay.clone();
        let last_start = last.as_ref().map_or(0, |(start, _)| *start);
        replay.has_last_word(&self.last_word, last_start);
        if let Some((start, file)) = last {
            replay_file(start, file, &mut replay);
        }
        let segments = self.segments.iter();
        let segments = segments.map(|(&start, file)| Segment { start, bytes: file.len() as u64 });
        (replay, self.end(), segments.collect())
    }

    /// The log from `from` up to `to`, at most about `max_bytes` in whole lines, as the helper
    /// reads it, with the offset after it.
    pub fn read_range(&self, from: u64, to: u64, max_bytes: usize) -> (Stretch, u64) {
        let mut read = Stretch::default();
        let mut at = from;
        for (&start, file) in &self.segments {
            let end = (start + file.len() as u64).min(to);
            if end <= at || start >= to {
                continue;
            }
            at = at.max(start);
            let room = (max_bytes - read.lines.len()) as u64;
            let wanted = (end - at).min(room);
            let piece = &file[(at - start) as usize..(at - start + wanted) as usize];
            let cut = at + wanted < end;
            let whole = match cut {
                true => piece.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1),
                false => piece.len(),
            };
            read.add(start, at, &piece[..whole]);
            at += whole as u64;
            if cut {
                return (read, at);
            }
        }
        (read, to)
    }
}

/// Replays a segment and cuts off what follows its last line end.
fn replay_file(start: u64, file: &mut Vec<u8>, replay: &mut Replay) {
    let whole = replay.log(start, file);
    file.truncate(whole);
}
