//! Which process runs first where several want the same processor (sched(7)).
//!
//! Who starts many processes at one instant has to compete with those it has already started, and
//! so has each process until it executes its program, for which its parent waits. On a machine
//! with two processors that makes nine of ten milliseconds of such a burst. So the keeper goes
//! before them all, and takes each process along until its program is executed. A nice value does
//! not do: it is a share of the processor, and a process that has used up its share waits for a
//! time slice of another (2 to 4 ms).

use super::Pid;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// How much precedence a process takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// A larger share. For one that may have much to do.
    Share,
    /// Before every process that has no real-time priority; a larger share where that is refused.
    /// For one that never has to do for long at a stretch.
    First,
}

/// The nice value of a larger share.
const NICE: libc::c_int = -10;

/// The real-time priority, the lowest but one: its own children, below, are to give way to it.
const FIRST: libc::c_int = 2;

/// That of a child until it has executed its program.
const SECOND: libc::c_int = 1;

/// No nice value.
const NONE: libc::c_int = libc::c_int::MAX;

/// The nice value this process had before: that of its children.
static BEFORE: AtomicI32 = AtomicI32::new(NONE);

/// Whether this process has a real-time priority.
static IS_FIRST: AtomicBool = AtomicBool::new(false);

/// Whether it would go first now if it could: [`go_first`].
static IS_IN_HASTE: AtomicBool = AtomicBool::new(false);

/// Lets this process run before its children. To be called once, before it has any.
///
/// # Errors
/// `EACCES` or `EPERM` without the right to a negative nice value (`CAP_SYS_NICE`).
pub fn take_precedence(wanted: Precedence) -> io::Result<()> {
    // SAFETY: takes numbers only. -1 may be a value: there is no error where it is oneself.
    let before = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // SAFETY: takes numbers only.
    let shared = before <= NICE || unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } == 0;
    let refused = io::Error::last_os_error();
    let first = wanted == Precedence::First && set_real_time(FIRST).is_ok();
    if !shared && !first {
        return Err(refused);
    }
    IS_FIRST.store(first, Ordering::Relaxed);
    BEFORE.store(before, Ordering::Relaxed);
    Ok(())
}

/// Of a process that took [`Precedence::First`]: whether it goes first from now on, or makes do
/// with its share. Where it was given no real-time priority it is the way children are made that
/// differs. Not while there is a [`Newborn`].
pub fn go_first(wanted: bool) {
    IS_IN_HASTE.store(wanted, Ordering::Relaxed);
    if BEFORE.load(Ordering::Relaxed) == NONE || IS_FIRST.load(Ordering::Relaxed) == wanted {
        return;
    }
    let done = match wanted {
        true => set_real_time(FIRST),
        false => set_policy(0, libc::SCHED_OTHER, 0),
    };
    if done.is_ok() {
        IS_FIRST.store(wanted, Ordering::Relaxed);
    }
}

/// Whether each child is to be there as soon as can be, whatever becomes of the next.
pub(super) fn is_in_haste() -> bool {
    IS_IN_HASTE.load(Ordering::Relaxed)
}

/// In a child that shares our memory, before it executes its program: gives up a larger share. Of
/// one that goes first it gives way to its parent only, until that drops its [`Newborn`].
pub fn is_about_to_execute() {
    let nice = BEFORE.load(Ordering::Relaxed);
    // If either failed, it would run before its parent for some microseconds.
    if IS_FIRST.load(Ordering::Relaxed) {
        // Should the parent be late, nothing that the program makes meanwhile has it, too.
        let _ = set_policy(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, SECOND);
    } else if nice != NONE {
        let _ = set_ordinary(0, nice);
    }
}

/// A child that was just started, and has what [`is_about_to_execute`] left it until this is
/// dropped. That should not be before all was asked of it that waits for the rest of its `execve`,
/// as reading `/proc/PID/stat` does: without precedence it may stand behind many others then.
#[derive(Debug)]
pub struct Newborn(Pid);

impl Newborn {
    /// To be called when it has executed its program.
    pub(super) fn new(child: Pid) -> Newborn {
        Newborn(child)
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.0
    }
}

impl Drop for Newborn {
    /// Only of a parent that goes first there is anything left to take back: any other program may
    /// have taken precedence itself by now.
    fn drop(&mut self) {
        if IS_FIRST.load(Ordering::Relaxed) {
            end_precedence_of(self.0);
        }
    }
}

/// Takes back what a process has of this one's precedence, or of a parent's that was started like
/// this one and had no time to. Does nothing where there is no such process.
pub fn end_precedence_of(pid: Pid) {
    let nice = match BEFORE.load(Ordering::Relaxed) {
        // What is refused to this process may have been granted to that parent.
        // SAFETY: takes numbers only.
        NONE => unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) },
        nice => nice,
    };
    let _ = set_ordinary(pid.as_raw_nonzero().get(), nice);
}

/// Gives up precedence, which a program that is executed would take for what it was given.
/// Returns whether there was any.
pub fn step_back() -> bool {
    let nice = BEFORE.swap(NONE, Ordering::Relaxed);
    nice != NONE && set_ordinary(0, nice).is_ok()
}

/// Of this process.
fn set_real_time(priority: libc::c_int) -> io::Result<()> {
    set_policy(0, libc::SCHED_RR, priority)
}

/// By the same system calls that gave the precedence: if those were allowed, so are these.
fn set_ordinary(pid: libc::pid_t, nice: libc::c_int) -> io::Result<()> {
    // That nothing is passed on to children is not to be taken back without CAP_SYS_NICE. It does
    // no harm: there is nothing left that could be.
    set_policy(pid, libc::SCHED_OTHER, 0)
        .or_else(|_| set_policy(pid, libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK, 0))?;
    // SAFETY: takes numbers only.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, pid.unsigned_abs(), nice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_policy(pid: libc::pid_t, policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    // SAFETY: a plain structure of numbers.
    let mut wanted: libc::sched_param = unsafe { std::mem::zeroed() };
    wanted.sched_priority = priority;
    // SAFETY: the structure lives through the call.
    match unsafe { libc::sched_setscheduler(pid, policy, &raw const wanted) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
