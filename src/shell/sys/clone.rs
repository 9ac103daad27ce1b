//! A process that begins in a control group of its own: `clone3(2)`, which glibc's `posix_spawn`
//! makes no use of before glibc 2.39. To move a process into a group later would let children it
//! has made by then get away, and each move waits for all processors (milliseconds).
//!
//! As with `posix_spawn` the child shares our memory until it executes its program, and we wait for
//! that: a copy of the memory, as after fork(2), takes a fifth of what a whole short run does.

use super::{Pid, Spawn, check, pointers};
use std::ffi::{c_char, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Stack of the child until it executes its program, besides a copy of its arguments: `execvpe`
/// puts together paths there (PATH_MAX), and arguments anew for a script without `#!`.
const STACK_BYTES: usize = 48 << 10;

/// linux/sched.h; the crate's constants are too narrow for the values.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the child is to become, and why it could not.
struct Child {
    program: *const c_char,
    search_path: bool,
    argv: *const *const c_char,
    envp: *const *const c_char,
    fds: [i32; 3],
    errno: i32,
}

/// As [`super::spawn`], into the control group (version 2) whose directory `group` is.
///
/// # Errors
/// As [`super::spawn`]; `ENOSYS` before Linux 5.7 and on other processors than x86-64, `EBUSY` and
/// `EOPNOTSUPP` where the group takes no processes, `ENODEV` where it is gone.
pub fn spawn_into(wanted: &Spawn<'_>, group: BorrowedFd<'_>) -> io::Result<Pid> {
    let argv = pointers(wanted.argv);
    let envp = pointers(wanted.envp);
    let mut child = Child {
        program: wanted.program.as_ptr(),
        search_path: wanted.search_path,
        argv: argv.as_ptr().cast(),
        envp: envp.as_ptr().cast(),
        fds: [wanted.stdin, wanted.stdout, wanted.stderr].map(|fd| fd.as_raw_fd()),
        errno: 0,
    };
    // In words of 16 bytes, the alignment that functions expect (System V ABI).
    let mut stack = vec![0u128; (STACK_BYTES + 16 * argv.len()) / 16];
    // SAFETY: all zeros are valid arguments.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
    // No handler of ours may run in the child, on memory that is ours.
    args.flags |= CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.stack = stack.as_mut_ptr() as u64;
    args.stack_size = size_of_val(&stack[..]) as u64;
    args.cgroup = group.as_raw_fd() as u64;
    // SAFETY: the stack is large enough and nobody else's; we do not go on until the child has
    // left our memory, so everything that `child` points to outlives its use.
    let pid = unsafe { clone_to(&args, (&raw mut child).cast()) };
    let number = i32::try_from(pid).unwrap_or(-libc::EIO);
    let Some(pid) = Pid::from_raw(number.max(0)) else {
        return Err(io::Error::from_raw_os_error(-number));
    };
    // SAFETY: `child` is alive; the child wrote to it through a pointer, so it is read as one.
    let errno = unsafe { (&raw const child.errno).read_volatile() };
    if errno != 0 {
        // It has ended already.
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    }
    check(errno).map(|()| pid)
}

/// Returns the child's pid, or the negative error number. The child goes on in [`become_program`]
/// with `child`.
///
/// # Safety
/// With CLONE_VM and CLONE_VFORK, and a stack for nobody else.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_to(args: &libc::clone_args, child: *mut c_void) -> i64 {
    let entry: extern "C" fn(*mut c_void) -> ! = become_program;
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
            in("rdi") args,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") child,
            in("r13") entry,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn clone_to(_: &libc::clone_args, _: *mut c_void) -> i64 {
    -i64::from(libc::ENOSYS)
}

/// Makes the child what `posix_spawn` would make it.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "called by assembly"))]
extern "C" fn become_program(child: *mut c_void) -> ! {
    // SAFETY: only `spawn_into` comes here, with its own `Child`, and waits. All of the functions
    // are async-signal-safe; those whose errors are not looked at can't fail, but for signals that
    // can't be set, which are at their defaults.
    unsafe {
        let child = &mut *child.cast::<Child>();
        child.errno = match prepare(child.fds) {
            Err(errno) => errno,
            Ok(()) => {
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
unsafe fn prepare(fds: [i32; 3]) -> Result<(), i32> {
    // SAFETY: see above.
    unsafe {
        libc::setpgid(0, 0);
        // Handlers are gone by CLONE_CLEAR_SIGHAND; what was ignored would stay so. Not by way of
        // glibc, which leaves out its internal signals 32 and 33. All zeros: SIG_DFL, no flags.
        let default = [0usize; 4];
        for signal in 1..=64 {
            let old = std::ptr::null_mut::<usize>();
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, old, 8);
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
                return Err(*libc::__errno_location());
            }
        }
    }
    Ok(())
}
