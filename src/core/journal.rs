//! The journal: what must survive the daemon, as lines of an append-only log.
//!
//! A line is the CRC-32 of the rest in eight hexadecimal digits, a blank, and an [`Entry`] in
//! JSON. The log is one endless sequence of bytes; its *segments* are files named by the offset
//! at which they begin. A segment opens with a checkpoint (everything that is still alive), so
//! replaying the newest one is enough, and a segment is deleted as soon as all it says has
//! reached the database. An entry that describes a run or a skip is complete in itself: the
//! helper that carries records to the database reads them straight from the segments, so an
//! outage of any length costs the daemon no memory.

mod act;
mod pause;
mod reasons;
mod remarks;
mod stand;
mod stretch;
mod table;

pub use act::{ActEntry, DONE};
pub use pause::{MAX_PAUSED_TAGS, NOTE_CHARS, PauseEntry, PauseOf};
pub use reasons::{Cause, SkipReason, Skips};
pub use remarks::Remarks;
pub use stand::Stand;
pub use stretch::Stretch;
pub use table::TableEntry;

use crate::core::ids::{JobId, RunId};
use crate::core::outcome::{Outcome, Usage};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A file of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The offset of the log at which it begins.
    pub start: u64,
    /// Its length in bytes.
    pub bytes: u64,
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
    /// Which attempt at its slot it is; the first is 1.
    #[serde(default = "first_attempt", skip_serializing_if = "is_first_attempt")]
    pub attempt: u32,
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
    /// When it is told to end, by the monotonic clock of its boot, ms; none = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// When it is killed, for it was told to end; by the monotonic clock of its boot, ms; none = it
    /// was not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_ms: Option<u64>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// The database that its job is of: see [`crate::core::homes::mark`]; 0 = an earlier version
    /// did not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub home: u32,
    /// What else is worth knowing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remarks: Option<Box<Remarks>>,
}

/// Characters of a command that the journal keeps: the width of the original's column.
pub const COMMAND_CHARS: usize = 200;

/// The first attempt at a slot. An entry does not say it, and those of earlier versions could not.
pub const FIRST_ATTEMPT: u32 = 1;

fn first_attempt() -> u32 {
    FIRST_ATTEMPT
}

fn is_first_attempt(attempt: &u32) -> bool {
    *attempt == FIRST_ATTEMPT
}

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
    /// The database that the job is of, as in [`RunEntry::home`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub home: u32,
}

/// Records that never reach the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// How many.
    pub count: u64,
    /// When the last of them were dropped, unix ms.
    pub at_ms: i64,
    /// Why these were.
    #[serde(default)]
    pub why: Loss,
}

/// Why records are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Neither disk nor memory had room.
    Room,
    /// They were in the memory of a daemon that is gone.
    Memory,
    /// The journal was over its limit.
    Limit,
    /// What had them was taken away or damaged.
    Gone,
    /// Those that were set aside are gone, can't be read, or were too many.
    Aside,
    /// An earlier version does not say, or a later one says what is not known here.
    #[default]
    #[serde(other)]
    Untold,
}

impl Loss {
    /// As the log has it.
    pub fn told(self) -> &'static str {
        match self {
            Loss::Untold => "journal",
            Loss::Room => "journal: no room on the disk nor in memory",
            Loss::Memory => "journal: in memory alone when the daemon ended",
            Loss::Limit => "journal: over its limit",
            Loss::Gone => {
                "journal: somebody took away or damaged what the database did not have yet"
            }
            Loss::Aside => "records set aside: taken away by somebody, unreadable, or too many",
        }
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry<'a> {
    /// A segment begins; what is still alive follows.
    Checkpoint,
    /// The boot of the machine on which what follows was written.
    Boot(Cow<'a, str>),
    /// A database that entries may be for: see [`crate::core::homes`].
    Home(Cow<'a, str>),
    /// The keeper that launches the runs whose intents follow: it knows what became of them.
    Keeper(Cow<'a, str>),
    /// A run got further.
    #[serde(borrow)]
    Run(RunEntry<'a>),
    /// A run that is alive, as it stands: when a segment begins, and when the run was told to end
    /// or goes on after all. No news for the database.
    Carried(RunEntry<'a>),
    /// Slots were skipped.
    Skip(SkipEntry),
    /// A job is about to be changed, and it is not known yet what comes of it; also when a segment
    /// begins. No news for the database.
    Asked(Box<ActEntry>),
    /// Somebody did something, or it was not done.
    Act(Box<ActEntry>),
    /// All pauses of tags and of all jobs that there are now, in place of those before.
    Pauses(Vec<PauseEntry>),
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
    /// The clock went back so far that the schedule began again. Runs up to this sequence are of
    /// a time that may never come: their slots tell nothing.
    Anew(u64),
    /// The highest sequence of a run id given out.
    Sequence(u64),
    /// Everything before this offset of the log is in the database.
    Recorded(u64),
    /// So many records were dropped since the journal was begun, the last ones at this time (unix
    /// ms): they never reach the database.
    Dropped(Dropped),
    /// A segment holds so many records that the database does not have, as far as is known. A
    /// segment begins with a line of itself; there, and where one stands, records that follow are
    /// counted on.
    Held {
        /// The offset at which it begins.
        segment: u64,
        /// How many.
        records: u64,
    },
    /// How what is set aside stands, as far as the daemon was told.
    SetAside(Stand),
    /// The last word only: lines up to this offset of the log are in the daemon's memory alone,
    /// as the disk did not take them. If it is killed the database never hears of this many.
    Unwritten {
        /// The offset after them.
        end: u64,
        /// Others were dropped: what they said is missing until a segment begins behind this
        /// offset.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        /// Records.
        records: u64,
        /// Why they could not be written; empty: an earlier version does not say.
        #[serde(borrow, default)]
        why: Cow<'a, str>,
    },
    /// The last word only: how far the log on the disk had come. If it ends before that, somebody
    /// took some of it away.
    Written {
        /// Where its newest segment begins.
        segment: u64,
        /// The offset after its lines.
        end: u64,
        /// Runs that it tells of and that had not ended.
        live: u64,
    },
    /// The last word only: those runs, as far as there is room for them.
    Living(Vec<RunId>),
    /// The last word only: the last line, for an earlier version reads no further.
    Said(Stamp),
}

/// When a last word was written down, and in which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Unix ms.
    pub at_ms: i64,
    /// The file's number on its disk.
    pub inode: u64,
    /// When the file was made, unix ms; 0: its file system does not tell.
    pub born_ms: i64,
}

/// Bytes of the last word; more of it is not kept.
pub const MAX_WORD_BYTES: usize = 4_096;

/// Bytes of them that are for [`Entry::Said`].
pub const SAID_BYTES: usize = 128;

/// The stamp of a last word; none: it is none, or an earlier version's.
pub fn stamp_of(word: &[u8]) -> Option<Stamp> {
    word.split(|&byte| byte == b'\n').filter_map(decode).find_map(|entry| match entry {
        Entry::Said(stamp) => Some(stamp),
        _ => None,
    })
}

/// How many runs, skips and acts these lines tell of for the first time.
pub fn count_first(lines: &[u8]) -> u64 {
    let is_first = |line: &&[u8]| match decode(line) {
        Some(Entry::Run(run)) => run.pid == 0 && run.end.is_none(),
        Some(Entry::Skip(_) | Entry::Act(_)) => true,
        _ => false,
    };
    lines.split(|&byte| byte == b'\n').filter(is_first).count() as u64
}

/// How many records these lines would be for the database: ends of runs, skips and acts. A start
/// is none, for the end of its run tells all.
pub fn count_records(lines: &[u8]) -> u64 {
    let is_record = |line: &&[u8]| decode(line).is_some_and(|entry| entry.is_record());
    lines.split(|&byte| byte == b'\n').filter(is_record).count() as u64
}

impl Entry<'_> {
    /// Whether it counts as a record for the database: see [`count_records`].
    pub fn is_record(&self) -> bool {
        match self {
            Entry::Run(run) => run.end.is_some(),
            Entry::Skip(_) | Entry::Act(_) => true,
            Entry::Checkpoint
            | Entry::Boot(_)
            | Entry::Home(_)
            | Entry::Keeper(_)
            | Entry::Carried(_)
            | Entry::Asked(_)
            | Entry::Pauses(_)
            | Entry::Decided(_)
            | Entry::Slot { .. }
            | Entry::Anew(_)
            | Entry::Sequence(_)
            | Entry::Recorded(_)
            | Entry::Dropped(_)
            | Entry::Held { .. }
            | Entry::SetAside(_)
            | Entry::Unwritten { .. }
            | Entry::Written { .. }
            | Entry::Living(_)
            | Entry::Said(_)
            | Entry::Table(_) => false,
        }
    }
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
