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
    pub fn look(state_dir: &Path, lock: &Lock, renewed: bool) -> Before {
        let standing = journal::standing(&state_dir.join("journal")).filter(|_| !renewed);
        let changed = standing.is_some_and(|it| it.changed_ms.is_some());
        let kept = instance::kept_in(state_dir);
        // A number that somebody took away tells nothing.
        let is_other = kept.is_some() && lock.worked_in().is_some_and(|it| Some(it) != kept);
        let left_ms = lock.left_ms().filter(|_| kept.is_some() && !is_other);
        // A copy gets another number, and so does what goes another way than before.
        let is_copy = instance::is_copy(state_dir);
        if changed {
            instance::forget(state_dir);
        }
        let unknown = unknown(state_dir, standing, left_ms, is_other, is_copy);
        let instance = instance::draw(state_dir);
        lock.works_in(instance::kept_in(state_dir));
        Before { instance, is_copy, unknown: unknown.filter(|_| !renewed) }
    }
}

fn unknown(
    dir: &Path,
    standing: Option<Standing>,
    left_ms: Option<i64>,
    is_other: bool,
    is_copy: bool,
) -> Option<(i64, String)> {
    let dir = dir.display();
    if is_other {
        return Some((i64::MAX, format!("{dir} is not where the daemon before has worked")));
    }
    let Standing { said_ms, changed_ms } = standing?;
    let said = time(said_ms);
    if let Some(left_ms) = left_ms.filter(|left_ms| *left_ms > said_ms) {
        let left = time(left_ms);
        let why =
            format!("{dir} is as a daemon left it at {said}, and the last one left at {left}");
        return Some((i64::MAX, why));
    }
    // Of a daemon that has ended in order this is the very last, wherever it is now.
    let changed_ms = changed_ms.filter(|_| left_ms != Some(said_ms))?;
    // What was copied may have been left behind by a daemon that worked on.
    let until_ms = if is_copy { i64::MAX } else { changed_ms + COMMIT_MS };
    let what = match is_copy {
        true => "is a copy, or was moved to another disk,",
        false => "was put back or written over, or the power failed,",
    };
    Some((until_ms, format!("{dir} {what} at {}: it says {said}", time(changed_ms))))
}

/// A daemon goes on in this directory, which it has just made or taken. Returns by which number
/// that is known.
pub fn settle_in(state_dir: &Path, lock: &Lock) -> Option<u64> {
    instance::is_copy(state_dir);
    instance::draw(state_dir);
    let kept = instance::kept_in(state_dir);
    lock.works_in(kept);
    kept
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default()
}
