//! Reading the journal again: what an earlier daemon left.

use crate::core::custody::Machine;
use crate::core::history::PastRun;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{
    ActEntry, Cause, Dropped, Entry, FIRST_ATTEMPT, Loss, PauseEntry, RunEntry, SkipEntry, Stand,
    TableEntry, count_first, decode, whole_lines,
};
use crate::core::keeping::Notice;
use crate::core::plain::counted;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Ended runs that a replay keeps for the history of the pages.
const MAX_REPLAYED_ENDS: usize = 20_000;

/// Acts that a replay keeps.
const MAX_REPLAYED_ACTS: usize = 1_000;

/// What a replayed segment comes to.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Runs that had not ended.
    pub live: BTreeMap<RunId, RunEntry<'static>>,
    /// Runs that ended, oldest first; the last 20,000.
    pub ended: VecDeque<(JobId, PastRun)>,
    /// Skipped slots, by job and first slot.
    pub skips: BTreeMap<(JobId, i64), SkipEntry>,
    /// Every slot up to this instant, unix ms, is decided. None: nothing tells.
    pub decided_ms: Option<i64>,
    /// Last slot of each job that has an intent or a skip since the schedule last began again.
    pub last_slots: BTreeMap<JobId, i64>,
    /// Highest sequence of a run id.
    pub last_sequence: u64,
    /// The same when the schedule last began again.
    pub anew_sequence: u64,
    /// What somebody did, oldest first; the last 1,000.
    pub acts: VecDeque<ActEntry>,
    /// Changes that were asked for, and it is not known what came of them.
    pub asked: BTreeMap<RunId, ActEntry>,
    /// Pauses of tags and of all jobs; some may have ended.
    pub pauses: Vec<PauseEntry>,
    /// The table that was in force last.
    pub table: Option<TableEntry<'static>>,
    /// The last boot seen.
    pub boot_id: String,
    /// The databases that entries may be for, the latest at the end.
    pub homes: Vec<String>,
    /// The keepers that were asked for runs which may or may not have begun, the last one at the
    /// end.
    pub keepers: Vec<String>,
    /// Everything before this offset is in the database.
    pub recorded: u64,
    /// Records that were dropped.
    pub dropped: Dropped,
    /// Records that the database did not have, by segment; none is told of those that an earlier
    /// version wrote.
    pub held: BTreeMap<u64, u64>,
    /// How what is set aside stood; none: an earlier version did not say.
    pub set_aside: Option<Stand>,
    /// Lines that could not be read.
    pub bad_lines: u64,
    /// A last word that may still count.
    word: Option<Word>,
    /// One that counts calls all up to this instant decided, unix ms. It is ahead of the lines
    /// about it in the middle of a turn.
    word_ms: Option<i64>,
    /// Records that it tells of, and why there was no place for them.
    lost: (u64, String),
    /// The offset after the last line of the log.
    lines_end: u64,
    /// Lines of the segment that was read last could not be, or there were zeros between them.
    is_damaged: bool,
    /// Somebody took lines away, and runs that only they told of are among those that are lost.
    is_cut: bool,
    /// Those runs, but for what is in `lost`: the last word names no more than it has room for.
    missed: BTreeSet<RunId>,
    /// All that it names, and those that were found since.
    named: BTreeSet<RunId>,
    /// The highest sequence of a run that it can count.
    word_sequence: u64,
    /// Runs and skips that are on the disk behind what the last word knew to be there.
    told_since: u64,
}

/// Stands for keepers that only lines which are gone told of. No keeper has this name: what they
/// were asked for can't be told.
const UNKNOWN_KEEPER: &str = "?";

/// What a daemon said beside its journal.
#[derive(Clone, Debug)]
struct Word {
    lines: Vec<u8>,
    /// Where the log ended then.
    end: u64,
    /// There was a gap then, and it is not known that it was filled.
    has_gap: bool,
    /// What was dropped then is nowhere else.
    is_missing: bool,
}

impl Word {
    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.lines.split(|&byte| byte == b'\n').map_while(decode)
    }

    /// Where the newest segment began on the disk, where it ended, and how many runs that it told
    /// of were alive; none: an earlier version did not say.
    fn written(&self) -> Option<(u64, u64, u64)> {
        self.entries().find_map(|entry| match entry {
            Entry::Written { segment, end, live } => Some((segment, end, live)),
            _ => None,
        })
    }
}

impl Replay {
    /// What a journal comes to that tells of this boot, and that everything before this offset is
    /// in the database, and of nothing else.
    pub fn idle(boot_id: &str, recorded: u64) -> Replay {
        Replay { boot_id: boot_id.to_owned(), recorded, ..Replay::default() }
    }

    /// Takes in one line (without its line end).
    pub fn line(&mut self, line: &[u8]) {
        match decode(line) {
            Some(entry) => self.entry(entry),
            None => self.bad_lines += 1,
        }
    }

    fn entry(&mut self, entry: Entry<'_>) {
        if entry.is_record()
            && let Some(mut last) = self.held.last_entry()
        {
            *last.get_mut() += 1;
        }
        match entry {
            Entry::Checkpoint => {
                self.live.clear();
                self.asked.clear();
                self.keepers.clear();
                self.homes.clear();
                self.held.clear();
                self.set_aside = None;
                self.table = None;
                self.pauses.clear();
            }
            Entry::Boot(id) => self.boot_id = id.into_owned(),
            Entry::Home(place) => self.homes.push(place.into_owned()),
            Entry::Keeper(id) => self.keepers.push(id.into_owned()),
            Entry::Run(run) => self.asked(run),
            Entry::Carried(run) => self.run(run),
            Entry::Skip(skip) => {
                self.slot_decided(skip.job, skip.last_ms);
                self.skips.insert((skip.job, skip.first_ms), skip);
            }
            Entry::Asked(act) => {
                self.last_sequence = self.last_sequence.max(act.id.sequence);
                self.asked.insert(act.id, *act);
            }
            Entry::Act(act) => self.act(*act),
            Entry::Pauses(pauses) => self.pauses = pauses,
            Entry::Decided(at) => {
                // It goes back only then, should the other line have been lost.
                if self.decided_ms.is_some_and(|before| at < before) {
                    // Runs that were decided before it may be intended after it: the line that
                    // tells of it knows them, too.
                    self.anew(self.last_sequence);
                }
                self.decided_ms = Some(at);
            }
            Entry::Table(table) => self.table = Some(table.into_owned()),
            Entry::Anew(sequence) => {
                self.anew(sequence);
                // What was decided by a clock that was wrong counts no more, even where the line
                // behind, which tells how far deciding has come since, was cut off.
                self.decided_ms = None;
            }
            Entry::Slot { job, slot_ms } => self.slot_decided(job, slot_ms),
            Entry::Sequence(last) => self.last_sequence = self.last_sequence.max(last),
            Entry::Recorded(offset) => self.recorded = self.recorded.max(offset),
            Entry::Dropped(dropped) if dropped.count < self.dropped.count => {}
            Entry::Dropped(dropped) => self.dropped = dropped,
            Entry::Held { segment, records } => {
                self.held.insert(segment, records);
            }
            Entry::SetAside(stand) => self.set_aside = Some(stand),
            // No lines of the log.
            Entry::Unwritten { .. } | Entry::Written { .. } | Entry::Living(_) | Entry::Said(_) => {
            }
        }
    }

    /// There is a last word, and the last segment of the log begins at `last`. It is a line of the
    /// log like any other, whose place is where the log ended when it was said: lines before it are
    /// older, lines behind it are newer. Of several the latest counts.
    pub fn has_last_word(&mut self, word: &[u8], last: u64) {
        let first = word.split(|&byte| byte == b'\n').next().and_then(decode);
        let Some(Entry::Unwritten { end, until, .. }) = first else { return };
        if self.word.as_ref().is_some_and(|before| before.end >= end) {
            return;
        }
        let is_missing = until.is_some_and(|until| last <= until);
        let has_gap = until.is_some();
        self.word = Some(Word { lines: word.to_vec(), end, has_gap, is_missing });
    }

    /// There is no last word, and there should be one: somebody took it away. What it said of slots
    /// is not known, so none up to now is started.
    pub fn misses_last_word(&mut self, now_ms: i64) {
        self.does_not_know(now_ms);
        log::error!(
            "journal: somebody took its last word away: no slot before this start is launched, \
             and records that were in memory alone are missed without being counted"
        );
    }

    /// A daemon may have worked until then (unix ms) with another journal, for this reason. What it
    /// decided is not known, nor what it launched. To be called when all is replayed.
    pub fn is_of_before(&mut self, until_ms: i64, why: &str) {
        self.does_not_know(until_ms);
        log::error!(
            "journal: {why}: no slot before that is launched, or called missed, for a daemon may \
             have launched it with another journal; records that only that one has are not in the \
             database"
        );
    }

    fn does_not_know(&mut self, until_ms: i64) {
        self.decided_ms = self.decided_ms.max(Some(until_ms));
        self.keepers.push(UNKNOWN_KEEPER.into());
    }

    /// Takes in what is at this offset of the log, but for a last line that is torn. Returns how
    /// many bytes that was.
    pub fn log(&mut self, offset: u64, bytes: &[u8]) -> usize {
        let bad_lines = self.bad_lines;
        let since = self.word.as_ref().and_then(Word::written).map_or(u64::MAX, |(_, end, _)| end);
        let behind = usize::try_from(since.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.told_since += bytes.get(behind..).map_or(0, count_first);
        let whole = self.log_and_word(offset, bytes);
        if whole > 0 {
            self.lines_end = offset + whole as u64;
        }
        let has_zeros = memchr::memchr(0, &bytes[..whole]).is_some();
        self.is_damaged = has_zeros || self.bad_lines > bad_lines;
        whole
    }

    fn log_and_word(&mut self, offset: u64, bytes: &[u8]) -> usize {
        let after = offset + bytes.len() as u64;
        let Some(word) = self.word.take_if(|word| word.is_missing && word.end < after) else {
            return self.lines(bytes);
        };
        // A line behind it may seem to begin before it: with a hole that nobody filled.
        let near = usize::try_from(word.end.saturating_sub(offset)).unwrap_or(0);
        let older = self.lines(&bytes[..near]);
        self.heard(&word);
        older + self.lines(&bytes[older..])
    }

    fn lines(&mut self, bytes: &[u8]) -> usize {
        let (lines, whole) = whole_lines(bytes);
        lines.for_each(|line| self.line(line));
        whole
    }

    /// The log ends here. Returns where it goes on: what was lost may have been told to others by
    /// its offset, so none is given twice.
    pub fn log_ends(&mut self, end: u64) -> u64 {
        let Some(word) = self.word.take() else {
            self.decided_ms = self.decided_ms.max(self.word_ms.take());
            return end;
        };
        let is_damaged = self.is_damaged && !word.has_gap && word.end >= end;
        let is_short = |written: u64| self.lines_end < written;
        let cut = word.written().filter(|(_, written, _)| is_short(*written) || is_damaged);
        // Else all of it was written after all, and is there.
        if word.is_missing || word.end > end || cut.is_some() {
            self.heard(&word);
        }
        self.decided_ms = self.decided_ms.max(self.word_ms.take());
        if let Some((segment, _, live)) = cut {
            self.was_cut(&word, segment, live);
        }
        end.max(word.end)
    }

    /// Somebody took lines away that the disk had. How many records the segments had the last word
    /// knows; what is not found of them is counted, as where that is done under a daemon.
    fn was_cut(&mut self, word: &Word, segment: u64, live: u64) {
        self.held.clear();
        for entry in word.entries() {
            match entry {
                Entry::Held { segment, records } => _ = self.held.insert(segment, records),
                Entry::Recorded(offset) => self.recorded = self.recorded.max(offset),
                Entry::Living(runs) => self.named = runs.into_iter().collect(),
                Entry::Sequence(last) => self.word_sequence = last,
                _ => {}
            }
        }
        self.missed.clone_from(&self.named);
        self.keepers.push(UNKNOWN_KEEPER.into());
        self.is_cut = true;
        self.lost.0 += live - (self.missed.len() as u64).min(live);
        let ended: BTreeSet<RunId> = self.ended.iter().map(|(_, past)| past.run).collect();
        self.missed.retain(|run| !self.live.contains_key(run) && !ended.contains(run));
        self.lost.1 = format!("{segment:020}.log was removed, cut or damaged without a daemon");
        let (_, why) = &self.lost;
        log::error!("journal: {why}: no slot is started twice, what is missing is counted");
    }

    /// A keeper has a run that is alive, so that its end will be told. Where the last word did not
    /// name it, it is one of those that it only counted, whether the log still tells of it or not.
    fn is_kept(&mut self, run: RunId) {
        if !self.is_cut {
            return;
        }
        self.missed.remove(&run);
        if run.sequence <= self.word_sequence && self.named.insert(run) {
            self.lost.0 = self.lost.0.saturating_sub(1);
        }
    }

    /// Runs that the keeper has and the journal does not know, for it was removed: they count
    /// against the limit of their job, can be stopped, and their end is told. Which job it is they
    /// have in their environment.
    pub fn knows_kept(&mut self, notices: &[Notice], machine: &mut impl Machine) {
        for notice in notices {
            let Notice::Started(run, started) = notice else { continue };
            self.is_kept(*run);
            let known =
                self.live.contains_key(run) || self.ended.iter().any(|(_, past)| past.run == *run);
            // A keeper of an earlier version calls runs by other names.
            let is_named = !known && run.instance != 0;
            let Some(job) = is_named.then(|| machine.job_of(*started)).flatten() else { continue };
            let pid = started.pid;
            log::warn!("run={run} job={job} pid={pid} is alive and was not in the journal");
            let entry = RunEntry {
                run: *run,
                job,
                slot_ms: None,
                cause: Cause::Manual,
                attempt: FIRST_ATTEMPT,
                at_ms: started.at.wall_ms,
                name: "".into(),
                command: "".into(),
                md5: "".into(),
                concurrent: 1,
                pid,
                kernel_start: started.kernel_start,
                deadline_ms: None,
                kill_ms: None,
                end: None,
                home: 0,
                remarks: None,
            };
            self.last_sequence = self.last_sequence.max(run.sequence);
            self.live.insert(*run, entry);
        }
    }

    /// The records that the last word told of died with the daemon.
    pub fn count_lost(&mut self, now_ms: i64) {
        let (records, why) = std::mem::take(&mut self.lost);
        let records = records + std::mem::take(&mut self.missed).len() as u64;
        if records > 0 {
            let took = counted(records, "record");
            let why = if why.is_empty() { "there was no room" } else { &why };
            match self.is_cut {
                true => log::error!("journal: {took} of runs under way may be missing: {why}"),
                false => {
                    log::error!("journal: {took} could not be written by the daemon before: {why}");
                }
            }
            let count = self.dropped.count + records;
            let why = if self.is_cut { Loss::Gone } else { Loss::Memory };
            self.dropped = Dropped { count, at_ms: now_ms, why };
        }
    }

    /// How many records the last word told of, and why there was no place for them, for who does
    /// not go on from here: as long as they are not counted.
    pub fn lost(&self) -> (u64, &str) {
        (self.lost.0, &self.lost.1)
    }

    fn heard(&mut self, word: &Word) {
        for entry in word.entries() {
            match entry {
                Entry::Unwritten { records, why, .. } => {
                    self.lost = (records.saturating_sub(self.told_since), why.into_owned());
                }
                // Where nothing was taken away, the log knows better.
                Entry::Held { .. } | Entry::Recorded(_) | Entry::Living(_) => {}
                // Known already, by a line or because deciding went back.
                Entry::Anew(sequence) if sequence <= self.anew_sequence => {}
                Entry::Decided(at) => {
                    if self.decided_ms.is_some_and(|before| at < before) {
                        self.anew(self.last_sequence);
                        self.decided_ms = None;
                    }
                    self.word_ms = Some(at);
                }
                entry => self.entry(entry),
            }
        }
    }

    /// An intent is for the last keeper. Those before it need not be known any more where all is
    /// settled that they were asked for: a keeper knows a bounded number of those before it.
    fn asked(&mut self, run: RunEntry<'_>) {
        let is_intent = run.pid == 0 && run.end.is_none();
        if is_intent && self.keepers.len() > 1 && !self.live.values().any(|run| run.pid == 0) {
            self.keepers.drain(..self.keepers.len() - 1);
        }
        self.run(run);
    }

    /// A checkpoint says it too, and behind it the slots that still count.
    fn anew(&mut self, sequence: u64) {
        self.last_slots.clear();
        self.anew_sequence = sequence;
        self.word_ms = None;
        // The run with it may have left no line of its own, and runs to come must be later.
        self.last_sequence = self.last_sequence.max(sequence);
    }

    fn run(&mut self, run: RunEntry<'_>) {
        self.last_sequence = self.last_sequence.max(run.run.sequence);
        if let Some(slot) = run.slot_ms.filter(|_| run.run.sequence > self.anew_sequence) {
            self.slot_decided(run.job, slot);
        }
        if run.end.is_none() {
            self.live.insert(run.run, run.into_owned());
            return;
        }
        self.live.remove(&run.run);
        if self.ended.len() == MAX_REPLAYED_ENDS {
            self.ended.pop_front();
        }
        self.ended.extend(PastRun::from_entry(&run).map(|past| (run.job, past)));
    }

    fn act(&mut self, act: ActEntry) {
        self.last_sequence = self.last_sequence.max(act.id.sequence);
        self.asked.remove(&act.id);
        if self.acts.len() == MAX_REPLAYED_ACTS {
            self.acts.pop_front();
        }
        self.acts.push_back(act);
    }

    fn slot_decided(&mut self, job: JobId, slot_ms: i64) {
        let last = self.last_slots.entry(job).or_insert(slot_ms);
        *last = (*last).max(slot_ms);
    }
}

#[cfg(test)]
mod tests;
