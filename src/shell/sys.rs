//! The one module with `unsafe`: thin safe wrappers over what neither std nor rustix offers safely.
#![allow(unsafe_code)]

mod priority;
mod processor;
mod spawn;
mod words;

use std::ffi::{CStr, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

pub use priority::{Newborn, Precedence, end_precedence_of, go_first, take_precedence};
pub use rustix::process::{Pid, Signal};
pub use spawn::{Spawn, spawn, spawn_receiving};
pub use words::last_words;

use crate::core::outcome::{Exit, Usage};
use rustix::process::{Resource, getrlimit};

/// Has the allocator take blocks of 128 kB and more from the system each by itself, and give them
/// back when they are freed. By default glibc raises that bound as soon as one is freed, and what
/// a large table once took stays with the daemon for months (mallopt(3)).
pub fn give_large_blocks_back() {
    // SAFETY: mallopt only sets a number; no other thread allocates.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
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

/// Makes `path` the `PATH` along which [`spawn`] searches. Only for a process without threads.
pub fn search_along(path: &std::ffi::OsStr) {
    // SAFETY: the environment is read and written by one thread only.
    unsafe { std::env::set_var("PATH", path) };
}

/// Marks every descriptor from `first` on as close-on-exec, so that what the starter of the
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

/// Takes a variable out of the environment. Only for a process without threads.
pub fn remove_variable(name: &str) {
    // SAFETY: the environment is read and written by one thread only.
    unsafe { std::env::remove_var(name) };
}

/// Takes over a descriptor that the program before this one left open; `None` if it is not open.
pub fn take_descriptor(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: numbers only.
    if number < 3 || unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: it is open, and the program that left it open is gone: nobody else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The array of pointers `execve` wants, its closing null pointer included.
fn pointers(strings: &[&CStr]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

/// Executes a program in place of this one, with all signals blocked until it asks for them with
/// [`unblock_signals`]: one that came before would end it. Returns only if that fails.
pub fn execute(program: &CStr, argv: &[&CStr], envp: &[&CStr]) -> io::Error {
    let argv = pointers(argv);
    let envp = pointers(envp);
    mask_signals(libc::SIG_BLOCK);
    let had_precedence = priority::step_back();
    // SAFETY: both arrays end with a null pointer and their strings live as long as this call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    let error = io::Error::last_os_error();
    if had_precedence {
        let _ = take_precedence(Precedence::Share);
    }
    mask_signals(libc::SIG_UNBLOCK);
    error
}

/// Whether this is process 1: of a container or a machine, where all others end with it. To such a
/// process the kernel brings no signal without a handler.
pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Holds all signals back until [`unblock_signals`]: what comes to process 1 before there are
/// handlers would be lost.
pub fn block_signals() {
    mask_signals(libc::SIG_BLOCK);
}

/// Lets signals through that [`execute`] or [`block_signals`] held back.
pub fn unblock_signals() {
    mask_signals(libc::SIG_UNBLOCK);
}

/// Blocks or unblocks all signals; returns what was blocked before.
fn mask_signals(how: libc::c_int) -> libc::sigset_t {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the sets are filled in before they are read; with a valid `how` it can't fail.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(how, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// The system's type for a pid; none for 0.
pub fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// The process group of a process of any user; none if there is no such process, or its group
/// is of the kernel's own or outside of this namespace. rustix takes that for impossible.
pub fn group_of(pid: Pid) -> Option<Pid> {
    // SAFETY: it takes a number and touches no memory.
    let group = unsafe { libc::getpgid(pid.as_raw_nonzero().get()) };
    Pid::from_raw(group.max(0))
}

/// The real-time signal `SIGRTMIN + n` (signal(7)); `n` is 0 to 15.
pub fn realtime_signal(n: u8) -> Signal {
    let number = libc::SIGRTMIN() + i32::from(n.min(15));
    // SAFETY: not one of those that glibc keeps for itself: SIGRTMIN() is the first one after.
    unsafe { Signal::from_raw_unchecked(number) }
}

/// Makes two processes of this one; `None` in the new one.
///
/// # Errors
/// No processes left (`EAGAIN`, `ENOMEM`); `EBUSY` if this process has more than one thread:
/// the new one would only have this thread, and every lock as it happened to be.
pub fn fork() -> io::Result<Option<Pid>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: there is one thread, so the new process is a whole copy.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Where the kernel put the arguments and the environment (proc(5), `/proc/PID/stat`, fields 28
/// and 48 to 51): one block of strings, and a table of pointers to them.
#[derive(Clone, Copy, Debug)]
struct Strings {
    /// The number of arguments; the pointers follow: those of the arguments, null, those of the
    /// environment, null.
    stack: usize,
    args: usize,
    args_end: usize,
    env_end: usize,
}

impl Strings {
    fn find() -> io::Result<Strings> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // The name, in brackets, may hold anything; behind it comes field 3.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let field = |number: usize| {
            let text = rest.split_ascii_whitespace().nth(number - 3);
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        let strings =
            Strings { stack: field(28), args: field(48), args_end: field(49), env_end: field(51) };
        // The environment follows the arguments, unless somebody has rearranged them.
        let sound = strings.stack != 0
            && strings.stack < strings.args
            && strings.args < strings.args_end
            && strings.args_end == field(50)
            && strings.args_end <= strings.env_end;
        sound.then_some(strings).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Gives the pointers copies to point to, so that arguments and environment stay what they
    /// were when the block is overwritten.
    fn move_away(self) -> io::Result<()> {
        let count = std::env::args_os().len();
        let stack = self.stack as *const usize;
        // SAFETY: the kernel tells where in our stack it has put the count and, above it, the
        // pointers, each of them to a string of the block. Nobody else changes them: this is the
        // only thread. That they are what they should be is checked before anything is written.
        unsafe {
            let table = stack.add(1) as *mut *mut c_char;
            if *stack != count || *table as usize != self.args {
                return Err(io::ErrorKind::Unsupported.into());
            }
            for part in [table, table.add(count + 1)] {
                let mut entry = part;
                while !(*entry).is_null() {
                    if (self.args..self.env_end).contains(&(*entry as usize)) {
                        *entry = CStr::from_ptr(*entry).to_owned().into_raw();
                    }
                    entry = entry.add(1);
                }
            }
        }
        Ok(())
    }

    /// Writes the title over the block. Where it is shorter than the arguments were, their last
    /// byte is made other than NUL: so the kernel knows that this is a title and shows it up to
    /// its end (`get_mm_cmdline`), instead of filling up with NUL bytes, which ps shows as blanks.
    fn write(self, title: &[u8]) {
        let title = &title[..title.len().min(self.env_end - self.args - 1)];
        let end = self.args_end.max(self.args + title.len() + 1);
        // SAFETY: `args..env_end` is memory of ours that nothing points to any more, see
        // `move_away`; `end` and the last byte of the arguments lie in it.
        unsafe {
            let block = self.args as *mut u8;
            block.write_bytes(0, end - self.args);
            ptr::copy_nonoverlapping(title.as_ptr(), block, title.len());
            if self.args + title.len() + 1 < self.args_end {
                (self.args_end as *mut u8).sub(1).write(b' ');
            }
        }
    }
}

/// Descriptors that this process may have (getrlimit(2): the soft `RLIMIT_NOFILE`).
pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Sets what ps(1) shows of this process: `title` as its command line and `name` (15 bytes at the
/// most) as its short name. Arguments and environment stay what they are for this process, also
/// for `std::env`.
///
/// # Errors
/// `Unsupported` where the kernel does not tell where the arguments are: nothing is changed then.
pub fn set_title(title: &str, name: &CStr) -> io::Result<()> {
    static STRINGS: OnceLock<Strings> = OnceLock::new();
    // SAFETY: the name outlives the call, which copies it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    let strings = match STRINGS.get() {
        Some(strings) => *strings,
        None => {
            let strings = Strings::find()?;
            strings.move_away()?;
            *STRINGS.get_or_init(|| strings)
        }
    };
    strings.write(title.as_bytes());
    Ok(())
}

/// Whether somebody has this file open to write to it; this descriptor must not be such a one.
/// Where the file system can't tell, nobody has.
///
/// The kernel grants a lease for reading only where nobody has (fcntl(2)). It is given back at
/// once: who opens the file in between waits for that, and the signal that says so does nothing.
pub fn is_written(file: &OwnedFd) -> bool {
    /// As linux/fcntl.h has it; the crate does not.
    const F_SETSIG: libc::c_int = 10;
    let fd = file.as_raw_fd();
    // SAFETY: three numbers, and a descriptor that is open.
    unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) };
    // SAFETY: as above.
    if unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) } != 0 {
        return io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
    }
    // SAFETY: as above.
    unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

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
