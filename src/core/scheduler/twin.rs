//! The PHP program's daemon that runs the same group: what is due runs twice. None is there when a
//! daemon starts, but one may be started later.

use super::Scheduler;

/// Set in the environment of a daemon, to 1, where the PHP program of another installation has
/// groups of the same numbers.
pub const BESIDE_PHP: &str = "SCHEDULE_BESIDE_PHP";

/// What to say where both run.
pub fn twice(pid: u32) -> String {
    format!(
        "the PHP program runs this group, too, pid {pid}: its jobs run twice. End that one (its \
         `sched stop`, or kill {pid}; its running jobs go on), or this one. If it is another \
         installation's, with other tables, set {BESIDE_PHP}=1 in the environment of the daemon"
    )
}

impl Scheduler {
    /// The pid of the PHP program's daemon that runs this group, too.
    pub fn twin(&self) -> Option<u32> {
        self.twin
    }

    pub(in crate::core) fn found_twin(&mut self, pid: Option<u32>) {
        if self.twin == pid {
            return;
        }
        match pid {
            Some(pid) => log::error!("{}", twice(pid)),
            None => log::info!("the PHP program does not run this group any more"),
        }
        self.twin = pid;
        self.touch_daemon();
    }
}
