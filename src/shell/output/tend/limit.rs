//! A file of an output that is longer than it may be: its head and its tail stay, and where the
//! middle was stands a line that says how much is missing.
//!
//! As long as the run writes, its file keeps its length: the blocks of the middle are given back
//! (`FALLOC_FL_PUNCH_HOLE`), which the run does not notice. Who reads by offsets goes on where he
//! was. When the run has ended, and nobody follows the file any longer, the tail is moved up to the
//! line, and the file is as long as it takes.

use rustix::fs::{
    FallocateFlags, Stat, Timespec, Timestamps, fallocate, fdatasync, fstat, ftruncate, futimens,
};
use rustix::io::{Errno, pread, pwrite};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

/// Parts of a file are given back in whole blocks; those of no file system are larger.
const BLOCK: u64 = 64 << 10;

/// Bytes of a tail that is moved, at the most.
const MOST_MOVED: u64 = 256 << 20;

/// Bytes that are moved at a time.
const PIECE: usize = 256 << 10;

/// What the line begins with, the line end before it included, and ends with.
const BEGIN: &str = "\n[schedule: output_limit: ";
const END: &str = " bytes are left out here]\n";

/// Digits of the number in it: it is written over in place.
const DIGITS: usize = 20;

/// Bytes of the line.
const LINE: u64 = (BEGIN.len() + DIGITS + END.len()) as u64;

/// A file that was written to in these last seconds may be followed by somebody.
pub const FRESH_S: u64 = 45;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing was to be done.
    Not,
    /// So many bytes were left out.
    LeftOut(u64),
    /// The file system can't give back a part of a file.
    NoHoles,
}

/// Which bytes go.
#[derive(Clone, Copy)]
struct Middle {
    begin: u64,
    end: u64,
}

impl Middle {
    fn of(size: u64, limit: u64) -> Option<Middle> {
        let begin = (limit / 2 / BLOCK).max(1) * BLOCK;
        let end = size.saturating_sub(limit.saturating_sub(begin)) / BLOCK * BLOCK;
        (end > begin).then_some(Middle { begin, end })
    }

    fn bytes(self) -> u64 {
        self.end - self.begin
    }
}

/// Seconds since a file was written to.
pub fn age_s(found: &Stat) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    now.abs_diff(u64::try_from(found.st_mtime).unwrap_or(0))
}

/// Gives back the middle of a file that somebody may be writing to.
///
/// # Errors
/// The system's.
pub fn cut_live(file: &OwnedFd, limit: u64) -> io::Result<Cut> {
    let found = fstat(file)?;
    let (size, taken) = (length(&found), blocks(&found));
    let Some(middle) = Middle::of(size, limit) else { return Ok(Cut::Not) };
    // Not for each bit that is written.
    if taken <= limit.saturating_add((limit / 8).max(2 * BLOCK)) {
        return Ok(Cut::Not);
    }
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, how, middle.begin, middle.bytes()) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(Cut::NoHoles),
        Err(why) => return Err(why.into()),
    }
    say(file, middle.begin, middle.bytes())?;
    Ok(Cut::LeftOut(taken.saturating_sub(blocks(&fstat(file)?))))
}

/// Moves the tail of a file up to where its middle began: nobody writes to it any more. What a
/// process in the background writes meanwhile is moved as well. A tail that is longer than the
/// middle, or very long, stays where it is: who dies while it is moved over itself has lost it, and
/// there is not time for any length. The middle takes no room then either.
///
/// # Errors
/// The system's. What was moved by then is moved again the next time.
pub fn cut_ended(file: &OwnedFd, limit: u64) -> io::Result<Cut> {
    let found = fstat(file)?;
    let Some(middle) = Middle::of(length(&found), limit) else { return Ok(Cut::Not) };
    if middle.bytes() <= BLOCK {
        return Ok(Cut::Not);
    }
    let tail = length(&found) - middle.end;
    if tail > middle.bytes() || tail > MOST_MOVED {
        return cut_live(file, limit);
    }
    // It was cut before, and has grown since.
    let is_whole = blocks(&found) >= length(&found);
    let before = if is_whole { said(file, middle.begin)? } else { 0 };
    let (mut from, mut to) = (middle.end, middle.begin);
    let mut bytes = vec![0; PIECE];
    loop {
        let count = pread(file, &mut bytes[..], from)?;
        if count == 0 {
            break;
        }
        write_at(file, &bytes[..count], to)?;
        (from, to) = (from + count as u64, to + count as u64);
    }
    // The tail is on the disk in its new place before the old one goes, and so is the line.
    say(file, middle.begin, middle.bytes() + before)?;
    fdatasync(file)?;
    ftruncate(file, to)?;
    let at = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let last_access = at(found.st_atime, found.st_atime_nsec);
    let last_modification = at(found.st_mtime, found.st_mtime_nsec);
    futimens(file, &Timestamps { last_access, last_modification })?;
    Ok(Cut::LeftOut(middle.bytes()))
}

/// Writes the line to where the middle begins, over the last bytes before it.
fn say(file: &OwnedFd, begin: u64, bytes: u64) -> io::Result<()> {
    let missing = bytes + LINE;
    write_at(file, format!("{BEGIN}{missing:>DIGITS$}{END}").as_bytes(), begin - LINE)
}

/// How many bytes a line that is there says to be missing; its own are counted once.
fn said(file: &OwnedFd, begin: u64) -> io::Result<u64> {
    let mut line = [0; LINE as usize];
    let count = pread(file, &mut line[..], begin - LINE)?;
    let text = std::str::from_utf8(&line[..count]).unwrap_or_default();
    let number = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let number = number.and_then(|number| number.trim().parse::<u64>().ok());
    Ok(number.map_or(0, |bytes| bytes.saturating_sub(LINE)))
}

fn write_at(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match pwrite(file, bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => (bytes, at) = (&bytes[count..], at + count as u64),
            Err(Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
    }
    Ok(())
}

fn length(found: &Stat) -> u64 {
    u64::try_from(found.st_size).unwrap_or(0)
}

/// Bytes on the disk.
fn blocks(found: &Stat) -> u64 {
    u64::try_from(found.st_blocks).unwrap_or(0) * 512
}
