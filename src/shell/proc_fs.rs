//! Who a pid is, read from `/proc`. A pid alone names nobody: it is given to the next one once its
//! process was reaped. A pid with its start time within one boot names one process for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open};

use super::sys::Pid;

/// Longest environment that is searched; the kernel allows more only to who raised `ulimit -s`.
const MAX_ENVIRON_BYTES: u64 = 4 << 20;

/// When the process was started, in clock ticks since boot: field 22 of `/proc/PID/stat`
/// (proc_pid_stat(5)). A child that has ended but was not yet reaped still has it. `None` if there
/// is no such process, or it can't be read now.
pub fn kernel_start(pid: Pid) -> Option<u64> {
    stat(pid).ok().flatten().map(|(_, start)| start)
}

/// Whether `pid` is the process that was started then, and has not ended. Where there is no
/// descriptor to read that with, any process with its pid is taken for it.
pub fn is_running(pid: Pid, start: u64) -> bool {
    match stat(pid) {
        Ok(found) => found.is_some_and(|(state, since)| since == start && !is_over(state)),
        Err(_) => rustix::process::test_kill_process(pid) != Err(Errno::SRCH),
    }
}

/// Whether there is no such process, or it has ended and nobody has reaped it yet.
pub fn has_ended(pid: Pid) -> bool {
    stat(pid).is_ok_and(|found| found.is_none_or(|(state, _)| is_over(state)))
}

/// Whether it was stopped by a signal, as SIGSTOP is.
pub fn is_stopped(pid: Pid) -> bool {
    stat(pid).is_ok_and(|found| found.is_some_and(|(state, _)| state == b'T'))
}

/// proc_pid_stat(5): zombie, dead.
fn is_over(state: u8) -> bool {
    matches!(state, b'Z' | b'X')
}

/// Fields 3 and 22 of `/proc/PID/stat`: state and start; `None` if there is no such process.
fn stat(pid: Pid) -> io::Result<Option<(u8, u64)>> {
    // A launch pays for this: no allocation, one read. The file has some 350 bytes, 1024 at most
    // (52 numbers of up to 20 digits would be more, but most of them are small or zero by type).
    let mut path = [0; 32];
    let mut rest = &mut path[..];
    write!(rest, "/proc/{}/stat", pid.as_raw_nonzero())?;
    let unused = rest.len();
    let path = &path[..path.len() - unused];
    let mut text = [0; 1024];
    let read = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::io::read(&file, &mut text));
    match read {
        Ok(length) => Ok(state_and_start(&text[..length])),
        Err(Errno::NOENT | Errno::SRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The second field, the program's name in parentheses, may hold spaces, parentheses and newlines,
/// so fields are counted from the last `)` on.
fn state_and_start(stat: &[u8]) -> Option<(u8, u64)> {
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let fields = std::str::from_utf8(&stat[after_name..]).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, fields.nth(22 - 4)?.parse().ok()?))
}

/// Whether `pid` is still (or, not yet reaped, was until now) the process that was started then.
///
/// # Errors
/// That can't be told now: `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn is_same_process(pid: Pid, start: u64) -> io::Result<bool> {
    Ok(stat(pid)?.is_some_and(|(_, since)| since == start))
}

/// Names the current boot: start times of another one mean nothing.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path)
        .map(|text| text.trim_end().to_owned())
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}: mount /proc")))
}

/// Resident memory of this process: field 2 of `/proc/self/statm` (proc_pid_statm(5)); 0 if it
/// can't be read.
pub fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// A descriptor that becomes readable when the process ends, for one that is not our child;
/// `None` if `pid` is not (any more) the process started then. Checked after the descriptor is
/// open, because the descriptor can't change its process any more.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`; `ENOSYS` before Linux 5.3.
pub fn watch(pid: Pid, start: u64) -> io::Result<Option<OwnedFd>> {
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(fd) => Ok(is_same_process(pid, start)?.then_some(fd)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Every process that carries `SCHEDULE_RUN_ID=run_id` in its environment: a run's processes,
/// also those that left its process group. Looks at every process of the machine (some 20 µs
/// each), so it is nothing for the loop's everyday.
///
/// # Errors
/// If `/proc` can't be listed. Processes of other users are passed over.
pub fn find_by_run_id(run_id: &str) -> io::Result<Vec<Pid>> {
    let mut found = find_by_run_ids(&BTreeSet::from([run_id.to_owned()]))?;
    Ok(found.remove(run_id).unwrap_or_default())
}

/// The same for several runs in one look.
///
/// # Errors
/// As [`find_by_run_id`].
pub fn find_by_run_ids(wanted: &BTreeSet<String>) -> io::Result<BTreeMap<String, Vec<Pid>>> {
    let mut found = BTreeMap::<String, Vec<Pid>>::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        let run_id = run_id_in(&entry.path().join("environ"));
        if let Some(run_id) = run_id.filter(|run_id| wanted.contains(run_id)) {
            found.entry(run_id).or_default().push(pid);
        }
    }
    Ok(found)
}

fn run_id_in(environ: &Path) -> Option<String> {
    let mut text = Vec::new();
    let file = fs::File::open(environ).ok()?;
    file.take(MAX_ENVIRON_BYTES).read_to_end(&mut text).ok()?;
    let mut entries = text.split(|&byte| byte == 0);
    let run_id = entries.find_map(|entry| entry.strip_prefix(b"SCHEDULE_RUN_ID="))?;
    String::from_utf8(run_id.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let fields: Vec<String> = (4..=52).map(|n| n.to_string()).collect();
        let stat = format!("4711 (a) S 1 (b\n) R {}\n", fields.join(" "));
        assert_eq!(state_and_start(stat.as_bytes()), Some((b'R', 22)));
        assert_eq!(state_and_start(b"4711 (a) S 1"), None);
    }
}
