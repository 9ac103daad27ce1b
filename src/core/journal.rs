//! The journal: what must survive the daemon, as lines of an append-only log.
//!
//! A line is the CRC-32 of the rest in eight hexadecimal digits, a blank, and an [`Entry`] in
//! JSON. The log is one endless sequence of bytes; its *segments* are files named by the offset
//! at which they begin. A segment opens with a checkpoint (everything that is still alive), so
//! replaying the newest one is enough, and a segment is deleted as soon as all it says has
//! reached the database. An entry that describes a run or a skip is complete in itself: the
//! helper that carries records to the database reads them straight from the segments, so an
//! outage of any length costs the daemon no memory.

use crate::core::definition::hex;
use crate::core::history::PastRun;
use crate::core::ids::{JobId, RunId};
use crate::core::outcome::{Outcome, Usage};
use crate::core::plain::counted;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

/// Why a run was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its slot was due.
    Due,
    /// Somebody asked for it.
    Manual,
    /// `@reboot`: the first start of a daemon since the machine booted.
    Reboot,
}

impl Cause {
    /// The word in records, log lines and answers.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Due => "due",
            Cause::Manual => "manual",
            Cause::Reboot => "reboot",
        }
    }
}

/// Why a slot was not launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// As many runs as the job may have were alive.
    Overlap,
    /// The daemon is ending.
    Draining,
    /// Runs of the row's old definition were alive.
    Waiting,
    /// It came too late: the daemon was down, stood still, or the clock jumped over it.
    Misfire,
}

impl SkipReason {
    /// The word in records, log lines and answers.
    pub fn label(self) -> &'static str {
        match self {
            SkipReason::Overlap => "overlap",
            SkipReason::Draining => "draining",
            SkipReason::Waiting => "waiting",
            SkipReason::Misfire => "misfire",
        }
    }
}

/// A run as far as it has got. Intent: no `pid`. Started: a `pid`. Ended: an `end`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEntry<'a> {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: JobId,
    /// The due instant, unix ms; none for a run started by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_ms: Option<i64>,
    /// Why it was started.
    pub cause: Cause,
    /// When it was launched (for an intent: decided), unix ms.
    pub at_ms: i64,
    /// The job's name at that time.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The command with its placeholders filled in, cut at [`COMMAND_CHARS`].
    #[serde(borrow)]
    pub command: Cow<'a, str>,
    /// Key of the definition it was launched from.
    #[serde(borrow)]
    pub md5: Cow<'a, str>,
    /// Live runs of the job when it was launched, itself included.
    pub concurrent: u32,
    /// Process id; 0 = not started (yet).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, which tells a process from a later one of the same pid; of an
    /// intent, the monotonic clock in the same unit: no process of it began before.
    #[serde(default, skip_serializing_if = "is_zero64")]
    pub kernel_start: u64,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// Characters of a command that the journal keeps: the width of the original's column.
pub const COMMAND_CHARS: usize = 200;

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn is_zero64(n: &u64) -> bool {
    *n == 0
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// When, unix ms.
    pub at_ms: i64,
    /// How.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// How long it ran by the monotonic clock, ms.
    pub duration_ms: u64,
    /// Somebody had asked it to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

/// Consecutive slots of a job skipped for one reason. A longer range replaces a shorter one with
/// the same job and first slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipEntry {
    /// The job.
    pub job: JobId,
    /// Why.
    pub reason: SkipReason,
    /// First slot, unix ms.
    pub first_ms: i64,
    /// Last slot, unix ms.
    pub last_ms: i64,
    /// How many.
    pub count: u64,
}

/// The table in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry<'a> {
    /// What stands for the digest of the answer that told it: see [`TableEntry::mark`].
    #[serde(borrow)]
    pub digest: Cow<'a, str>,
    /// When that was, unix ms: what is new in it has no slots before.
    pub at_ms: i64,
    /// That of the snapshot which was on the disk then, if it was of another table.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Cow<'a, str>>,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry<'a> {
    /// A segment begins; what is still alive follows.
    Checkpoint,
    /// The boot of the machine on which what follows was written.
    Boot(Cow<'a, str>),
    /// The keeper that launches the runs whose intents follow: it knows what became of them.
    Keeper(Cow<'a, str>),
    /// A run got further.
    #[serde(borrow)]
    Run(RunEntry<'a>),
    /// A run that was alive when the segment was begun (checkpoint; no news for the database).
    Carried(RunEntry<'a>),
    /// Slots were skipped.
    Skip(SkipEntry),
    /// Every slot up to this instant (unix ms) is decided.
    Decided(i64),
    /// A table came into force: a snapshot of the one before counts no more.
    #[serde(borrow)]
    Table(TableEntry<'a>),
    /// Every slot of a job up to this instant is decided (checkpoint, where that is later).
    Slot {
        /// The job.
        job: JobId,
        /// The last slot, unix ms.
        slot_ms: i64,
    },
    /// The clock went back so far that the schedule began anew. Runs up to this sequence are of
    /// a time that may never come: their slots tell nothing.
    Anew(u64),
    /// The highest sequence of a run id given out.
    Sequence(u64),
    /// Everything before this offset of the log is in the database.
    Recorded(u64),
    /// So many records were dropped since the journal was begun, the last ones at this time (unix
    /// ms): they never reach the database.
    Dropped {
        /// How many.
        count: u64,
        /// The last time.
        at_ms: i64,
    },
    /// The last word only: lines up to this offset of the log are in the daemon's memory alone,
    /// for want of room. If it is killed the database never hears of this many.
    Unwritten {
        /// The offset after them.
        end: u64,
        /// Others were dropped: what they said is missing until a segment begins behind this
        /// offset.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        /// Records.
        records: u64,
    },
}

/// How many records these lines would be for the database: ends of runs and skips. A start is
/// none, for the end of its run tells all.
pub fn count_records(lines: &[u8]) -> u64 {
    let is_record = |line: &&[u8]| match decode(line) {
        Some(Entry::Run(run)) => run.end.is_some(),
        Some(Entry::Skip(_)) => true,
        _ => false,
    };
    lines.split(|&byte| byte == b'\n').filter(is_record).count() as u64
}

/// The newest segments tell a restarted daemon what happened lately until they have this many
/// bytes: some 20,000 ends of runs, read in some 50 ms.
const PAST_BYTES: u64 = 8 << 20;

/// Segments that tell the past at the most: each start of a daemon begins one, however short.
const MAX_PAST_SEGMENTS: usize = 64;

/// How many of the newest segments tell the past; `bytes` are their sizes, the newest first. Two at
/// least: the newest may have little more than its checkpoint.
pub fn past_segments(bytes: impl Iterator<Item = u64>) -> usize {
    let mut total = 0;
    let wanted = bytes.take(MAX_PAST_SEGMENTS).enumerate().take_while(|(nth, bytes)| {
        let some = *nth < 2 || total < PAST_BYTES;
        total += bytes;
        some
    });
    wanted.count()
}

/// Appends `entry` to `out` as a line.
pub fn encode(out: &mut Vec<u8>, entry: &Entry<'_>) {
    encode_line(out, entry);
}

/// Appends a value to `out` as a line that shows whether it is whole.
pub fn encode_line(out: &mut Vec<u8>, value: &impl Serialize) {
    let start = out.len();
    out.extend_from_slice(b"00000000 ");
    if serde_json::to_writer(&mut *out, value).is_err() {
        // Can't happen: the types hold nothing that JSON can't, and a Vec takes every write.
        out.truncate(start);
        return;
    }
    let crc = crc32fast::hash(&out[start + 9..]);
    let mut digits = [0u8; 8];
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(crc >> (28 - 4 * i) & 15) as usize];
    }
    out[start..start + 8].copy_from_slice(&digits);
    out.push(b'\n');
}

/// The lines of a piece of the journal, without their line ends; what follows the last line end
/// is torn. Also how many bytes they are.
pub fn whole_lines(bytes: &[u8]) -> (impl Iterator<Item = &[u8]>, usize) {
    let whole = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
    let mut from = 0;
    let lines = memchr::memchr_iter(b'\n', &bytes[..whole]).map(move |at| {
        let line = &bytes[from..at];
        from = at + 1;
        line
    });
    (lines.filter(|line| !line.is_empty()), whole)
}

/// Reads a line (without its line end). `None`: it is torn or was never one.
pub fn decode(line: &[u8]) -> Option<Entry<'_>> {
    decode_line(line)
}

/// Reads what [`encode_line`] wrote, without the line end. `None`: it is torn or was never one.
pub fn decode_line<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Option<T> {
    // A write that failed (disk full) leaves the beginning of a line and a hole, which reads as
    // zeros before the next line. No whole line has a zero in it.
    let line = &line[memchr::memrchr(0, line).map_or(0, |at| at + 1)..];
    let (crc, json) = (line.get(..8)?, line.get(9..)?);
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    if line[8] != b' ' || crc32fast::hash(json) != crc {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// The first [`COMMAND_CHARS`] characters of a command.
pub fn cut_command(command: &str) -> &str {
    match command.char_indices().nth(COMMAND_CHARS) {
        Some((at, _)) => &command[..at],
        None => command,
    }
}

impl RunEntry<'_> {
    /// The same entry, owning its texts.
    pub fn into_owned(self) -> RunEntry<'static> {
        RunEntry {
            name: Cow::Owned(self.name.into_owned()),
            command: Cow::Owned(self.command.into_owned()),
            md5: Cow::Owned(self.md5.into_owned()),
            ..self
        }
    }
}

impl TableEntry<'_> {
    /// What stands for a digest in the journal, however long that is.
    pub fn mark(digest: &str) -> String {
        hex(&Md5::digest(digest.as_bytes()))
    }

    /// The same entry, owning its texts.
    pub fn into_owned(self) -> TableEntry<'static> {
        TableEntry {
            digest: Cow::Owned(self.digest.into_owned()),
            before: self.before.map(|before| Cow::Owned(before.into_owned())),
            ..self
        }
    }
}

/// Ended runs that a replay keeps for the history of the pages.
const MAX_REPLAYED_ENDS: usize = 20_000;

/// What a replayed segment comes to.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Runs that had not ended.
    pub live: BTreeMap<RunId, RunEntry<'static>>,
    /// Runs that ended, oldest first; the last 20,000.
    pub ended: VecDeque<(JobId, PastRun)>,
    /// Skipped slots, by job and first slot.
    pub skips: BTreeMap<(JobId, i64), SkipEntry>,
    /// Every slot up to this instant is decided.
    pub decided_ms: Option<i64>,
    /// Last slot of each job that has an intent or a skip since the schedule last began anew.
    pub last_slots: BTreeMap<JobId, i64>,
    /// Highest sequence of a run id.
    pub last_sequence: u64,
    /// The same when the schedule last began anew.
    pub anew_sequence: u64,
    /// The table that was in force last.
    pub table: Option<TableEntry<'static>>,
    /// The last boot seen.
    pub boot_id: String,
    /// The keepers since the last checkpoint, the last one at the end.
    pub keepers: Vec<String>,
    /// Everything before this offset is in the database.
    pub recorded: u64,
    /// Records that were dropped, and when the last of them were, unix ms.
    pub dropped: (u64, i64),
    /// Lines that could not be read.
    pub bad_lines: u64,
}

impl Replay {
    /// Takes in one line (without its line end).
    pub fn line(&mut self, line: &[u8]) {
        match decode(line) {
            Some(entry) => self.entry(entry),
            None => self.bad_lines += 1,
        }
    }

    fn entry(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Checkpoint => {
                self.live.clear();
                self.keepers.clear();
                self.table = None;
            }
            Entry::Boot(id) => self.boot_id = id.into_owned(),
            Entry::Keeper(id) => self.keepers.push(id.into_owned()),
            Entry::Run(run) | Entry::Carried(run) => self.run(run),
            Entry::Skip(skip) => {
                self.slot_decided(skip.job, skip.last_ms);
                self.skips.insert((skip.job, skip.first_ms), skip);
            }
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
            Entry::Anew(sequence) => self.anew(sequence),
            Entry::Slot { job, slot_ms } => self.slot_decided(job, slot_ms),
            Entry::Sequence(last) => self.last_sequence = self.last_sequence.max(last),
            Entry::Recorded(offset) => self.recorded = self.recorded.max(offset),
            Entry::Dropped { count, at_ms } => {
                self.dropped = (self.dropped.0.max(count), self.dropped.1.max(at_ms));
            }
            // No line of the log.
            Entry::Unwritten { .. } => {}
        }
    }

    /// Takes in the last word of a daemon whose journal could not be written, where the log that
    /// was found ends at `end` and its last segment begins at `last`. Returns where the log goes
    /// on: what was lost may have been told to others by its offset, so none is given twice.
    pub fn last_word(&mut self, word: &[u8], end: u64, last: u64, now_ms: i64) -> u64 {
        let mut lines = word.split(|&byte| byte == b'\n').map_while(decode);
        let Some(Entry::Unwritten { end: told, until, records }) = lines.next() else {
            return end;
        };
        let is_missing = until.is_some_and(|until| last <= until);
        if told <= end && !is_missing {
            // All of it was written after all.
            return end;
        }
        let (is_last, mut is_later) = (told > end, true);
        for entry in lines {
            match entry {
                Entry::Anew(sequence) if sequence == self.anew_sequence => {}
                // What is on the disk may be of a later time, where something was dropped.
                Entry::Anew(sequence) if sequence < self.anew_sequence && !is_last => {
                    is_later = false;
                }
                Entry::Anew(_) => {
                    self.decided_ms = None;
                    self.entry(entry);
                }
                Entry::Decided(at) if is_later => {
                    self.decided_ms = self.decided_ms.max(Some(at));
                }
                Entry::Decided(_) => {}
                entry => self.entry(entry),
            }
        }
        if records > 0 {
            let took = counted(records, "record");
            log::error!("journal: a full disk took {took} with the daemon before");
            self.dropped = (self.dropped.0 + records, now_ms);
        }
        end.max(told)
    }

    /// A checkpoint says it too, and behind it the slots that still count.
    fn anew(&mut self, sequence: u64) {
        self.last_slots.clear();
        self.anew_sequence = sequence;
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

    fn slot_decided(&mut self, job: JobId, slot_ms: i64) {
        let last = self.last_slots.entry(job).or_insert(slot_ms);
        *last = (*last).max(slot_ms);
    }
}
