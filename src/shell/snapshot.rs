//! The files of the snapshot: `snapshot` is the last good one, `snapshot.new` what a helper wrote
//! for the next, `snapshot.old` what was replaced and is deleted by the next helper,
//! `snapshot.stale` what is never read again, and `snapshot.room` what the next one is written
//! over: its blocks are there when the disk is full.

use crate::core::daemon::{Core, Kept, Loaded};
use crate::shell::own;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a snapshot at the most: it is in memory as a whole when it is loaded.
const MAX_BYTES: u64 = 256 << 20;

/// The ending of the room for the next snapshot.
pub const ROOM: &str = "room";

/// Bytes that are kept for the next snapshot at the most: a table of some 10,000 jobs.
pub const MAX_ROOM_BYTES: u64 = 4 << 20;

/// The room for the next snapshot.
pub fn room_in(state_dir: &Path) -> PathBuf {
    path_in(state_dir).with_extension(ROOM)
}

/// Bytes that a file has on the disk; 0 if it is none.
pub fn allocated_bytes(path: &Path) -> u64 {
    let found = fs::symlink_metadata(path).ok().filter(|found| found.is_file());
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
    let loaded = read(found).map(|bytes| core.load_snapshot(lines(&bytes)));
    if loaded == Some(Loaded::InForce) {
        return;
    }
    let new = read(&path.with_extension("new"));
    if new.is_some_and(|bytes| core.load_new_snapshot(lines(&bytes))) {
        log::info!("snapshot {}: the daemon before was about to keep it", path.display());
        core.snapshot_kept(keep(state_dir));
        return;
    }
    match loaded {
        Some(Loaded::Stale) => {
            if put_aside(found, &path) {
                core.snapshot_put_aside();
            }
            log::error!(
                "snapshot {}: another table was in force after it, so it is put aside: nothing is \
                 started before the database has answered",
                found.display()
            );
        }
        Some(Loaded::NotWhole) => {
            log::warn!("snapshot {} is not whole and was not used", found.display());
        }
        Some(Loaded::InForce) | None => {}
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    match own::read(path, MAX_BYTES) {
        Ok(bytes) => Some(bytes),
        Err(why) if why.kind() == io::ErrorKind::NotFound => None,
        Err(why) => {
            log::warn!("snapshot {}: {why}", path.display());
            None
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// What was replaced is room for the next one, unless there is more.
fn recycle(old: &Path, room: &Path) {
    let bytes = allocated_bytes(old);
    if bytes <= MAX_ROOM_BYTES && bytes > allocated_bytes(room) {
        let _ = fs::rename(old, room);
    }
}

/// Nobody reads it any more. Names change where there is no room for anything else.
fn put_aside(found: &Path, path: &Path) -> bool {
    match fs::rename(found, path.with_extension("stale")) {
        Ok(()) => true,
        Err(why) => why.kind() == io::ErrorKind::NotFound,
    }
}

/// Puts what a helper wrote in the place of the last good snapshot.
pub fn keep(state_dir: &Path) -> Kept {
    let path = path_in(state_dir);
    let (old, new) = (path.with_extension("old"), path.with_extension("new"));
    let was_there = path.is_file();
    // There is none where the helper had no room for it.
    let is_there = match new.is_file() {
        true => Ok(()),
        false => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let kept = is_there.and_then(|()| {
        // Put aside, not overwritten: giving back the blocks of a large file takes its time, so
        // that is left to the next helper.
        let _ = fs::rename(&path, &old);
        fs::rename(&new, &path)
    });
    let Err(why) = kept else {
        recycle(&old, &room_in(state_dir));
        return Kept::Done;
    };
    // That of before is not the table in force: a job that was switched off since must not run
    // from it.
    let _ = fs::remove_file(&old);
    let aside = put_aside(&path, &path) && !old.exists();
    if was_there && aside {
        log::warn!(
            "snapshot {}: the new one is missing ({why}), that of before is put aside: until there \
             is one, a start waits for the database",
            path.display()
        );
    }
    Kept::Not { why: why.to_string(), aside }
}
