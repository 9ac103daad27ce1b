//! A process for another program.
//!
//! As with `posix_spawn` the child shares our memory until it executes its program, and we wait for
//! that: it costs the same however large this process is (a copy of the memory, as after fork(2),
//! takes a fifth of what a whole short run does), and a failing `execve` is reported here. Not
//! `posix_spawn` itself, for two things that it can't: a child has to give way to its parent (see
//! `priority`), and to begin in a control group (glibc before 2.39). To move a process into a group
//! later would let children it has made by then get away, and each move waits for all processors
//! (milliseconds).

use super::priority::{self, Newborn};
use super::processor::{self, Here};
use super::{Pid, mask_signals, pointers};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

/// Stack of the child until it executes its program, besides a copy of its arguments: `execvpe`
/// puts together paths there (PATH_MAX), and other arguments for a script without `#!`.
const STACK_BYTES: usize = 48 << 10;

/// linux/sched.h; the crate's constant is too narrow for the value.
#[cfg(target_arch = "x86_64")]
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The memory is shared, and we wait until the child has left it.
const SHARED: c_int = libc::CLONE_VM | libc::CLONE_VFORK;

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
    /// The directory of a control group (version 2) to begin in; `None`: that of this process.
    pub group: Option<BorrowedFd<'a>>,
}

/// What the child is to become, and why it could not.
struct Child {
    program: *const c_char,
    search_path: bool,
    argv: *const *const c_char,
    envp: *const *const c_char,
    fds: [RawFd; 3],
    /// Which of them are sockets that bring the descriptor.
    bring: [bool; 3],
    /// It was made to begin on the parent's processor.
    is_held: bool,
    errno: c_int,
}

/// Starts a process in a process group of its own, with default signal dispositions, an empty
/// signal mask, the nice value this process had before it took precedence, and the three
/// descriptors given. Of the other descriptors it inherits those that are not close-on-exec: see
/// [`super::set_cloexec_from`].
///
/// # Errors
/// Whatever `clone(2)` and `execve(2)` say; no process is left then. `EINVAL` if a descriptor to
/// be mapped stands where a mapped one goes, because it would be overwritten. With a control group
/// `ENOSYS` before Linux 5.7 and on other processors than x86-64, `EBUSY` and `EOPNOTSUPP` where
/// the group takes no processes, `ENODEV` where it is gone.
pub fn spawn(wanted: &Spawn<'_>) -> io::Result<Newborn> {
    spawn_receiving(wanted, [false; 3])
}

/// The same, where some of the three are sockets in which the descriptor waits that is meant
/// (unix(7), `SCM_RIGHTS`). Only the child takes it: were it one of this process, this process
/// would have to close it, and that may wait for a file system that does not answer.
///
/// # Errors
/// As [`spawn`]; `EBADF` if there is none in the socket.
pub fn spawn_receiving(wanted: &Spawn<'_>, bring: [bool; 3]) -> io::Result<Newborn> {
    let fds = [wanted.stdin, wanted.stdout, wanted.stderr].map(|fd| fd.as_raw_fd());
    if (0..).zip(fds).any(|(target, fd)| fd < 3 && fd != target) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let argv = pointers(wanted.argv);
    let envp = pointers(wanted.envp);
    let here = priority::is_in_haste().then(Here::stay).flatten();
    let mut child = Child {
        program: wanted.program.as_ptr(),
        search_path: wanted.search_path,
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        fds,
        bring,
        is_held: here.is_some(),
        errno: 0,
    };
    // In words of 16 bytes, the alignment that functions expect (System V and ARM ABI).
    let mut stack = vec![0u128; (STACK_BYTES + 16 * argv.len()) / 16];
    let mask = mask_signals(libc::SIG_BLOCK);
    let to = (&raw mut child).cast();
    // SAFETY: the stack is large enough and nobody else's; we do not go on until the child has
    // left our memory, so everything that `child` points to outlives its use. No handler of ours
    // runs in the child, on memory that is ours: signals are blocked until it has none.
    let number = unsafe {
        match wanted.group {
            None => clone(&mut stack, to),
            Some(group) => clone_into(&mut stack, group, to),
        }
    };
    set_mask(&mask);
    drop(here);
    let pid = number.map(Pid::from_raw)?;
    let pid = pid.ok_or_else(|| io::Error::other("clone returned pid 0"))?;
    // SAFETY: `child` is alive; the child wrote to it through a pointer, so it is read as one.
    match unsafe { (&raw const child.errno).read_volatile() } {
        0 => Ok(Newborn::new(pid)),
        errno => {
            // It has ended already.
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

fn set_mask(mask: &libc::sigset_t) {
    // SAFETY: a set that is filled in; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}

/// The child's pid; the child goes on in [`become_program`] with `child`.
///
/// # Safety
/// `child` is a [`Child`] that lives until this returns. Signals are blocked.
unsafe fn clone(stack: &mut [u128], child: *mut c_void) -> io::Result<i32> {
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: stacks grow downwards on all processors that Rust knows; else as the caller says.
    match unsafe { libc::clone(become_program, top, SHARED | libc::SIGCHLD, child) } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// As [`clone`], into a control group: glibc has no function for that.
///
/// # Safety
/// See [`clone`].
#[cfg(target_arch = "x86_64")]
unsafe fn clone_into(
    stack: &mut [u128],
    group: BorrowedFd<'_>,
    child: *mut c_void,
) -> io::Result<i32> {
    // SAFETY: all zeros are valid arguments.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = SHARED as u64 | CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.stack = stack.as_mut_ptr() as u64;
    args.stack_size = size_of_val(stack) as u64;
    args.cgroup = group.as_raw_fd() as u64;
    let entry: extern "C" fn(*mut c_void) -> c_int = become_program;
    let mut result = libc::SYS_clone3;
    // SAFETY: as the caller says. The kernel keeps all registers but rax, rcx and r11 in both; the
    // child has nothing on its stack, and never comes to the end of the block.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inout("rax") result,
            in("rdi") &raw const args,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") child,
            in("r13") entry,
            out("rcx") _,
            out("r11") _,
        );
    }
    match i32::try_from(result) {
        Ok(pid @ 0..) => Ok(pid),
        Ok(errno) => Err(io::Error::from_raw_os_error(-errno)),
        Err(_) => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn clone_into(_: &mut [u128], _: BorrowedFd<'_>, _: *mut c_void) -> io::Result<i32> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// Makes the child what was wanted. Never returns.
extern "C" fn become_program(child: *mut c_void) -> c_int {
    // SAFETY: only `spawn` comes here, with its own `Child`, and waits. All of the functions are
    // async-signal-safe; those whose errors are not looked at can't fail, but for signals that
    // can't be set, which are at their defaults.
    unsafe {
        let child = &mut *child.cast::<Child>();
        child.errno = match prepare(child.fds, child.bring) {
            Err(errno) => errno,
            Ok(()) => {
                if child.is_held {
                    processor::go_anywhere();
                }
                priority::is_about_to_execute();
                match child.search_path {
                    true => libc::execvpe(child.program, child.argv, child.envp),
                    false => libc::execve(child.program, child.argv, child.envp),
                };
                *libc::__errno_location()
            }
        };
        libc::_exit(127)
    }
}

/// # Safety
/// In the child.
unsafe fn prepare(fds: [RawFd; 3], bring: [bool; 3]) -> Result<(), c_int> {
    // SAFETY: see above.
    unsafe {
        libc::setpgid(0, 0);
        // A handler does not outlive `execve`, but what is ignored stays so, and Rust ignores
        // SIGPIPE. Not by way of glibc, which leaves out its internal signals 32 and 33. All
        // zeros: SIG_DFL, no flags.
        let default = [0usize; 4];
        for signal in 1..=64 {
            let old = ptr::null_mut::<usize>();
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, old, 8);
        }
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        for ((target, fd), is_brought) in (0..).zip(fds).zip(bring) {
            if is_brought {
                receive(fd, target)?;
                continue;
            }
            // The same number would keep its close-on-exec.
            let moved = match fd == target {
                true => libc::fcntl(fd, libc::F_SETFD, 0),
                false => libc::dup2(fd, target),
            };
            if moved < 0 {
                return Err(*libc::__errno_location());
            }
        }
    }
    Ok(())
}

/// Takes the descriptor that waits in a socket, as this one, and leaves it there for another child.
///
/// # Safety
/// In the child.
unsafe fn receive(socket: RawFd, target: RawFd) -> Result<(), c_int> {
    let mut byte = 0u8;
    // Aligned as a `cmsghdr`, and large enough for one descriptor.
    let mut control = [0u64; 8];
    // SAFETY: what the message points to lives until it was received; the control message is
    // looked at within its bounds, by the C library's own macros.
    unsafe {
        let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // The lowest number that is free is taken: that of this one, for those below are open.
        libc::close(target);
        if libc::recvmsg(socket, &raw mut message, libc::MSG_PEEK | libc::MSG_DONTWAIT) < 0 {
            return Err(*libc::__errno_location());
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Err(libc::EBADF);
        }
        let received = libc::CMSG_DATA(header).cast::<c_int>().read_unaligned();
        if received == target { Ok(()) } else { Err(libc::EBADF) }
    }
}
