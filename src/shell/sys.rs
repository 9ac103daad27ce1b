//! The one file with `unsafe`: thin safe wrappers over what neither std nor rustix offers safely.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

pub use rustix::process::Pid;

use crate::core::outcome::{Exit, Usage};

/// A process to be started.
#[derive(Clone, Copy, Debug)]
pub struct Spawn<'a> {
    /// File to execute; searched for along the `PATH` of this process if `search_path` is set and
    /// it has no slash.
    pub program: &'a CStr,
    /// See `program`.
    pub search_path: bool,
    /// Arguments, the first one being the name the process sees as its own.
    pub argv: &'a [&'a CStr],
    /// Environment, `NAME=value` each.
    pub envp: &'a [&'a CStr],
    /// Becomes descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// Becomes descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// Becomes descriptor 2.
    pub stderr: BorrowedFd<'a>,
}

/// Starts a process in a process group of its own, with default signal dispositions, an empty
/// signal mask, and the three descriptors given. Of the other descriptors it inherits those that
/// are not close-on-exec: see [`set_cloexec_from`].
///
/// glibc's `posix_spawn` shares the memory until `execve` (`CLONE_VM | CLONE_VFORK`), so it costs
/// the same however large this process is, and a failing `execve` is reported here.
///
/// # Errors
/// Whatever `clone(2)` and `execve(2)` say; no process is left then. `EINVAL` if a descriptor to
/// be mapped stands where a mapped one goes, because it would be overwritten.
pub fn spawn(wanted: &Spawn<'_>) -> io::Result<Pid> {
    let targets = [wanted.stdin, wanted.stdout, wanted.stderr].map(|fd| fd.as_raw_fd());
    let attributes = Attributes::new()?;
    let actions = FileActions::new(targets)?;
    let argv = pointers(wanted.argv);
    let envp = pointers(wanted.envp);
    let start = if wanted.search_path { libc::posix_spawnp } else { libc::posix_spawn };
    let mut pid: libc::pid_t = 0;
    // SAFETY: every pointer is to a live value of the type asked for; argv and envp end with a
    // null pointer, and their strings outlive the call; posix_spawn does not write to them.
    let errno = unsafe {
        start(
            &mut pid,
            wanted.program.as_ptr(),
            &actions.0,
            &attributes.0,
            argv.as_ptr(),
            envp.as_ptr(),
        )
    };
    check(errno)?;
    Pid::from_raw(pid).ok_or_else(|| io::Error::other("posix_spawn returned pid 0"))
}

/// The array of pointers `execve` wants, its closing null pointer included.
fn pointers(strings: &[&CStr]) -> Vec<*mut c_char> {
    strings.iter().map(|s| s.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// The `posix_spawn` family returns its error instead of setting `errno`.
fn check(errno: libc::c_int) -> io::Result<()> {
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// Own process group; all signals at their defaults (an ignored one would stay ignored across
    /// `execve`, and Rust ignores SIGPIPE); none blocked.
    fn new() -> io::Result<Attributes> {
        const FLAGS: libc::c_int = libc::POSIX_SPAWN_SETPGROUP
            | libc::POSIX_SPAWN_SETSIGDEF
            | libc::POSIX_SPAWN_SETSIGMASK;
        let mut raw = MaybeUninit::uninit();
        // SAFETY: init fills the value in, or fails and leaves nothing to be destroyed.
        let mut made = unsafe {
            check(libc::posix_spawnattr_init(raw.as_mut_ptr()))?;
            Attributes(raw.assume_init())
        };
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut none = MaybeUninit::uninit();
        // SAFETY: the attributes are initialised; the sets are filled in before they are read. A
        // sigset_t is an array of integers, any bytes are one. Not `sigfillset`, because it leaves
        // out glibc's internal signals 32 and 33, and posix_spawn ignores those left out.
        unsafe {
            all.as_mut_ptr().write_bytes(0xff, 1);
            libc::sigemptyset(none.as_mut_ptr());
            check(libc::posix_spawnattr_setpgroup(&mut made.0, 0))?;
            check(libc::posix_spawnattr_setsigdefault(&mut made.0, all.as_ptr()))?;
            check(libc::posix_spawnattr_setsigmask(&mut made.0, none.as_ptr()))?;
            check(libc::posix_spawnattr_setflags(&mut made.0, FLAGS as libc::c_short))?;
        }
        Ok(made)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    /// `fds[n]` becomes descriptor `n`; that it may be `n` already is glibc's business (it then
    /// clears close-on-exec).
    fn new(fds: [RawFd; 3]) -> io::Result<FileActions> {
        if fds.iter().enumerate().any(|(n, &fd)| fd < 3 && fd != n as RawFd) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut raw = MaybeUninit::uninit();
        // SAFETY: init fills the value in, or fails and leaves nothing to be destroyed.
        let mut made = unsafe {
            check(libc::posix_spawn_file_actions_init(raw.as_mut_ptr()))?;
            FileActions(raw.assume_init())
        };
        for (n, fd) in (0..).zip(fds) {
            // SAFETY: the actions are initialised; descriptors are only numbers here.
            check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut made.0, fd, n) })?;
        }
        Ok(made)
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

/// A child that has ended and is reaped: its pid may be anybody's from now on.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Who it was.
    pub pid: Pid,
    /// How it ended.
    pub exit: Exit,
    /// What it used.
    pub usage: Usage,
}

/// Reaps one child that has ended, whichever it is; `None` if there is none (now).
pub fn wait_any() -> Option<Ended> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live values; a zeroed rusage is a valid one.
    let (pid, usage) = unsafe {
        let pid = libc::wait4(-1, &mut status, libc::WNOHANG, usage.as_mut_ptr());
        (pid, usage.assume_init())
    };
    // 0: none has ended; -1: ECHILD, there are no children. Nothing else can go wrong.
    let pid = if pid > 0 { Pid::from_raw(pid)? } else { return None };
    Some(Ended { pid, exit: exit_of(status), usage: usage_of(&usage) })
}

fn exit_of(status: libc::c_int) -> Exit {
    if libc::WIFSIGNALED(status) {
        let number = libc::WTERMSIG(status) as u8;
        return Exit::Signal { number, core_dumped: libc::WCOREDUMP(status) };
    }
    Exit::Code(libc::WEXITSTATUS(status) as u8)
}

fn usage_of(usage: &libc::rusage) -> Usage {
    let ms = |time: libc::timeval| (time.tv_sec * 1000 + time.tv_usec / 1000).max(0) as u64;
    Usage {
        user_ms: ms(usage.ru_utime),
        system_ms: ms(usage.ru_stime),
        max_rss_bytes: usage.ru_maxrss.max(0) as u64 * 1024,
    }
}

/// Lets this process run before its children where both want a processor, so that the jobs that
/// were just started don't delay those that are still to be started. The children don't inherit
/// it: `SCHED_RESET_ON_FORK` takes a negative nice value back to 0 (sched(7)).
///
/// # Errors
/// `EACCES` or `EPERM` without the right to a negative nice value (`CAP_SYS_NICE`).
pub fn run_before_children() -> io::Result<()> {
    const NICE: libc::c_int = -10;
    let policy = libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK;
    // SAFETY: a plain structure of numbers, for which all zeroes is a value (priority 0 is the
    // only one that SCHED_OTHER takes).
    let priority: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: 0 is the calling thread; the structure lives through the call.
    let failed = unsafe { libc::sched_setscheduler(0, policy, &raw const priority) } != 0;
    // SAFETY: takes numbers only.
    if failed || unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes `path` the `PATH` along which [`spawn`] searches. Only for a process without threads.
pub fn search_along(path: &std::ffi::OsStr) {
    // SAFETY: the environment is read and written by one thread only.
    unsafe { std::env::set_var("PATH", path) };
}

/// Has memory that was asked for in large pieces go back to the system when it is freed: by default
/// glibc learns from the first such piece to keep them, and a daemon that lives for months would
/// hold what one large answer once took.
pub fn give_back_memory() {
    // SAFETY: takes numbers only, before anything else is done.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10);
    }
}

/// Marks every descriptor from `first` on as close-on-exec, so that what whoever started the
/// daemon left open does not reach a job. To be called once at start; what the daemon opens later
/// is close-on-exec from birth.
///
/// # Errors
/// Only where the kernel is older than 5.11 and `/proc` can't be read.
pub fn set_cloexec_from(first: RawFd) -> io::Result<()> {
    let from = first.max(0) as libc::c_uint;
    let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
    // SAFETY: numbers only; no descriptor is closed, which could pull it away under its owner.
    let done = unsafe { libc::syscall(libc::SYS_close_range, from, libc::c_uint::MAX, flags) };
    if done == 0 { Ok(()) } else { set_cloexec_one_by_one(first) }
}

fn set_cloexec_one_by_one(first: RawFd) -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let fd: RawFd = match name.to_str().and_then(|name| name.parse().ok()) {
            Some(fd) if fd >= first => fd,
            _ => continue,
        };
        // SAFETY: numbers only; the listing's own descriptor may be closed by now: EBADF is fine.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_status_is_decoded() {
        assert_eq!(exit_of(0), Exit::Code(0));
        assert_eq!(exit_of(255 << 8), Exit::Code(255));
        assert_eq!(exit_of(9), Exit::Signal { number: 9, core_dumped: false });
        assert_eq!(exit_of(11 | 0x80), Exit::Signal { number: 11, core_dumped: true });
        assert_eq!(exit_of(64), Exit::Signal { number: 64, core_dumped: false });
    }

    #[test]
    fn descriptors_are_marked_one_by_one_where_close_range_is_missing() {
        use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
        let kept = std::fs::File::open("/dev/null").unwrap();
        fcntl_setfd(&kept, FdFlags::empty()).unwrap();
        set_cloexec_one_by_one(kept.as_raw_fd()).unwrap();
        assert_eq!(fcntl_getfd(&kept).unwrap(), FdFlags::CLOEXEC);
    }
}
