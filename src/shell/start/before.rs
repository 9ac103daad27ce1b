//! Whether the state directory is the one that the daemon before has worked in, and as that left
//! it: else what its journal says of slots counts no more.

use crate::shell::instance;
use crate::shell::journal;
use crate::shell::lock::Lock;
use jiff::Timestamp;
use std::path::Path;

/// See the module's text.
pub struct Before {
    /// The number of the daemon that starts.
    pub instance: u64,
    /// The directory is a copy of another, or was moved.
    pub is_copy: bool,
    /// Why a daemon may have worked since with another journal.
    pub unknown: Option<String>,
}

impl Before {
    /// Looks, for a daemon that has the locks of its pid file and of the directory. A program that
    /// takes the place of another in its process (`renewed`) goes on with what that has left.
    pub fn look(state_dir: &Path, lock: &Lock, renewed: bool) -> Before {
        let dir = state_dir.display();
        let put_back = journal::put_back(&state_dir.join("journal")).filter(|_| !renewed);
        // First: a copy gets another number, and so does what goes another way than before.
        let is_copy = instance::is_copy(state_dir);
        if put_back.is_some() {
            instance::forget(state_dir);
        }
        let is_other = lock.worked_in().is_some_and(|it| Some(it) != instance::kept_in(state_dir));
        let unknown = match put_back {
            Some((said_ms, changed_ms)) => Some(format!(
                "{dir} was put back or copied there at {}, or got another owner or mode then, and \
                 is as a daemon left it at {}",
                time(changed_ms),
                time(said_ms)
            )),
            None if is_copy => Some(format!("{dir} is a copy, or was moved to another disk")),
            None if is_other => Some(format!("{dir} is not where the daemon before has worked")),
            None => None,
        };
        let instance = instance::draw(state_dir);
        lock.works_in(instance::kept_in(state_dir));
        Before { instance, is_copy, unknown: unknown.filter(|_| !renewed) }
    }
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
