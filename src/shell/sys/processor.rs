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

/// The parent is kept on its processor as long as this lives.
pub(super) struct Here(());

impl Here {
    /// Children that are made now begin on this processor, and have to [`go_anywhere`]. `None`
    /// where that would be wrong: there is one processor only, or somebody has said on which this
    /// process may run. (That is never set anew here: who was held to some processors would not
    /// be given those that are added to its cpuset later.)
    pub(super) fn stay() -> Option<Here> {
        static ALL: OnceLock<Option<cpu_set_t>> = OnceLock::new();
        let all = ALL.get_or_init(all_processors).as_ref()?;
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

/// Lets this process run on all processors that its cpuset has, now or later.
pub(super) fn go_anywhere() {
    let mut all = none();
    for number in 0..8 * size_of::<cpu_set_t>() {
        // SAFETY: the number is within the structure.
        unsafe { libc::CPU_SET(number, &mut all) };
    }
    set_allowed(&all);
}

/// Those of this process, if they are all that the machine has, and several.
fn all_processors() -> Option<cpu_set_t> {
    let allowed = allowed()?;
    // SAFETY: a plain structure; a number.
    let (count, online) =
        unsafe { (libc::CPU_COUNT(&allowed), libc::sysconf(libc::_SC_NPROCESSORS_ONLN)) };
    (count > 1 && i64::from(count) == online).then_some(allowed)
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
