//! The files of the snapshot: `snapshot` is the last good one, `snapshot.new` what a helper wrote
//! for the next, `snapshot.old` what was replaced, `snapshot.stale` what is never read again, and
//! `snapshot.room` what the next one is written over: its blocks are there when the disk is full.
//!
//! What was replaced is the room of the next one, and no file is cut to what is in it: two files
//! with blocks for the same table take turns, so that any number of changes is kept on a full disk.

use crate::core::daemon::Core;
use crate::core::scheduler::{Kept, Loaded, SnapshotTrouble};
use crate::shell::own;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a snapshot at the most: it is in memory as a whole when it is loaded.
const MAX_BYTES: u64 = 256 << 20;

/// The ending of the room for the next snapshot.
pub const ROOM: &str = "room";

/// Bytes that a snapshot has on the disk at the least: a table of some 10,000 jobs.
const MIN_ROOM_BYTES: u64 = 4 << 20;

/// Bytes that are allocated ahead at the most, for each of the two files.
const MAX_AHEAD_BYTES: u64 = 32 << 20;

/// A snapshot of so many bytes has these on the disk: the table may grow while that is full.
fn room_bytes(bytes: u64) -> u64 {
    (bytes + bytes / 4).next_multiple_of(1 << 20).max(MIN_ROOM_BYTES)
}

/// The files that should have more blocks, and how many bytes each should have in all.
pub fn short_of_room(state_dir: &Path) -> Vec<(PathBuf, u64)> {
    let path = path_in(state_dir);
    let bytes = fs::symlink_metadata(&path).map_or(0, |found| found.len());
    let wanted = room_bytes(bytes).min(MAX_AHEAD_BYTES);
    // While there is a new one, what it replaces will be the room.
    let room = (!path.with_extension("new").exists()).then(|| path.with_extension(ROOM));
    let last = path.exists().then_some(path);
    let files = last.into_iter().chain(room);
    files.filter(|file| allocated_bytes(file) < wanted).map(|file| (file, wanted)).collect()
}

/// Bytes that a file has on the disk; 0 if it is none of ours.
pub fn allocated_bytes(path: &Path) -> u64 {
    let own = rustix::process::geteuid().as_raw();
    let is_ours = |it: &fs::Metadata| it.is_file() && it.uid() == own && it.nlink() == 1;
    let found = fs::symlink_metadata(path).ok().filter(is_ours);
    found.map_or(0, |found| found.blocks() * 512)
}

fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join("snapshot")
}

/// Has the last good snapshot loaded: one that is not of the table which was in force last is put
/// aside, and that which the daemon before was killed before it kept is kept now.
pub fn load(core: &mut Core, state_dir: &Path) {
    let path = path_in(state_dir);
    // A daemon that was killed between putting it aside and putting the next one in its place left
    // it under its other name.
    let old = path.with_extension("old");
    let found = if fs::symlink_metadata(&path).is_ok() { &path } else { &old };
    let loaded = match read(found) {
        Ok(Some(bytes)) => Some(core.scheduler.load_snapshot(lines(&bytes))),
        Ok(None) => {
            core.scheduler.no_snapshot(None);
            None
        }
        Err(why) => {
            log::warn!("snapshot {}", why);
            core.scheduler.no_snapshot(Some(why));
            None
        }
    };
    if loaded == Some(Loaded::InForce) {
        return;
    }
    // Nobody misses one that can't be read.
    let new = read(&path.with_extension("new")).ok().flatten();
    if new.is_some_and(|bytes| core.scheduler.load_new_snapshot(lines(&bytes))) {
        log::info!("snapshot {}: the daemon before was about to keep it", path.display());
        core.scheduler.snapshot_kept(keep(state_dir, None));
        return;
    }
    match loaded {
        Some(Loaded::Stale) => {
            if put_aside(found, &path) {
                core.scheduler.snapshot_put_aside();
            }
            log::error!(
                "snapshot {}: another table was in force after it, so it is put aside: nothing is \
                 started before the database has answered",
                found.display()
            );
        }
        // It stays: by the other configuration it is good.
        Some(Loaded::Foreign) => {
            core.scheduler.snapshot_error().iter().for_each(|why| log::error!("snapshot {why}"));
        }
        Some(Loaded::NotWhole) => {
            log::warn!("snapshot {} is not whole and was not used", found.display());
        }
        None if core.scheduler.snapshot_trouble() == Some(&SnapshotTrouble::Missing) => log::warn!(
            "snapshot {} is missing: nothing is started before the database has answered",
            path.display()
        ),
        Some(Loaded::InForce) | None => {}
    }
}

/// None where there is none; otherwise why it can't be read.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match own::read(path, MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(own::told(path, &why)),
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.trim_ascii_end().split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// Makes a file that nobody reads any more the room for the next one, unless that has as many
/// blocks. Returns whether it did.
fn recycle(file: &Path, room: &Path) -> bool {
    allocated_bytes(file) > allocated_bytes(room) && own::rename(file, room).is_ok()
}

/// The same, and takes it away otherwise. For the helper: to give back the blocks of a large file
/// takes its time.
pub fn recycle_or_remove(file: &Path, room: &Path) {
    if !recycle(file, room) {
        // Gone already is as good.
        let _ = own::remove(file);
    }
}

/// Before a helper writes the one that is to be called `new`: what nobody reads goes, and its
/// blocks are room. Returns the file to write over.
pub fn clear_for(new: &Path) -> PathBuf {
    let (path, room) = (new.with_extension(""), new.with_extension(ROOM));
    recycle_or_remove(&path.with_extension("stale"), &room);
    // What the daemon put aside, unless it is the only one: it died before it put another in its
    // place.
    if path.exists() {
        recycle_or_remove(&path.with_extension("old"), &room);
    }
    // One that waited to be kept until another was asked for had the room.
    if allocated_bytes(&room) == 0 {
        recycle(new, &room);
    }
    room
}

/// Ends a snapshot that was written over a longer one. The file is not cut: on a full disk its
/// blocks would belong to the program that writes first, and the next snapshot would have no room.
/// What is left of the longer one becomes blank lines.
///
/// # Errors
/// It can't be written.
pub fn end_at(file: &mut File, bytes: u64) -> io::Result<()> {
    let most = room_bytes(bytes);
    let mut length = file.metadata()?.len();
    if length > most {
        file.set_len(most)?;
        length = most;
    }
    let blank = [b'\n'; 64 << 10];
    let mut left = length.saturating_sub(bytes);
    while left > 0 {
        let piece = left.min(blank.len() as u64);
        file.write_all(&blank[..piece as usize])?;
        left -= piece;
    }
    Ok(())
}

/// Nobody reads it any more. Names change where there is no room for anything else.
fn put_aside(found: &Path, path: &Path) -> bool {
    match own::rename(found, &path.with_extension("stale")) {
        Ok(()) => true,
        Err(why) => why.kind() == io::ErrorKind::NotFound,
    }
}

/// Puts what a helper wrote in the place of the last good snapshot; `unwritten`: why it wrote none.
pub fn keep(state_dir: &Path, unwritten: Option<String>) -> Kept {
    let path = path_in(state_dir);
    let (old, room) = (path.with_extension("old"), path.with_extension(ROOM));
    let was_there = path.is_file();
    let Err(why) = unwritten.map_or_else(|| replace(&path, &old), Err) else {
        recycle(&old, &room);
        return Kept::Done;
    };
    // That of before is not the table in force: a job that was switched off since must not run
    // from it.
    if !recycle(&old, &room) {
        let _ = own::remove(&old);
    }
    let aside = put_aside(&path, &path) && !old.exists();
    if was_there && aside {
        log::warn!(
            "snapshot {}: the new one is not kept ({why}), that of before is put aside: until \
             there is one, a start waits for the database",
            path.display()
        );
    }
    Kept::Not { why, aside }
}

fn replace(path: &Path, old: &Path) -> Result<(), String> {
    let new = path.with_extension("new");
    let said = |file: &Path, why: io::Error| own::told(file, &why);
    let found = fs::symlink_metadata(&new).map_err(|why| said(&new, why))?;
    if !found.is_file() {
        return Err(said(&new, own::no_file()));
    }
    // Put aside, not overwritten: giving back the blocks of a large file takes its time, so that is
    // left to the next helper.
    let _ = own::rename(path, old);
    own::rename(&new, path).map_err(|why| said(path, why))
}
