//! Whether the state directory is the one that the daemon before has worked in, and as that left
//! it: else what its journal says of slots counts no more.

use crate::shell::instance;
use crate::shell::journal::{self, Standing};
use crate::shell::lock::Lock;
use jiff::Timestamp;
use std::path::Path;

/// A file system has written what it knows of files at the latest after so many milliseconds: the
/// five seconds of ext4 (`commit`, ext4(5)), and a little. A daemon whose machine lost its power
/// may have worked so much longer than the times of its files say.
const COMMIT_MS: i64 = 6_000;

/// See the module's text.
pub struct Before {
    /// The number of the daemon that starts.
    pub instance: u64,
    /// The directory is a copy of another, or was moved.
    pub is_copy: bool,
    /// Until when (unix ms) a daemon may have worked with another journal, and why.
    pub unknown: Option<(i64, String)>,
}

impl Before {
    /// Looks, for a daemon that has the locks of its pid file and of the directory. A program that
    /// takes the place of another in its process (`renewed`) goes on with what that has left.
    ///
    /// What was found is noted before what tells it is written over: this start may yet fail.
    pub fn look(now_ms: i64, state_dir: &Path, lock: &Lock, renewed: bool) -> Before {
        let standing = journal::standing(&state_dir.join("journal")).filter(|_| !renewed);
        let kept = instance::kept_in(state_dir);
        // A number that somebody took away tells nothing.
        let is_other = kept.is_some() && lock.worked_in().is_some_and(|it| Some(it) != kept);
        let left_ms = lock.left_ms().filter(|_| kept.is_some());
        let is_copy = instance::is_a_copy(state_dir);
        let found = match is_other {
            true => Some(is_elsewhere(state_dir, left_ms)),
            false => standing.and_then(|it| is_old(state_dir, it, left_ms, is_copy)),
        };
        let found = found.filter(|_| !renewed).map(|(until_ms, why)| (until_ms.min(now_ms), why));
        let noted = lock.unknown_ms().filter(|until_ms| *until_ms > 0).map(|until_ms| {
            let why = "it was found by a start that failed that a daemon may have worked elsewhere";
            (until_ms, why.to_owned())
        });
        let unknown = found.into_iter().chain(noted.filter(|_| !renewed));
        let unknown = unknown.max_by_key(|(until_ms, _)| *until_ms);
        let unknown_ms = unknown.as_ref().map_or(0, |(until_ms, _)| *until_ms);
        lock.works_in(kept.or(Some(0)), unknown_ms);
        let is_changed = standing.is_some_and(|it| it.changed_ms.is_some());
        let (instance, _) = move_in(state_dir, lock, is_copy || is_changed, unknown_ms);
        Before { instance, is_copy, unknown }
    }
}

fn is_elsewhere(dir: &Path, left_ms: Option<i64>) -> (i64, String) {
    let until_ms = left_ms.map_or(i64::MAX, |left_ms| left_ms + COMMIT_MS);
    (until_ms, format!("{} is not where the daemon before has worked", dir.display()))
}

fn is_old(
    dir: &Path,
    standing: Standing,
    left_ms: Option<i64>,
    is_copy: bool,
) -> Option<(i64, String)> {
    let Standing { said_ms, is_own, touched_ms, changed_ms } = standing;
    let (dir, said) = (dir.display(), time(said_ms));
    if let Some(left_ms) = left_ms.filter(|left_ms| *left_ms > said_ms) {
        let left = time(left_ms);
        let why =
            format!("{dir} is as a daemon left it at {said}, and the last one left at {left}");
        return Some((touched_ms.max(left_ms) + COMMIT_MS, why));
    }
    // Of a daemon that has ended in order this is the very last.
    let is_last = left_ms == Some(said_ms);
    let changed_ms = changed_ms.filter(|_| !(is_last && is_own))?;
    // What was copied may have been left behind by a daemon that worked on.
    let until_ms = if is_copy && !is_last { i64::MAX } else { changed_ms + COMMIT_MS };
    let what = match is_copy {
        true => "is a copy, or was moved to another disk,",
        false => "was put back or written over, or the power failed,",
    };
    Some((until_ms, format!("{dir} {what} at {}: it says {said}", time(changed_ms))))
}

/// A daemon goes on in this directory, which it has just made or taken. Returns by which number
/// that is known.
pub fn settle_in(state_dir: &Path, lock: &Lock) -> Option<u64> {
    move_in(state_dir, lock, instance::is_a_copy(state_dir), 0).1
}

/// Takes this directory as the one that the daemon works in. A copy gets another number, and so
/// does what goes another way than before (`is_other`). Returns the daemon's number, and the half
/// of it by which the directory is known.
fn move_in(dir: &Path, lock: &Lock, is_other: bool, unknown_ms: i64) -> (u64, Option<u64>) {
    if is_other {
        instance::forget(dir);
    }
    instance::note_home(dir);
    let instance = instance::draw(dir);
    let kept = instance::kept_in(dir);
    lock.works_in(kept, unknown_ms);
    (instance, kept)
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default()
}
