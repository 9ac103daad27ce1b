//! On which processor a child is made.
//!
//! The kernel puts a new process where it would run soonest, on a processor that has nothing to
//! do. For one that its parent waits for that is a bad choice: the idle one has to be woken, then
//! this one falls idle and has to be woken in turn. Each costs some 0.1 ms, and a virtual
//! processor, which the hypervisor first has to find a place for, takes 1 to 2 ms. So such a child
//! begins where its parent is, which has nothing to do itself.

use libc::cpu_set_t;
use std::mem::size_of;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The processors that work, as a list like `0-3,8` (sysfs(5)). Not sysconf(3), which in some C
/// libraries counts those that this process may use.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// This process could not be given its processors back.
static IS_STUCK: AtomicBool = AtomicBool::new(false);

/// The parent is kept on its processor as long as this lives.
pub(super) struct Here(());

impl Here {
    /// Children that are made now begin on this processor, and have to [`go_anywhere`]. `None`
    /// where that would be wrong: there is one processor only, or somebody has said on which this
    /// process may run. (That is never changed here: a process that was held to some processors
    /// would not be given those that are added to its cpuset later.)
    pub(super) fn stay() -> Option<Here> {
        static ALL: OnceLock<Option<cpu_set_t>> = OnceLock::new();
        let all = ALL.get_or_init(all_processors).as_ref()?;
        if IS_STUCK.load(Ordering::Relaxed) {
            go_anywhere();
        }
        let allowed = allowed()?;
        // SAFETY: plain structures.
        if !unsafe { libc::CPU_EQUAL(&allowed, all) } {
            return None;
        }
        // SAFETY: takes nothing.
        let number = usize::try_from(unsafe { libc::sched_getcpu() }).ok()?;
        let mut here = none();
        // SAFETY: the kernel has no numbers that the structure has no room for: it filled one in.
        unsafe { libc::CPU_SET(number, &mut here) };
        set_allowed(&here).then_some(Here(()))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        go_anywhere();
    }
}

/// Lets this process run on all processors that its cpuset has, now or later. In a child that
/// shares our memory: the child alone.
pub(super) fn go_anywhere() {
    let mut all = none();
    // SAFETY: a plain structure, which is a set of bits.
    unsafe { (&raw mut all).write_bytes(0xff, 1) };
    IS_STUCK.store(!set_allowed(&all), Ordering::Relaxed);
}

/// Those of this process, if they are all that the machine has, and several.
fn all_processors() -> Option<cpu_set_t> {
    let allowed = allowed()?;
    let online = count_of(&std::fs::read_to_string(ONLINE).ok()?)?;
    // SAFETY: a plain structure.
    let count = usize::try_from(unsafe { libc::CPU_COUNT(&allowed) }).ok()?;
    (count > 1 && count == online).then_some(allowed)
}

/// How many numbers a list has.
fn count_of(list: &str) -> Option<usize> {
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        Some(1 + last.checked_sub(first)?)
    });
    ranges.sum()
}

fn none() -> cpu_set_t {
    // SAFETY: a plain structure of numbers.
    unsafe { std::mem::zeroed() }
}

fn allowed() -> Option<cpu_set_t> {
    let mut set = none();
    // SAFETY: the structure has the size that is told.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<cpu_set_t>(), &mut set) };
    (result == 0).then_some(set)
}

fn set_allowed(set: &cpu_set_t) -> bool {
    // SAFETY: the structure has the size that is told.
    unsafe { libc::sched_setaffinity(0, size_of::<cpu_set_t>(), set) == 0 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_lists_of_processors() {
        let count = super::count_of;
        assert_eq!((count("0\n"), count("0-1\n")), (Some(1), Some(2)));
        assert_eq!(count("0-3,8,10-11\n"), Some(7));
        assert_eq!((count(""), count("3-1"), count("x")), (None, None, None));
    }
}
