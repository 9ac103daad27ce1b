//! The journal's files: `STATE/journal/OFFSET.log`. What is in them is `core::journal`'s business.

mod reserve;

use crate::core::daemon::Segment;
use crate::core::journal::{Replay, count_records, past_segments, whole_lines};
use crate::core::plain::counted;
use crate::shell::clock;
use crate::shell::own;
use reserve::Reserve;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

pub use reserve::is_full;

/// Bytes of a segment at the most: one ends at 4 MB, or with what has waited for room on the disk.
const MAX_SEGMENT_BYTES: u64 = 64 << 20;

/// No log gets as long as this.
const MAX_START: u64 = 1 << 60;

/// The journal, open for writing.
pub struct Journal {
    dir: PathBuf,
    /// The segment being written and the offset of the log at which it begins.
    file: Option<(File, u64)>,
    reserve: Reserve,
    /// The last word could not be kept, and that was said.
    is_silent: bool,
}

/// How much room there is for the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Why the disk takes no more; what is kept for the journal may still be there.
    pub full: Option<String>,
    /// What is kept for the journal is being used up.
    pub is_short: bool,
}

/// What was found on disk.
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// What the newest segments say.
    pub replay: Replay,
    /// The offset at which the log ends.
    pub end: u64,
    /// The segments, oldest first.
    pub segments: Vec<Segment>,
}

/// The file of the segment that begins at `start`.
pub fn segment_path(dir: &Path, start: u64) -> PathBuf {
    dir.join(format!("{start:020}.log"))
}

/// The segments in `dir` by the offsets at which they begin, oldest first.
///
/// # Errors
/// The directory can't be read.
pub fn list_segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let start = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
        let found = entry.metadata();
        if let Some(start) = start.filter(|start| *start <= MAX_START)
            // What a job has put there, or a helper has deleted meanwhile.
            && let Some(found) = found.ok().filter(|found| found.is_file())
            && found.len() <= MAX_SEGMENT_BYTES
        {
            segments.push(Segment { start, bytes: found.len() });
        }
    }
    segments.sort_by_key(|segment| segment.start);
    Ok(segments)
}

impl Journal {
    /// Opens the journal in `dir`, made if it is not there, and reads its newest segments. A
    /// last line that is torn is cut off.
    ///
    /// # Errors
    /// The directory can't be made, read or written.
    pub fn open(dir: &Path) -> io::Result<Opened> {
        own::make_dir(dir)?;
        let mut segments = list_segments(dir)?;
        let mut replay = Replay::default();
        let past = past_segments(segments.iter().rev().map(|segment| segment.bytes));
        let newest = segments.len() - past;
        for segment in &mut segments[newest..] {
            segment.bytes = read_segment(dir, segment.start, &mut replay)?;
        }
        let end = segments.last().map_or(0, |last| last.start + last.bytes);
        let mut reserve = Reserve::open(dir);
        // Where no new segment can be begun it goes on there.
        let file = segments.last().and_then(|last| {
            let path = segment_path(dir, last.start);
            let file = own::open(&path, OpenOptions::new().read(true).write(true)).ok()?;
            let _ = reserve.allocate(&file);
            Some((file, last.start))
        });
        if replay.bad_lines > 0 {
            let lines = counted(replay.bad_lines, "line");
            log::error!("journal: {lines} could not be read and were left out");
        }
        let journal = Journal { dir: dir.into(), file, reserve, is_silent: false };
        Ok(Opened { journal, replay, end, segments })
    }

    /// Takes in the last word of a daemon that could not write its journal. Returns where the log
    /// goes on.
    pub fn hear_last_word(&self, replay: &mut Replay, end: u64) -> u64 {
        let last = self.file.as_ref().map_or(0, |(_, start)| *start);
        replay.last_word(&self.reserve.word(), end, last, clock::now().wall_ms)
    }

    /// Keeps a last word.
    pub fn keep_last_word(&mut self, word: &[u8]) {
        match self.reserve.say(word) {
            Ok(()) => self.is_silent = false,
            Err(why) if !self.is_silent => {
                self.is_silent = true;
                let dir = self.dir.display();
                log::error!("{dir}/last: {why}: killed now, the daemon is missed by its records");
            }
            Err(_) => {}
        }
    }

    /// Makes more of the room that is kept, a piece at a time, and tells how much there is.
    pub fn make_room(&mut self) -> Room {
        self.reserve.fill_snapshot();
        let text = |why: String| format!("{}: {why}", self.dir.display());
        let made = match self.reserve.is_short() {
            true => self.reserve.fill(),
            false => Ok(()),
        };
        let full = match made {
            Err(why) if is_full(&why) => Some(text(why.to_string())),
            // What else is wrong with the directory is told by what can't be written there.
            _ => self
                .reserve
                .is_full()
                .then(|| text(io::Error::from(rustix::io::Errno::NOSPC).to_string())),
        };
        Room { full, is_short: self.reserve.is_short() }
    }

    /// How many records there are in the segment that begins at `start`, from an offset of the log
    /// on.
    pub fn count(&self, start: u64, from: u64) -> u64 {
        let path = segment_path(&self.dir, start);
        let bytes = own::read(&path, MAX_SEGMENT_BYTES).unwrap_or_default();
        let skipped = usize::try_from(from.saturating_sub(start)).unwrap_or(usize::MAX);
        bytes.get(skipped..).map_or(0, count_records)
    }

    /// Writes `lines` at this offset of the log.
    ///
    /// # Errors
    /// The disk is full, or the directory was removed.
    pub fn write(&mut self, offset: u64, lines: &[u8]) -> io::Result<()> {
        let Some((file, start)) = &self.file else {
            return self.begin_segment(offset, lines);
        };
        if file.metadata()?.nlink() == 0 {
            self.file = None;
            return Err(io::Error::other(format!("{} was removed", self.dir.display())));
        }
        file.write_all_at(lines, offset - start)
    }

    /// Begins a segment: whole under its final name or not there at all.
    ///
    /// # Errors
    /// The file can't be made or written.
    pub fn begin_segment(&mut self, start: u64, lines: &[u8]) -> io::Result<()> {
        own::make_dir(&self.dir)?;
        let (file, temporary) = match self.reserve.take() {
            Some(spare) => spare,
            None => {
                let path = self.dir.join("next.tmp");
                let file = own::create(&path)?;
                // Better without than not at all.
                let _ = self.reserve.allocate(&file);
                (file, path)
            }
        };
        let begun = file
            .write_all_at(lines, 0)
            .and_then(|()| fs::rename(&temporary, segment_path(&self.dir, start)));
        if let Err(why) = begun {
            let _ = fs::remove_file(&temporary);
            return Err(why);
        }
        if let Some((old, _)) = self.file.replace((file, start)) {
            // What was allocated behind its end is given back.
            let _ = old.metadata().and_then(|metadata| old.set_len(metadata.len()));
        }
        Ok(())
    }

    /// Deletes the segment that begins at `start`.
    ///
    /// # Errors
    /// It can't be deleted.
    pub fn forget(&self, start: u64) -> io::Result<()> {
        fs::remove_file(segment_path(&self.dir, start))
    }
}

/// Feeds a segment to `replay` and cuts off what follows its last line end. Returns its length.
fn read_segment(dir: &Path, start: u64, replay: &mut Replay) -> io::Result<u64> {
    let path = segment_path(dir, start);
    let mut file = own::open(&path, OpenOptions::new().read(true).write(true))?;
    let mut bytes = Vec::new();
    (&mut file).take(MAX_SEGMENT_BYTES).read_to_end(&mut bytes)?;
    let (lines, whole) = whole_lines(&bytes);
    lines.for_each(|line| replay.line(line));
    if whole < bytes.len() {
        log::warn!("journal: {} bytes of a torn line were cut off", bytes.len() - whole);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
    }
    Ok(whole as u64)
}

/// Reads the log from offset `from` up to `to`, at most `max_bytes` and only whole lines, for the
/// helper that carries records to the database. Parts that are gone (dropped at the journal's
/// limit) are skipped. Returns the bytes and the offset after them.
///
/// # Errors
/// A segment that is there can't be read.
pub fn read_range(dir: &Path, from: u64, to: u64, max_bytes: usize) -> io::Result<(Vec<u8>, u64)> {
    let mut bytes = Vec::new();
    let mut at = from;
    for segment in list_segments(dir)? {
        let segment_end = segment.start + segment.bytes;
        if segment_end <= at || segment.start >= to {
            continue;
        }
        at = at.max(segment.start);
        let room = (max_bytes - bytes.len()) as u64;
        let wanted = (segment_end.min(to) - at).min(room);
        let mut piece = vec![0; usize::try_from(wanted).unwrap_or(0)];
        let path = segment_path(dir, segment.start);
        let file = match own::open(&path, OpenOptions::new().read(true)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        file.read_exact_at(&mut piece, at - segment.start)?;
        let cut = wanted == room && at + wanted < segment_end.min(to);
        let whole = match cut {
            true => piece.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1),
            false => piece.len(),
        };
        bytes.extend_from_slice(&piece[..whole]);
        at += whole as u64;
        if cut {
            return Ok((bytes, at));
        }
    }
    Ok((bytes, to))
}
