//! A process that begins in a control group of its own: `clone3(2)`, which glibc's `posix_spawn`
//! makes no use of before glibc 2.39. To move a process into a group later would let children it
//! has made by then get away, and each move waits for all processors (milliseconds).

use super::{Pid, Spawn, pointers};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Signals of Linux: 1 to 64 (signal(7)).
const SIGNALS: std::ops::RangeInclusive<libc::c_int> = 1..=64;

/// linux/sched.h; the crate's constants are too narrow for the values.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// As [`super::spawn`], into the control group (version 2) whose directory `group` is. The memory
/// is not shared with the child but copied when written to, so this is for a process that is small
/// itself, and has one thread.
///
/// # Errors
/// As [`super::spawn`]; `ENOSYS` before Linux 5.7, `EBUSY` and `EOPNOTSUPP` where the group takes
/// no processes, `ENODEV` where it is gone.
pub fn spawn_into(wanted: &Spawn<'_>, group: BorrowedFd<'_>) -> io::Result<Pid> {
    let (errno_in, errno_out) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let argv = pointers(wanted.argv);
    let envp = pointers(wanted.envp);
    let fds = [wanted.stdin, wanted.stdout, wanted.stderr].map(|fd| fd.as_raw_fd());
    // SAFETY: all zeros are valid arguments.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = libc::CLONE_VFORK as u64 | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = group.as_raw_fd() as u64;
    // SAFETY: without CLONE_VM and a stack of its own the child goes on with a copy of everything,
    // as after fork(2). There is one thread, so no lock can be held by another. Until `execve` the
    // child allocates nothing, and it never returns from this block.
    let pid = unsafe {
        let size = std::mem::size_of::<libc::clone_args>();
        let pid = libc::syscall(libc::SYS_clone3, &raw mut args, size);
        if pid == 0 {
            let program = wanted.program;
            let why = become_program(program, wanted.search_path, &argv, &envp, fds);
            let number = why.raw_os_error().to_ne_bytes();
            let _ = rustix::io::write(&errno_out, &number);
            libc::_exit(127);
        }
        pid
    };
    let pid = match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        Some(pid) if pid.as_raw_nonzero().get() > 0 => pid,
        _ => return Err(io::Error::last_os_error()),
    };
    // It has executed the program or ended by now: that is what CLONE_VFORK waits for.
    let mut number = [0; 4];
    match rustix::io::read(errno_in.as_fd(), &mut number) {
        Ok(4) => {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number)))
        }
        _ => Ok(pid),
    }
}

/// Makes the child what `posix_spawn` would make it. Returns only if that fails.
///
/// # Safety
/// In the child of a `clone3` without shared memory; the arrays end with a null pointer.
unsafe fn become_program(
    program: &CStr,
    search_path: bool,
    argv: &[*mut libc::c_char],
    envp: &[*mut libc::c_char],
    fds: [i32; 3],
) -> Errno {
    // SAFETY: all of these are async-signal-safe and get valid pointers; errors of the first ones
    // are those of signals that can't be set, which are at their defaults.
    unsafe {
        libc::setpgid(0, 0);
        // Handlers are gone by CLONE_CLEAR_SIGHAND; what was ignored would stay so.
        for signal in SIGNALS {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        for (target, fd) in (0..).zip(fds) {
            // The same number would keep its close-on-exec.
            let moved = match fd == target {
                true => libc::fcntl(fd, libc::F_SETFD, 0),
                false => libc::dup2(fd, target),
            };
            if moved < 0 {
                return last_errno();
            }
        }
        let (argv, envp) = (argv.as_ptr().cast(), envp.as_ptr().cast());
        match search_path {
            true => libc::execvpe(program.as_ptr(), argv, envp),
            false => libc::execve(program.as_ptr(), argv, envp),
        };
    }
    last_errno()
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
