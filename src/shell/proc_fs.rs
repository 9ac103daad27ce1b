//! Who a pid is, read from `/proc`. A pid alone names nobody: it is given to the next one once its
//! process was reaped. A pid with its start time within one boot names one process for ever.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::fs::{Stat, stat as stat_of};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open};

use super::sys::Pid;
use crate::core::plain;

/// Processes that are named in an outcome.
const MAX_NAMED: usize = 5;

/// The kernel keeps 15 characters of the name of a program, 63 of one of its own threads.
const NAME_COLUMNS: usize = 64;

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

/// Whether it waits for something that no signal ends.
pub fn hangs(pid: Pid) -> bool {
    stat(pid).is_ok_and(|found| found.is_some_and(|(state, _)| state == b'D'))
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

/// Who a process really belongs to: the first of the four in `Uid:` of `/proc/PID/status`
/// (proc_pid_status(5)). A program with the set-user-ID bit changes the others only.
pub fn real_user(pid: Pid) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let users = text.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().next()?.parse().ok()
}

/// The parent of a process, now: field 4 of `/proc/PID/stat`.
pub fn parent(pid: Pid) -> Option<Pid> {
    Pid::from_raw(number_in_stat(pid, 4)?)
}

/// The session of a process: field 6. 0 is one from outside of this namespace of processes.
pub fn session_of(pid: Pid) -> Option<i32> {
    number_in_stat(pid, 6)
}

/// A field of `/proc/PID/stat` behind the name.
fn number_in_stat(pid: Pid, field: usize) -> Option<i32> {
    let text = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let after_name = text.iter().rposition(|&byte| byte == b')')? + 1;
    let fields = std::str::from_utf8(&text[after_name..]).ok()?;
    fields.split_ascii_whitespace().nth(field - 3)?.parse().ok()
}

/// What a process says that it is called (`/proc/PID/comm`), made plain; empty if it is gone.
pub fn name(pid: Pid) -> String {
    let said = fs::read(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
    plain::clean(String::from_utf8_lossy(&said).trim_end(), NAME_COLUMNS)
}

/// `4711 sleep, 4712 sh and 3 more`.
pub fn named(pids: &[Pid]) -> String {
    let named = |pid: &Pid| format!("{} {}", pid.as_raw_nonzero(), name(*pid));
    let mut text = pids.iter().take(MAX_NAMED).map(named).collect::<Vec<_>>().join(", ");
    if pids.len() > MAX_NAMED {
        text.push_str(&format!(" and {} more", pids.len() - MAX_NAMED));
    }
    text
}

/// Whether a process has this file or directory open; none if that can't be seen, because it is
/// another user's.
pub fn has_open(pid: Pid, wanted: &Stat) -> Option<bool> {
    let entries = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).ok()?;
    let is_it = |entry: fs::DirEntry| {
        stat_of(entry.path())
            .is_ok_and(|found| (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino))
    };
    Some(entries.flatten().any(is_it))
}

/// Whether processes of other users can be seen: not where `/proc` is mounted with `hidepid`.
pub fn shows_others() -> bool {
    fs::metadata("/proc/1").is_ok()
}

/// What a process is called in ps(1).
pub fn title(pid: Pid) -> Option<Vec<u8>> {
    let text = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    Some(text.split(|&byte| byte == 0).next()?.to_vec())
}

/// All processes that are there now.
///
/// # Errors
/// If `/proc` can't be listed.
pub fn all() -> io::Result<impl Iterator<Item = Pid>> {
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    Ok(fs::read_dir("/proc")?.filter_map(number).filter_map(Pid::from_raw))
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
