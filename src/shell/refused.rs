//! Who of a run takes no signal, because it belongs to another user: what `kill` says of a group is
//! no more than that nobody, or somebody, took it.

use super::owner;
use super::proc_fs;
use super::sys::{self, Pid};
use crate::core::refusal::Refusal;
use rustix::io::Errno;
use rustix::process::test_kill_process;
use std::collections::BTreeMap;

/// Who is in which process group is looked up again after this long, ms: with a thousand runs told
/// to end at once, not for each of them.
const LOOK_MS: u64 = 50;

/// Pids that are kept of one refusal.
const MAX_PIDS: usize = 100;

/// Who is in which process group, a moment ago.
#[derive(Debug, Default)]
pub struct Members {
    by_group: BTreeMap<i32, Vec<Pid>>,
    looked_ms: Option<u64>,
}

impl Members {
    /// Those of a group now. All processes are looked at, by a system call each.
    pub fn of(&mut self, mono_ms: u64, group: Pid) -> Vec<Pid> {
        if self.looked_ms.is_none_or(|at| mono_ms >= at + LOOK_MS) {
            self.looked_ms = Some(mono_ms);
            self.by_group.clear();
            for pid in proc_fs::all().into_iter().flatten() {
                if let Some(group) = sys::group_of(pid) {
                    self.by_group.entry(group.as_raw_nonzero().get()).or_default().push(pid);
                }
            }
        }
        let found = self.by_group.get(&group.as_raw_nonzero().get()).cloned().unwrap_or_default();
        let is_in = |pid: &Pid| sys::group_of(*pid) == Some(group) && !proc_fs::has_ended(*pid);
        found.into_iter().filter(is_in).collect()
    }
}

/// Those of these processes of a run that take no signal of ours; `nobody` took one, as `kill` says
/// where they can't be seen.
pub fn among(group: Pid, members: &[Pid], nobody: bool) -> Option<Refusal> {
    let refused = |pid: &&Pid| test_kill_process(**pid) == Err(Errno::PERM);
    let mut pids: Vec<Pid> = members.iter().filter(refused).copied().collect();
    if pids.is_empty() && nobody {
        pids.push(group);
    }
    let first = *pids.first()?;
    let user = proc_fs::real_user(first).map_or("?".to_owned(), owner::user);
    let number = |pid: &Pid| pid.as_raw_nonzero().get().unsigned_abs();
    let of = u32::try_from(members.len().max(pids.len())).unwrap_or(u32::MAX);
    Some(Refusal {
        group: number(&group),
        user,
        of,
        leader: pids.contains(&group),
        killable: false,
        pids: pids.iter().take(MAX_PIDS).map(number).collect(),
    })
}
