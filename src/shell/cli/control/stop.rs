//! `schedule stop`: daemons end.

use super::{DONE, FAILED, Groups, Left, cannot_signal, not_permitted, status};
use crate::core::plain::{self, counted, records_astray, runs_go_on};
use crate::shell::cli::BAD_CONFIGURATION;
use crate::shell::container::{self, Fate};
use crate::shell::holder::{Found, Holder};
use crate::shell::journal::{self, Missed};
use crate::shell::keeper::ends::UNFINISHED;
use crate::shell::lock;
use crate::shell::predecessor;
use crate::shell::proc_fs;
use crate::shell::search;
use crate::shell::signals::{drain_signal, stop_runs_signal};
use crate::shell::sys::{Pid, Signal};
use std::fs;
use std::mem;
use std::num::NonZeroI32;
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
            return nobody(groups, id, (how, timeout), matches!(found, Found::Stale));
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
    // What it leaves behind is known only now; where its journal is, too.
    let view = groups.ask(id, &holder).unwrap_or_default();
    let astray = view["records_astray"].as_u64().unwrap_or(0);
    let journal = groups.state_dir(id, &holder).join("journal");
    let runs = view["running"].as_u64().filter(|_| how == How::Leave);
    match holder.signal(signal) {
        // It has ended by itself meanwhile.
        Err(why) if why.raw_os_error() == Some(libc::ESRCH) => {}
        Err(why) => return cannot_signal(id, &why),
        Ok(()) => {}
    }
    let began = Instant::now();
    let time_left = || timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
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
                format!("{} {are} left; the daemon ends with the last run", counted(runs, "run"))
            }
        };
        eprintln!("server {id}: pid {pid} has not ended in {seconds} s; {why}");
        tell_of_refused(groups, id, &holder);
        return FAILED;
    }
    if let Some(code) = killed(groups, id, (how, time_left()), (pid, &journal)) {
        return code;
    }
    let runs = runs.filter(|runs| *runs > 0).map_or(String::new(), |runs| left(runs, fate));
    println!("server {id}: stopped (it was pid {pid}){runs}");
    let astray = (astray > 0).then(|| records_astray(astray));
    astray
        .into_iter()
        .chain(missed(&journal))
        .for_each(|text| eprintln!("server {id}: warning: {text}"));
    _ = (!is_told).then(|| tell_of_predecessor(id));
    DONE
}

/// The daemon is gone, and has not done what it was told: somebody has killed it, or told it to end
/// at once, and its runs go on; the exit status.
fn killed(
    groups: &Groups,
    id: u32,
    (how, timeout): (How, Option<Duration>),
    (pid, journal): (NonZeroI32, &Path),
) -> Option<u8> {
    let found = groups.find(id);
    let is_stale = matches!(found, Found::Stale);
    let has_runs = || journal::left(journal).is_ok_and(|runs| !runs.is_empty());
    match found {
        Found::Running(other) if how != How::Leave => {
            let other = other.pid.as_raw_nonzero();
            eprintln!(
                "server {id}: pid {pid} has ended, and a daemon was started meanwhile, pid \
                 {other}, which has the runs: say it again"
            );
            Some(FAILED)
        }
        // Its runs go on whatever ended it, and that is told.
        _ if how == How::Leave || !(is_stale || has_runs()) => None,
        _ => {
            eprintln!("server {id}: pid {pid} has ended, but not as it was told to");
            Some(nobody(groups, id, (how, timeout), is_stale))
        }
    }
}

/// There is no daemon; what it has left goes on.
fn nobody(groups: &Groups, id: u32, (how, timeout): (How, Option<Duration>), stale: bool) -> u8 {
    let (left, told) = groups.without_daemon(id);
    // What a crash has left behind would be `dead` for ever.
    if stale && (how != How::StopRuns || left.is_none()) {
        lock::forget_killed(Path::new(&groups.config.base.pidfile.path(id)));
    }
    match (left, how) {
        (Some(left), How::StopRuns) => {
            let start = ": start it, then it can stop them";
            let is_told = left.stranger.is_some() || !left.back.is_empty();
            let advice = if is_told { "" } else { start };
            eprintln!("server {id}: not running{told}{advice}");
            return FAILED;
        }
        (Some(left), How::Drain) => {
            if let Err(why) = outlast(groups, id, (&left, &told), timeout) {
                eprintln!("server {id}: not running{why}");
                return FAILED;
            }
            println!("server {id}: not running; the last run of it has ended");
            tell_of_predecessor(id);
            return DONE;
        }
        (Some(_), How::Leave) | (None, _) => {}
    }
    println!("server {id}: not running{told}");
    tell_of_predecessor(id);
    DONE
}

/// Waits until the last run has ended, and the keeper with it; else what to do instead.
fn outlast(
    groups: &Groups,
    id: u32,
    (left, told_first): (&Left, &str),
    patience: Option<Duration>,
) -> Result<(), String> {
    let began = Instant::now();
    let mut told = began;
    let mut was_idle = false;
    while !left.has_ended() {
        if let Some(patience) = patience.filter(|patience| began.elapsed() >= *patience) {
            let seconds = patience.as_secs();
            return Err(format!("{told_first}; they have not ended in {seconds} s"));
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            if is_started(groups, id) {
                break;
            }
            // Twice: what has just ended is about to be left.
            let idle = left.keeper.filter(|keeper| search::runs_of(*keeper).is_empty());
            if let Some(keeper) = idle
                && mem::replace(&mut was_idle, true)
            {
                cannot_leave(&groups.configured_state_dir(id), keeper).map_or(Ok(()), Err)?;
            }
            was_idle = idle.is_some();
            let runs = left.keeper.map_or_else(
                || "that have no keeper".to_owned(),
                |keeper| format!("of keeper pid {}", keeper.as_raw_nonzero()),
            );
            eprintln!("server {id}: waiting for the runs {runs}");
        }
        sleep(Duration::from_millis(50));
    }
    match is_started(groups, id) {
        true => Err(format!("{told_first}; a daemon was started meanwhile: say it again")),
        false => Ok(()),
    }
}

/// Why a keeper without runs stays: nobody else knows how they ended, and it has no room to write
/// that down. It tries for as long as it takes, which may be for ever.
fn cannot_leave(dir: &Path, keeper: Pid) -> Option<String> {
    let uid = proc_fs::real_user(keeper)?;
    // It is there while it can't be filled: a quota is seen by nobody else.
    let is_stuck = || fs::exists(dir.join(UNFINISHED)).unwrap_or(false);
    let quota = || is_stuck().then(|| "takes no more".to_owned());
    let full = journal::why_full(dir, uid).or_else(quota)?;
    let (dir, pid) = (plain::line(&dir.display().to_string()), keeper.as_raw_nonzero());
    Some(format!(
        "; its runs have ended, but how is in the memory of keeper pid {pid} alone: {dir} {full}; \
         make room there, and it writes that down and ends, or start the daemon, which records it"
    ))
}

fn is_started(groups: &Groups, id: u32) -> bool {
    matches!(groups.find(id), Found::Running(_))
}

/// Who ends a group may mean the PHP program's daemon.
fn tell_of_predecessor(id: u32) {
    let text = predecessor::beside(id).map(predecessor::not_stopped);
    text.iter().for_each(|text| eprintln!("server {id}: {text}"));
}

/// Records that the database never gets, as the daemon has left its journal.
fn missed(journal: &Path) -> Vec<String> {
    let Ok(Missed { dropped, unwritten: (records, why) }) = journal::missed(journal) else {
        return Vec::new();
    };
    let why = if why.is_empty() { String::new() } else { format!(": {}", plain::line(&why)) };
    let were = if records == 1 { "was" } else { "were" };
    let unwritten = (records > 0).then(|| {
        format!("{} {were} in its memory alone and lost{why}", counted(records, "record"))
    });
    status::lost(dropped).into_iter().chain(unwritten).collect()
}

/// What is said of the runs that were left.
fn left(runs: u64, fate: Fate) -> String {
    let unless = match fate {
        Fate::GoOn | Fate::End => "",
        Fate::Unknown => ", unless the container ends with the daemon",
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
        tell_of_refused(groups, id, holder);
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

/// Says which runs the daemon waits for in vain.
fn tell_of_refused(groups: &Groups, id: u32, holder: &Holder) {
    let view = groups.ask(id, holder).unwrap_or_default();
    for text in status::stops_refused(&view) {
        eprintln!("server {id}: {}", plain::line(&text));
    }
}

fn live_runs(groups: &Groups, id: u32, holder: &Holder) -> Option<u64> {
    groups.ask(id, holder).ok()?["running"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_of_one_and_of_several() {
        let told = [1, 2].map(|runs| left(runs, Fate::Unknown));
        let unless = "unless the container ends with the daemon";
        assert_eq!(
            told,
            [format!("; 1 run goes on, {unless}"), format!("; 2 runs go on, {unless}")]
        );
        assert_eq!(left(1, Fate::GoOn), "; 1 run goes on");
    }
}
