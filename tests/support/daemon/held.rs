//! What a process holds: memory and descriptors.

use crate::daemon::Daemon;
use rustix::process::Pid;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// The pipes of a helper that stays: to it and from it.
const OF_A_HELPER: usize = 2;

/// What a process holds. A helper is there or not, as its lane has something to do: what the daemon
/// has for it does not count.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Resident memory, in kilobytes.
    pub kb: i64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Held {
    fn of(pid: Pid) -> Held {
        let number = pid.as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap();
        let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kb = kb.trim().trim_end_matches(" kB").parse().unwrap();
        let open = fs::read_dir(format!("/proc/{number}/fd")).unwrap().count();
        let descriptors = open.saturating_sub(OF_A_HELPER * helpers_of(pid).len());
        Held { kb, descriptors }
    }

    /// The least that a process holds at several moments of a second: what comes and goes is not
    /// meant.
    pub fn least(pid: Pid) -> Held {
        let mut least = Held::of(pid);
        for _ in 0..30 {
            sleep(Duration::from_millis(50));
            let now = Held::of(pid);
            least.kb = least.kb.min(now.kb);
            least.descriptors = least.descriptors.min(now.descriptors);
        }
        least
    }
}

/// The helpers of a daemon: one for each lane, at the most.
pub fn helpers(daemon: &Daemon) -> Vec<Pid> {
    helpers_of(daemon.pid())
}

/// The same of one that may be gone by now: it has none then.
pub fn helpers_of(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let is_helper = |child: &&str| {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).any(|word| word == b"exchange")
    };
    let pids = children.split_whitespace().filter(is_helper);
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}
