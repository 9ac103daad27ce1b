//! Room that is kept for the journal, so that intents and ends of runs fit on a full disk.
//!
//! A file that is deleted when the disk is full would not do: its blocks belong to the program that
//! writes first, and that is a job. So the segments to come are there already, empty, with
//! all their blocks allocated behind their end: `next.1`, `next.2`. A segment that begins takes
//! one of them. Beside them there is the *last word*, a block that is written over in place. That
//! block has two copies, one of them outside the journal's directory: if somebody takes the
//! directory or one copy away, the other is left.

use crate::core::journal::{Entry, MAX_WORD_BYTES, SAID_BYTES, Stamp, encode, stamp_of};
use crate::shell::clock;
use crate::shell::own;
use crate::shell::snapshot;
use rustix::fs::{FallocateFlags, OFlags, StatVfs, fallocate, statvfs};
use rustix::io::Errno;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Segments that are there before they are needed: room for some 8,000 runs from intent to end,
/// whatever else the disk is full of.
const SPARE_SEGMENTS: u64 = 2;

/// Bytes that are allocated for a segment: what it takes before the next one begins, and a little
/// for the lines that came at once with the last ones.
const SEGMENT_BYTES: u64 = (4 << 20) + (256 << 10);

/// The name of the last word.
const WORD: &str = "last";

/// A file system with fewer free bytes than this is full.
const FULL_BYTES: u64 = 256 << 10;

/// On a smaller file system than this nothing is kept: it would leave too little for the rest.
const MIN_DISK_BYTES: u64 = 48 << 20;

/// A file that has changed so much later than what it says was written, in milliseconds, was put
/// there by somebody else.
const LATER_MS: i64 = 2_000;

/// See the module's text.
pub struct Reserve {
    dir: PathBuf,
    /// Numbers of the segments that are there.
    spares: Vec<u64>,
    words: [Option<File>; 2],
    /// The last word.
    said: Vec<u8>,
    /// When it was said, unix ms; 0: not yet.
    said_ms: i64,
    /// Either of its places was there.
    had_words: bool,
    /// No blocks can be allocated ahead on this file system.
    useless: bool,
}

/// Whether this says that there is no room: on the disk, or for this user.
pub fn is_full(why: &io::Error) -> bool {
    let errno = Errno::from_io_error(why);
    matches!(errno, Some(Errno::NOSPC | Errno::DQUOT))
}

/// Why the file system of `path` is full for what this user (a uid) writes there, in words that
/// follow its name; `None` if it is not, or does not tell.
pub fn why_full(path: &Path, uid: u32) -> Option<String> {
    let found = stat(path)?;
    let free = free_bytes(&found, uid);
    if free < FULL_BYTES {
        return Some(format!("is full ({} kB are free)", free >> 10));
    }
    // Some file systems have no such number: there it is 0 of 0.
    let inodes = if uid == 0 { found.f_ffree } else { found.f_favail };
    (found.f_files > 0 && inodes == 0).then(|| "is full (no inode is free)".to_owned())
}

/// Some file systems do not tell how large they are.
fn stat(path: &Path) -> Option<StatVfs> {
    statvfs(path).ok().filter(|found| found.f_blocks > 0)
}

/// A part of a file system may be kept for root.
fn free_bytes(found: &StatVfs, uid: u32) -> u64 {
    let blocks = if uid == 0 { found.f_bfree } else { found.f_bavail };
    blocks.saturating_mul(found.f_frsize)
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The last word that is kept for the journal in `dir`, from each of its places, for who only
/// looks.
pub fn words_of(dir: &Path) -> Vec<Vec<u8>> {
    let read = |path: &PathBuf| own::open(path, OFlags::RDONLY).ok();
    word_paths(dir).iter().filter_map(read).map(|file| read_word(&file)).collect()
}

/// What the last word of a journal says of the time since; all in unix ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it was said.
    pub said_ms: i64,
    /// It stands in the file in which it was said.
    pub is_own: bool,
    /// When anything about the file changed last, its owner or mode, too.
    pub touched_ms: i64,
    /// Until when another may have been said in its place; none: this is the last one.
    pub changed_ms: Option<i64>,
}

/// How the last word of the journal in `dir` stands; none: there is none, or an earlier version's.
///
/// Where its file is not the one in which it was said, it was copied there then. Where it is, and
/// was written to later, somebody has written over it, or the power failed: what was in memory
/// went, and the file's time had reached the disk. Another owner, mode or label changes neither.
pub fn standing(dir: &Path) -> Option<Standing> {
    let read = |path: &PathBuf| {
        let file = own::open(path, OFlags::RDONLY).ok()?;
        Some(standing_of(stamp_of(&read_word(&file))?, &file.metadata().ok()?))
    };
    let words = word_paths(dir);
    let mut newest = words.iter().filter_map(read).max_by_key(|it| (it.said_ms, it.is_own))?;
    if newest.changed_ms.is_some() {
        let ahead_ms = ahead_ms(dir);
        newest.touched_ms -= ahead_ms;
        let changed_ms = newest.changed_ms.map(|changed_ms| changed_ms - ahead_ms);
        let is_later = |at: &i64| !newest.is_own || at - newest.said_ms > LATER_MS;
        newest.changed_ms = changed_ms.filter(is_later);
    }
    Some(newest)
}

fn standing_of(stamp: Stamp, found: &Metadata) -> Standing {
    let said_ms = stamp.at_ms;
    let touched_ms = touched_ms(found);
    let modified_ms = found.mtime() * 1_000 + found.mtime_nsec() / 1_000_000;
    let is_own = stamp == stamp_for(found, said_ms);
    // A number alone may be another file's by now.
    let at_ms = if is_own && stamp.born_ms != 0 { modified_ms } else { touched_ms };
    let changed_ms = (!is_own || at_ms - said_ms > LATER_MS).then_some(at_ms);
    Standing { said_ms, is_own, touched_ms, changed_ms }
}

/// What a last word says that is written into this file.
fn stamp_for(found: &Metadata, at_ms: i64) -> Stamp {
    let born = found.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let born_ms = born.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0);
    Stamp { at_ms, inode: found.ino(), born_ms }
}

fn touched_ms(found: &Metadata) -> i64 {
    found.ctime() * 1_000 + found.ctime_nsec() / 1_000_000
}

/// By how much the clock of a file system is ahead: it may be a server's.
fn ahead_ms(dir: &Path) -> i64 {
    let path = dir.join("clock.tmp");
    let there = own::create(&path).and_then(|file| file.metadata());
    let _ = own::remove(&path);
    there.map_or(0, |there| touched_ms(&there) - clock::now().wall_ms)
}

/// A last word as it stands in its place. One that says nothing was not said.
fn stamped(word: &[u8], stamp: Stamp) -> Vec<u8> {
    let mut bytes = word.to_vec();
    if !word.is_empty() {
        encode(&mut bytes, &Entry::Said(stamp));
        bytes.resize(MAX_WORD_BYTES, 0);
    }
    bytes
}

fn read_word(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; MAX_WORD_BYTES];
    let read = file.read_at(&mut bytes, 0).unwrap_or(0);
    bytes.truncate(read);
    let end = memchr::memchr(0, &bytes).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

impl Reserve {
    /// What an earlier daemon left in `dir`; the rest is made, as far as there is room.
    pub fn open(dir: &Path) -> Reserve {
        let mut reserve = Reserve {
            dir: dir.into(),
            spares: vec![],
            words: [None, None],
            said: vec![],
            said_ms: 0,
            // An empty one says nothing: somebody emptied it.
            had_words: word_paths(dir)
                .iter()
                .any(|path| fs::symlink_metadata(path).is_ok_and(|found| found.len() > 0)),
            useless: false,
        };
        reserve.words = word_paths(dir).map(|path| open_word(&path).ok());
        let all = |found: &StatVfs| found.f_blocks.saturating_mul(found.f_frsize);
        reserve.useless = stat(dir).is_some_and(|found| all(&found) < MIN_DISK_BYTES);
        for number in 1..=SPARE_SEGMENTS {
            let there = fs::symlink_metadata(reserve.path(number));
            if there
                .is_ok_and(|it| it.is_file() && it.len() == 0 && it.blocks() * 512 >= SEGMENT_BYTES)
            {
                reserve.spares.push(number);
            }
        }
        // What can't be made is told by the next look.
        while reserve.is_short() && reserve.fill().is_ok() {}
        reserve
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("next.{number}"))
    }

    /// Whether there is less than there should be.
    pub fn is_short(&self) -> bool {
        !self.useless && (self.spares.len() as u64) < SPARE_SEGMENTS
    }

    /// Makes one of the segments that are missing.
    ///
    /// # Errors
    /// There is no room for it, or nothing can be made here.
    pub fn fill(&mut self) -> io::Result<()> {
        let missing = (1..=SPARE_SEGMENTS).find(|number| !self.spares.contains(number));
        let Some(number) = missing.filter(|_| !self.useless) else { return Ok(()) };
        let path = self.path(number);
        let file = own::create(&path)?;
        let allocated = self.allocate(&file);
        if allocated.is_ok() && !self.useless {
            self.spares.push(number);
        } else {
            let _ = own::remove(&path);
        }
        allocated
    }

    /// Allocates the blocks of a segment, unless the file system can't: then it does without.
    ///
    /// # Errors
    /// There is no room.
    pub fn allocate(&mut self, file: &File) -> io::Result<()> {
        if self.useless {
            return Ok(());
        }
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, SEGMENT_BYTES) {
            Err(why @ (Errno::NOSPC | Errno::DQUOT | Errno::INTR)) => Err(why.into()),
            Err(why) => {
                log::debug!("journal: no room can be kept for it: {why}");
                self.useless = true;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// A segment with its blocks, and its name.
    pub fn take(&mut self) -> Option<(File, PathBuf)> {
        while let Some(number) = self.spares.pop() {
            let path = self.path(number);
            if let Ok(file) = own::open(&path, OFlags::RDWR) {
                return Some((file, path));
            }
        }
        None
    }

    /// Makes room for snapshots of the table, beside the journal, while the disk has some.
    pub fn fill_snapshot(&self) {
        let Some(state_dir) = self.dir.parent().filter(|_| !self.useless) else { return };
        for (path, wanted) in snapshot::short_of_room(state_dir) {
            let missing = wanted.saturating_sub(snapshot::allocated_bytes(&path));
            if self.free_bytes().is_some_and(|free| free < missing + FULL_BYTES) {
                continue;
            }
            if let Ok(file) = own::open(&path, OFlags::WRONLY | OFlags::CREATE) {
                // Better without than not at all.
                let _ = fallocate(file, FallocateFlags::KEEP_SIZE, 0, wanted);
            }
        }
    }

    /// Whether the file system is full.
    pub fn is_full(&self) -> bool {
        why_full(&self.dir, me()).is_some()
    }

    fn free_bytes(&self) -> Option<u64> {
        stat(&self.dir).map(|found| free_bytes(&found, me()))
    }

    /// Whether either place of a last word was there.
    pub fn had_words(&self) -> bool {
        self.had_words
    }

    /// The last word of the daemon before, from each of its places; empty where there is none.
    pub fn words(&self) -> Vec<Vec<u8>> {
        self.words.iter().flatten().map(read_word).collect()
    }

    /// When the last word was said, unix ms; 0: not yet.
    pub fn said_ms(&self) -> i64 {
        self.said_ms
    }

    /// Keeps a last word, in place of the one before; `is_astray`: only where it was kept before.
    ///
    /// # Errors
    /// There was no room for either of its places.
    pub fn say(&mut self, word: &[u8], is_astray: bool) -> io::Result<()> {
        self.said = word[..word.len().min(MAX_WORD_BYTES - SAID_BYTES)].to_vec();
        let (paths, at_ms) = (word_paths(&self.dir), clock::now().wall_ms);
        let places =
            paths.iter().zip(&mut self.words).filter(|(_, file)| !is_astray || file.is_some());
        let kept = places.map(|(path, file)| keep(path, file, &self.said, at_ms));
        kept.reduce(Result::or).unwrap_or(Ok(()))?;
        self.said_ms = at_ms;
        Ok(())
    }

    /// Says it again in a place that somebody took away, if there is room for it.
    pub fn say_again(&mut self) {
        let at_ms = clock::now().wall_ms;
        for (path, file) in word_paths(&self.dir).iter().zip(&mut self.words) {
            let is_there = file.as_ref().is_some_and(|file| is_at(file, path));
            if !is_there {
                *file = None;
                // What can't be made is tried again by the next look.
                self.said_ms = keep(path, file, &self.said, at_ms).map_or(self.said_ms, |()| at_ms);
            }
        }
    }

    /// Another reserve, for where this one was taken away.
    pub fn anew(&mut self) {
        let said = std::mem::take(&mut self.said);
        *self = Reserve { said, said_ms: self.said_ms, ..Reserve::open(&self.dir) };
        self.say_again();
    }
}

/// The two places of a last word.
fn word_paths(dir: &Path) -> [PathBuf; 2] {
    [dir.join(WORD), dir.with_extension(WORD)]
}

fn open_word(path: &Path) -> io::Result<File> {
    let file = own::open(path, OFlags::RDWR | OFlags::CREATE)?;
    if file.metadata()?.blocks() * 512 < MAX_WORD_BYTES as u64 {
        file.write_all_at(&[0; MAX_WORD_BYTES], 0)?;
    }
    Ok(file)
}

fn keep(path: &Path, file: &mut Option<File>, word: &[u8], at_ms: i64) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        None => file.insert(open_word(path)?),
    };
    let stamp = stamp_for(&file.metadata()?, at_ms);
    file.write_all_at(&stamped(word, stamp), 0)
}

/// Whether this file is the one of this name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(found), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (there.dev(), there.ino()) == (found.dev(), found.ino())
}
