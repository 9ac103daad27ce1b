//! Processes of runs without their keeper: found by what they have in their environment, and
//! watched until they are gone.

use super::remains::Remains;
use crate::core::custody::Machine;
use crate::core::event::Started;
use crate::core::ids::{JobId, RunId};
use crate::shell::proc_fs;
use crate::shell::search;
use crate::shell::sys::{self, Pid, pid_of};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// A process that leads a run, and its pidfd.
struct Watched {
    run: RunId,
    leader: Pid,
    fd: OwnedFd,
}

/// Those that are watched.
pub struct Watching {
    state_dir: PathBuf,
    poll: Registry,
    first_token: usize,
    next_token: usize,
    /// By the token of their pidfd.
    watched: BTreeMap<usize, Watched>,
    /// For want of a descriptor without a pidfd: looked at each second.
    unwatched: BTreeMap<RunId, Started>,
    /// What else there is of their runs.
    pub remains: Remains,
}

impl Watching {
    /// None. Pidfds have tokens from `first_token` on.
    pub fn new(state_dir: PathBuf, poll: Registry, first_token: usize) -> Watching {
        let (watched, unwatched) = (BTreeMap::new(), BTreeMap::new());
        let remains = Remains::new(state_dir.clone());
        Watching { state_dir, poll, first_token, next_token: 0, watched, unwatched, remains }
    }

    /// The run whose pidfd has this token: it has ended.
    pub fn ended(&mut self, token: Token) -> Option<RunId> {
        let Watched { run, leader, fd } = self.watched.remove(&token.0)?;
        drop(fd);
        self.remains.was_led(run, leader);
        Some(run)
    }

    /// Whether a run is one of them.
    pub fn has(&self, run: RunId) -> bool {
        let is_watched = self.watched.values().any(|watched| watched.run == run);
        is_watched || self.unwatched.contains_key(&run)
    }

    /// Whether some could not be watched for want of descriptors.
    pub fn is_short(&self) -> bool {
        !self.unwatched.is_empty()
    }

    /// Tries those again. Returns the runs whose process is gone.
    pub fn try_again(&mut self) -> Vec<RunId> {
        let unwatched = self.unwatched.clone();
        let gone = unwatched.into_iter().filter(|(run, started)| !self.watch(*run, *started));
        gone.map(|(run, _)| run).collect()
    }

    fn try_watch(&mut self, run: RunId, started: Started, pid: Pid) -> io::Result<bool> {
        // The rest is for clients, helpers and the keeper to come.
        if self.watched.len() as u64 >= sys::descriptor_limit() / 8 {
            return Err(rustix::io::Errno::MFILE.into());
        }
        let Some(fd) = proc_fs::watch(pid, started.kernel_start)? else { return Ok(false) };
        let token = self.first_token + self.next_token;
        self.next_token += 1;
        self.poll.register(&mut SourceFd(&fd.as_raw_fd()), Token(token), Interest::READABLE)?;
        self.watched.insert(token, Watched { run, leader: pid, fd });
        Ok(true)
    }
}

impl Machine for Watching {
    /// A process that was started just before who started it died. What such a keeper had no time
    /// to take back from it is taken back.
    fn find(&mut self, run: RunId, since: u64) -> Option<(u32, u64)> {
        let mut found = search::find_by_run_id(&run.to_string(), since).ok()?;
        found.retain(|(pid, _)| !search::is_kept_elsewhere(*pid, &self.state_dir));
        let leads = |found: &&search::Process| sys::group_of(found.0) == Some(found.0);
        let (pid, kernel_start) = *found.iter().find(leads).or(found.first())?;
        sys::end_precedence_of(pid);
        Some((pid.as_raw_nonzero().get().unsigned_abs(), kernel_start))
    }

    fn is_others(&mut self, started: Started) -> bool {
        pid_of(started.pid).is_some_and(|pid| search::is_kept_elsewhere(pid, &self.state_dir))
    }

    fn watch(&mut self, run: RunId, started: Started) -> bool {
        let Some(pid) = pid_of(started.pid) else { return false };
        let watched = self.try_watch(run, started, pid);
        let alive = match watched {
            Ok(alive) => alive,
            Err(_) => proc_fs::is_running(pid, started.kernel_start),
        };
        if alive {
            self.remains.is_led(run, pid);
        }
        match watched {
            Err(why) if alive => {
                if self.unwatched.insert(run, started).is_none() {
                    log::warn!("run={run} can't be watched and is looked at each second: {why}");
                }
            }
            _ => drop(self.unwatched.remove(&run)),
        }
        alive
    }

    fn watched(&self) -> BTreeSet<RunId> {
        let unwatched = self.unwatched.keys().copied();
        self.watched.values().map(|watched| watched.run).chain(unwatched).collect()
    }

    fn job_of(&mut self, started: Started) -> Option<JobId> {
        pid_of(started.pid).and_then(search::job_of)
    }

    fn reaches(&mut self, run: RunId, started: Started) -> bool {
        self.remains.reaches(run, started)
    }

    fn left(&mut self, runs: &BTreeMap<RunId, Started>) -> Option<BTreeMap<RunId, String>> {
        self.remains.left(runs)
    }
}
