//! `schedule stop`: daemons end.

use super::{DONE, FAILED, Groups, cannot_signal, not_permitted};
use crate::core::plain::{counted, runs_go_on};
use crate::shell::cli::BAD_CONFIGURATION;
use crate::shell::container::{self, Fate};
use crate::shell::holder::{Found, Holder};
use crate::shell::lock;
use crate::shell::predecessor;
use crate::shell::proc_fs;
use crate::shell::signals::{drain_signal, stop_runs_signal};
use crate::shell::sys::Signal;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A daemon ends at once, if it can; this is what it gets.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is said what is waited for.
const PROGRESS: Duration = Duration::from_secs(5);

/// What becomes of the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// They go on.
    Leave,
    /// They are waited for.
    Drain,
    /// They are stopped.
    StopRuns,
}

impl How {
    fn signal(self) -> Signal {
        match self {
            How::Leave => Signal::TERM,
            How::Drain => drain_signal(),
            How::StopRuns => stop_runs_signal(),
        }
    }
}

/// Ends the daemon of a group and waits until it is gone; the exit status.
pub(super) fn stop(groups: &Groups, id: u32, how: How, timeout: Option<Duration>) -> u8 {
    let holder = match groups.find(id) {
        Found::Running(holder) => holder,
        Found::Nobody | Found::Stale if groups.flawed => {
            let path = groups.config.base.pidfile.path(id);
            eprintln!(
                "server {id}: pid file {path} tells of no daemon, but the configuration has \
                 errors: correct it, or send TERM to the daemon's pid"
            );
            return BAD_CONFIGURATION;
        }
        found @ (Found::Nobody | Found::Stale) => {
            let left = groups.without_daemon(id);
            if how == How::StopRuns && !left.is_empty() {
                eprintln!("server {id}: not running{left}: start it, then it can stop them");
                return FAILED;
            }
            // What a crash has left behind would be `dead` for ever.
            if matches!(found, Found::Stale) {
                lock::forget_killed(Path::new(&groups.config.base.pidfile.path(id)));
            }
            println!("server {id}: not running{left}");
            tell_of_predecessor(id);
            return DONE;
        }
        Found::Predecessor(pid) => return groups.predecessor(id, pid),
        Found::Unclear(why) => {
            eprintln!("server {id}: {why}");
            return FAILED;
        }
        Found::NotPermitted(what) => return not_permitted(id, &what),
    };
    let is_told = predecessor::is_told(holder.pid);
    let signal = how.signal();
    // Where its container ends with it, it ends with its last run.
    let fate = container::fate_of_runs(holder.pid);
    let how = if how == How::Leave && fate == Fate::End { How::Drain } else { how };
    // What it leaves behind is known only now.
    let runs = live_runs(groups, id, &holder).filter(|_| how == How::Leave);
    match holder.signal(signal) {
        // It has ended by itself meanwhile.
        Err(why) if why.raw_os_error() == Some(libc::ESRCH) => {}
        Err(why) => return cannot_signal(id, &why),
        Ok(()) => {}
    }
    let patience = timeout.or((how == How::Leave).then_some(PATIENCE));
    let pid = holder.pid.as_raw_nonzero();
    if !gone(groups, id, &holder, patience) {
        let seconds = patience.unwrap_or_default().as_secs();
        let why = match how {
            _ if proc_fs::is_stopped(holder.pid) => format!("it is stopped: kill -CONT {pid}"),
            How::Leave => "its log may tell why".to_owned(),
            How::Drain | How::StopRuns => {
                let runs = live_runs(groups, id, &holder).unwrap_or(0);
                let are = if runs == 1 { "is" } else { "are" };
                format!("{} {are} left, and it ends with the last one", counted(runs, "run"))
            }
        };
        eprintln!("server {id}: pid {pid} has not ended in {seconds} s; {why}");
        return FAILED;
    }
    let runs = runs.filter(|runs| *runs > 0).map_or(String::new(), |runs| left(runs, fate));
    println!("server {id}: stopped (it was pid {pid}){runs}");
    if !is_told {
        tell_of_predecessor(id);
    }
    DONE
}

/// Whoever ends a group may mean the one of the PHP program.
fn tell_of_predecessor(id: u32) {
    let text = predecessor::beside(id).map(predecessor::not_stopped);
    text.iter().for_each(|text| eprintln!("server {id}: {text}"));
}

/// What is said of the runs that were left.
fn left(runs: u64, fate: Fate) -> String {
    let unless = match fate {
        Fate::GoOn | Fate::End => "",
        Fate::Unknown => ", unless their container ends with it",
    };
    format!("; {}{unless}", runs_go_on(runs))
}

/// Waits until the daemon is gone and another one could start.
fn gone(groups: &Groups, id: u32, holder: &Holder, patience: Option<Duration>) -> bool {
    let deadline = patience.map(|patience| Instant::now() + patience);
    let left = || deadline.map(|at| at.saturating_duration_since(Instant::now()));
    while !holder.has_ended(left().unwrap_or(PROGRESS).min(PROGRESS)) {
        if left().is_some_and(|left| left.is_zero()) {
            return false;
        }
        let told = |runs| format!(", {}", counted(runs, "run"));
        let runs = live_runs(groups, id, holder).map_or(String::new(), told);
        eprintln!("server {id}: waiting for pid {}{runs}", holder.pid.as_raw_nonzero());
    }
    // A child that it was just starting lets go of the lock a moment later.
    while matches!(groups.find(id), Found::Unclear(_)) {
        if left().is_some_and(|left| left.is_zero()) {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
    true
}

fn live_runs(groups: &Groups, id: u32, holder: &Holder) -> Option<u64> {
    groups.ask(id, holder).ok()?["running"].as_u64()
}
