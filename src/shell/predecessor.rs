//! The PHP program whose place this one takes: its daemons are known by their command line,
//! `php …/Process.php SERVER_ID`. A job that both of them run is run twice, so one that is alive
//! keeps its pid file and its group.

use super::proc_fs;
use super::sys::Pid;
use std::env;
use std::fs;

/// The script that its daemons execute.
const SCRIPT: &str = "Process.php";

/// The daemon that the text of a pid file names, whichever group it runs: the file is its.
pub fn named(text: &str) -> Option<Pid> {
    let pid = text.split_whitespace().next()?.parse().ok().and_then(Pid::from_raw)?;
    group_of(pid).map(|_| pid)
}

/// The daemon of a group, wherever its pid file is.
pub fn of_group(server_id: u32) -> Option<Pid> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    pids.find(|pid| group_of(*pid) == Some(server_id))
}

/// Set where the PHP program of another installation has groups of the same numbers.
const BESIDE: &str = "SCHEDULE_BESIDE_PHP";

/// The same, unless it is said that it is another installation's: its process does not tell which
/// tables it reads.
pub fn beside(server_id: u32) -> Option<Pid> {
    if env::var_os(BESIDE).is_some_and(|value| value == "1") { None } else { of_group(server_id) }
}

/// What to say where its process is known, but no pid file that we share.
pub fn found_beside(pid: Pid) -> String {
    format!(
        "{}. If it is another installation's, with other tables, set {BESIDE}=1 in the \
         environment of the daemon",
        in_the_way(pid)
    )
}

/// What to say where it keeps another daemon from its group.
pub fn in_the_way(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero();
    format!(
        "the PHP program runs this group, pid {pid}: with both of them its jobs would run twice. \
         End that one first (its `sched stop`, or kill {pid}; its running jobs go on)"
    )
}

/// The group that a process runs, if it is such a daemon and alive.
fn group_of(pid: Pid) -> Option<u32> {
    let text = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    let text = String::from_utf8_lossy(&text);
    // In one piece where the process has given itself a title.
    let mut words = text.split(['\0', ' ']);
    words.find(|word| word.rsplit('/').next() == Some(SCRIPT))?;
    let id = words.next()?.parse().ok()?;
    (!proc_fs::has_ended(pid)).then_some(id)
}
