//! The journal's files: `STATE/journal/OFFSET.log`. What is in them is `core::journal`'s business.

mod look;
mod reserve;

use crate::core::journal::{Segment, Stretch, count_records, past_segments};
use crate::core::plain::counted;
use crate::core::replay::Replay;
use crate::shell::clock;
use crate::shell::own;
use reserve::{Reserve, is_at};
use rustix::fs::OFlags;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use look::{Missed, homes, left, missed};
pub use reserve::{Standing, is_full, standing, why_full};

/// Bytes of a segment at the most: one ends at 4 MB, or with what has waited for room on the disk.
const MAX_SEGMENT_BYTES: u64 = 64 << 20;

/// No log gets as long as this.
const MAX_START: u64 = 1 << 60;

/// What is told of a journal that is in the place of this one.
pub const ANOTHERS: &str = "it holds the journal of another daemon";

/// The journal, open for writing.
pub struct Journal {
    dir: PathBuf,
    /// The segment being written and the offset of the log at which it begins.
    file: Option<(File, u64)>,
    reserve: Reserve,
    /// The offset of the log behind what it has. What comes next may begin later: a checkpoint for
    /// which there was no room is left out.
    written_to: u64,
    /// The fewest bytes that the segment being written was seen to have, where it should have had
    /// more: what follows hides that somebody has cut it.
    cut: Option<u64>,
    /// The last word could not be kept, and that was said.
    is_silent: bool,
    /// What has its name is another's: it goes on in what is open alone.
    is_astray: bool,
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
    /// What the newest segments say. A last word may still be heard: see [`Replay::log_ends`].
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

/// Whether the journal in `dir` could be opened by another program of this user, as far as we can
/// see that; the path that can't be, and why. What is not there could be made.
///
/// # Errors
/// It can't be opened.
pub fn try_open(dir: &Path, uid: u32) -> Result<(), (PathBuf, io::Error)> {
    let here = |why| (dir.to_owned(), why);
    match own::try_dir(dir, uid) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        tried => tried.map_err(here)?,
    }
    let segments = list_segments(dir).map_err(here)?;
    let past = past_segments(segments.iter().rev().map(|segment| segment.bytes));
    // Root, who only looks, opens nothing of another user's for writing.
    let is_ours = rustix::process::geteuid().as_raw() == uid;
    let how = if is_ours { OFlags::RDWR } else { OFlags::RDONLY };
    for segment in segments.iter().rev().take(past) {
        let path = segment_path(dir, segment.start);
        let opened = unless_gone(own::open(&path, how));
        opened.map_err(|why| (path, why))?;
    }
    Ok(())
}

/// What was opened or read of a segment; none where it is gone since the segments were listed. Its
/// daemon lets go of those that nobody needs any more.
fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

impl Journal {
    /// Opens the journal in `dir`, made if it is not there, and reads its newest segments. A
    /// last line that is torn is cut off.
    ///
    /// # Errors
    /// The directory can't be made, read or written.
    pub fn open(dir: &Path) -> io::Result<Opened> {
        own::make_dir_in(dir.parent().unwrap_or(dir), dir)?;
        let mut segments = list_segments(dir)?;
        let mut reserve = Reserve::open(dir);
        let mut replay = Replay::default();
        let last = segments.last().map_or(0, |last| last.start);
        reserve.words().iter().for_each(|word| replay.has_last_word(word, last));
        let past = past_segments(segments.iter().rev().map(|segment| segment.bytes));
        let newest = segments.len() - past;
        for segment in &mut segments[newest..] {
            segment.bytes = read_segment(dir, segment.start, &mut replay)?;
        }
        if !reserve.had_words() && !segments.is_empty() {
            replay.misses_last_word(clock::now().wall_ms);
        }
        let end = segments.last().map_or(0, |last| last.start + last.bytes);
        // Where no new segment can be begun it goes on there.
        let file = segments.last().and_then(|last| {
            let path = segment_path(dir, last.start);
            let file = own::open(&path, OFlags::RDWR).ok()?;
            let _ = reserve.allocate(&file);
            Some((file, last.start))
        });
        if replay.bad_lines > 0 {
            let lines = counted(replay.bad_lines, "line");
            log::error!("journal: {lines} could not be read and were left out");
        }
        let (dir, cut, is_silent) = (dir.into(), None, false);
        let is_astray = false;
        let written_to = end;
        let journal = Journal { dir, file, reserve, written_to, cut, is_silent, is_astray };
        Ok(Opened { journal, replay, end, segments })
    }

    /// Makes nothing, takes nothing away where its name leads, or does again.
    pub fn stays_away(&mut self, is_astray: bool) {
        self.is_astray = is_astray;
    }

    /// Whether the journal that has its name is another's. `is_of_ours`: it is in a state directory
    /// that this daemon knows. A copy of this one that is put there in its place is not another's.
    pub fn is_anothers(&self, is_of_ours: bool) -> bool {
        let Ok(segments) = list_segments(&self.dir) else { return false };
        let Some(last) = segments.last() else { return false };
        let Some((file, start)) = &self.file else { return !is_of_ours };
        let is_copy = |path: &Path| is_beginning(path, file);
        let path = segment_path(&self.dir, *start);
        match is_of_ours {
            true => last.start > *start || path.exists() && !is_copy(&path),
            false => last.start != *start || !is_at(file, &path),
        }
    }

    /// When the last word was said, unix ms; none: not yet, or not where the next daemon looks.
    pub fn said_ms(&self) -> Option<i64> {
        let said_ms = self.reserve.said_ms();
        (said_ms > 0 && !self.is_silent && !self.is_astray).then_some(said_ms)
    }

    /// Keeps a last word.
    pub fn keep_last_word(&mut self, word: &[u8]) {
        match self.reserve.say(word, self.is_astray) {
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
        if !self.is_astray {
            self.reserve.fill_snapshot();
        }
        let made = match self.reserve.is_short() && !self.is_astray {
            true => self.reserve.fill(),
            false => Ok(()),
        };
        let full = match made {
            Err(why) if is_full(&why) => Some(self.told(&why)),
            // What else is wrong with the directory is told by what can't be written there.
            _ => self.reserve.is_full().then(|| self.told(&rustix::io::Errno::NOSPC.into())),
        };
        Room { full, is_short: self.reserve.is_short() }
    }

    /// What the system says of the journal's directory, and what to do about it.
    pub fn told(&self, why: &io::Error) -> String {
        own::told(&self.dir, why)
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
    /// The disk is full, or the directory was removed and can't be made again.
    pub fn write(&mut self, offset: u64, lines: &[u8]) -> io::Result<()> {
        let Some((file, start)) = &self.file else { return self.begin_segment(offset, lines) };
        let there = file.metadata()?.len();
        if there < self.written_to - start {
            self.cut = Some(self.cut.map_or(there, |cut| cut.min(there)));
        }
        file.write_all_at(lines, offset - start)?;
        self.written_to = self.written_to.max(offset + lines.len() as u64);
        Ok(())
    }

    /// The segments that are there, the newest as short as it ever was since this was asked last.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn look(&mut self) -> io::Result<Vec<Segment>> {
        let mut segments = list_segments(&self.dir)?;
        if let (Some(cut), Some(last)) = (self.cut.take(), segments.last_mut()) {
            last.bytes = last.bytes.min(cut);
        }
        Ok(segments)
    }

    /// Writes the newest segment again where somebody took it away, deleted or moved with its
    /// directory or alone. The segment is open, so nothing of it is lost, and a helper that carries
    /// records finds it again. What older segments had is gone.
    ///
    /// # Errors
    /// It can't be written, or the journal that has its name is another's.
    pub fn heal(&mut self) -> io::Result<()> {
        let Some((file, start)) = &self.file else { return Ok(()) };
        let start = *start;
        let path = segment_path(&self.dir, start);
        match fs::symlink_metadata(&path) {
            Ok(_) if is_at(file, &path) => {
                self.reserve.say_again();
                return Ok(());
            }
            // Whether it is there is not known then.
            Err(why) if !is_gone(&why) => return Ok(()),
            _ if self.is_anothers(true) => return Err(io::Error::other(ANOTHERS)),
            _ => {}
        }
        let found = file.metadata()?;
        let mut bytes = vec![0; usize::try_from(found.len().min(MAX_SEGMENT_BYTES)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        own::make_dir_in(self.dir.parent().unwrap_or(&self.dir), &self.dir)?;
        // What was kept beside it has most likely gone the same way.
        self.reserve.anew();
        let written_to = self.written_to;
        self.put_segment(start, &bytes)?;
        self.written_to = written_to;
        let path = path.display();
        log::error!("journal: somebody took {path} away: it is written again");
        Ok(())
    }

    /// Begins a segment: whole under its final name or not there at all.
    ///
    /// # Errors
    /// The file can't be made or written.
    pub fn begin_segment(&mut self, start: u64, lines: &[u8]) -> io::Result<()> {
        if self.is_astray {
            return Err(io::Error::other(ANOTHERS));
        }
        self.put_segment(start, lines)
    }

    fn put_segment(&mut self, start: u64, lines: &[u8]) -> io::Result<()> {
        own::make_dir_in(self.dir.parent().unwrap_or(&self.dir), &self.dir)?;
        let (file, temporary) = match self.reserve.take() {
            Some(spare) => spare,
            None => {
                let path = self.dir.join("next.tmp");
                let file = own::create_to_read(&path)?;
                // Better without than not at all.
                let _ = self.reserve.allocate(&file);
                (file, path)
            }
        };
        let begun = file
            .write_all_at(lines, 0)
            .and_then(|()| own::rename(&temporary, &segment_path(&self.dir, start)));
        if let Err(why) = begun {
            let _ = own::remove(&temporary);
            return Err(why);
        }
        self.written_to = start + lines.len() as u64;
        if let Some((old, _)) = self.file.replace((file, start))
            && !self.reserve.is_full()
        {
            // What was allocated behind its end is given back. On a full disk it stays, for the
            // segment that has its blocks next.
            let _ = old.metadata().and_then(|metadata| old.set_len(metadata.len()));
        }
        Ok(())
    }

    /// Deletes the segment that begins at `start`. On a full disk its blocks are at once those of a
    /// segment to come, or they would belong to the program that writes next.
    ///
    /// # Errors
    /// It can't be deleted.
    pub fn forget(&mut self, start: u64) -> io::Result<()> {
        if self.is_astray {
            return Err(io::Error::other(ANOTHERS));
        }
        let was_full = self.reserve.is_full();
        own::remove(&segment_path(&self.dir, start))?;
        if was_full && self.reserve.is_short() {
            // What is missing then is told by the next look.
            let _ = self.reserve.fill();
        }
        Ok(())
    }
}

/// Whether what has this name is the beginning of this file, which goes on, or the other way round
/// where that was cut.
fn is_beginning(path: &Path, file: &File) -> bool {
    let there = own::read(path, MAX_SEGMENT_BYTES).unwrap_or_default();
    let mut ours = vec![0; there.len()];
    let read = file.read_at(&mut ours, 0).unwrap_or(0);
    ours[..read] == there[..read]
}

/// Whether it says that there is no such file.
fn is_gone(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Feeds a segment to `replay` and cuts off what follows its last line end. Returns its length.
fn read_segment(dir: &Path, start: u64, replay: &mut Replay) -> io::Result<u64> {
    let path = segment_path(dir, start);
    let mut file = own::open(&path, OFlags::RDWR)?;
    let mut bytes = Vec::new();
    (&mut file).take(MAX_SEGMENT_BYTES).read_to_end(&mut bytes)?;
    let whole = replay.log(start, &bytes);
    if whole < bytes.len() {
        log::warn!("journal: {} bytes of a torn line were cut off", bytes.len() - whole);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
    }
    Ok(whole as u64)
}

/// Reads the log from offset `from` up to `to`, at most `max_bytes` and only whole lines, for the
/// helper that carries records to the database. Parts that are gone (dropped at the journal's
/// limit, or taken away) are skipped. Returns the lines and the offset after them.
///
/// # Errors
/// A segment that is there can't be read.
pub fn read_range(dir: &Path, from: u64, to: u64, max_bytes: usize) -> io::Result<(Stretch, u64)> {
    let mut read = Stretch::default();
    let mut at = from;
    for segment in list_segments(dir)? {
        let segment_end = segment.start + segment.bytes;
        if segment_end <= at || segment.start >= to {
            continue;
        }
        at = at.max(segment.start);
        let room = (max_bytes - read.lines.len()) as u64;
        let wanted = (segment_end.min(to) - at).min(room);
        let mut piece = vec![0; usize::try_from(wanted).unwrap_or(0)];
        let path = segment_path(dir, segment.start);
        let Some(file) = unless_gone(own::open(&path, OFlags::RDONLY))? else { continue };
        file.read_exact_at(&mut piece, at - segment.start)?;
        let cut = wanted == room && at + wanted < segment_end.min(to);
        let whole = match cut {
            true => piece.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1),
            false => piece.len(),
        };
        read.add(segment.start, at, &piece[..whole]);
        at += whole as u64;
        if cut {
            return Ok((read, at));
        }
    }
    Ok((read, to))
}

#[cfg(test)]
mod tests {
    use super::{Journal, segment_path};
    use std::fs;

    /// Behind a checkpoint that is left out on a full disk lines begin later than those before end:
    /// nobody has cut anything. One that somebody cuts is as short as it was seen.
    #[test]
    fn what_is_left_out_was_not_cut_off() {
        let state = std::env::temp_dir().join(format!("journal-{}", std::process::id()));
        let dir = state.join("journal");
        fs::create_dir(&state).unwrap();
        let mut journal = Journal::open(&dir).unwrap().journal;
        journal.begin_segment(0, b"first\n").unwrap();
        journal.write(100, b"later\n").unwrap();
        let found = |journal: &mut Journal| journal.look().unwrap()[0].bytes;
        assert_eq!(found(&mut journal), 106);
        let file = fs::File::options().write(true).open(segment_path(&dir, 0)).unwrap();
        file.set_len(50).unwrap();
        journal.write(106, b"last\n").unwrap();
        assert_eq!(found(&mut journal), 50);
        fs::remove_dir_all(&state).unwrap();
    }
}
