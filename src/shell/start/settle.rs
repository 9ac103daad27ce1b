//! What became of the runs of earlier daemons: what their keeper says of them, and where there is
//! none what the machine shows.

use crate::core::daemon::Core;
use crate::core::event::{Event, Started};
use crate::core::ids::RunId;
use crate::core::journal::{Cause, RunEntry};
use crate::core::keeping::{KeptEnd, Notice};
use crate::core::replay::Replay;
use crate::core::scheduler::{Carried, Found};
use crate::shell::children::{Children, News, pid_of};
use crate::shell::clock;
use crate::shell::search;
use std::collections::BTreeMap;

/// Runs that the keeper has and the journal does not know, for it was removed: they count against
/// the limit of their job, can be stopped, and their end is told. Which job it is they have in
/// their environment.
pub(super) fn know_those_alive(replay: &mut Replay, notices: &[Notice]) {
    for notice in notices {
        let Notice::Started(run, started) = notice else { continue };
        replay.is_kept(*run);
        let known =
            replay.live.contains_key(run) || replay.ended.iter().any(|(_, past)| past.run == *run);
        // A keeper of an earlier version calls runs by other names.
        let job = (!known && run.instance != 0)
            .then(|| pid_of(started.pid).and_then(search::job_of))
            .flatten();
        let Some(job) = job else { continue };
        log::warn!("run={run} job={job} pid={} is alive and was not in the journal", started.pid);
        let entry = RunEntry {
            run: *run,
            job,
            slot_ms: None,
            cause: Cause::Manual,
            attempt: 1,
            at_ms: started.at.wall_ms,
            name: "".into(),
            command: "".into(),
            md5: "".into(),
            concurrent: 1,
            pid: started.pid,
            kernel_start: started.kernel_start,
            deadline_ms: None,
            end: None,
            home: 0,
        };
        replay.last_sequence = replay.last_sequence.max(run.sequence);
        replay.live.insert(*run, entry);
    }
}

/// Settles the runs of earlier daemons with what their keeper knows of them.
pub(super) fn settle(
    core: &mut Core,
    children: &mut Children,
    notices: Vec<Notice>,
    (same_boot, is_copy): (bool, bool),
    carried: Option<&Carried>,
) {
    let now = clock::now();
    let same_keeper = children.keeper_knows_as(&core.scheduler.outbox().keepers);
    let mut alive = BTreeMap::new();
    let mut ends: BTreeMap<RunId, KeptEnd> = BTreeMap::new();
    let mut stopping = Vec::new();
    let runs = core.scheduler.runs().keys().copied();
    for notice in children.recognise(runs, notices) {
        match notice {
            Notice::Started(run, started) => drop(alive.insert(run, started)),
            Notice::Ended(end) => drop(ends.insert(end.run, end)),
            Notice::Stopping(run, asked_ms) => stopping.push((run, asked_ms)),
            _ => {}
        }
    }
    core.handle(now, Event::KeeperIs(children.keeper_id().to_owned()));
    for (run, noted) in core.scheduler.unsettled() {
        let known = alive.remove(&run).inspect(|started| children.kept(run, *started));
        let known = known.or_else(|| ends.get(&run).map(|end| end.started));
        let found = match known {
            Some(started) => Found::Alive(started),
            None if same_keeper && noted.pid == 0 => Found::NotLaunched,
            None if same_boot && !is_copy => find(run, noted, children),
            None if same_boot => Found::Unknown,
            None if noted.pid == 0 => Found::Doubtful,
            None => Found::Gone,
        };
        core.scheduler.settle(now, run, found);
    }
    carried.into_iter().for_each(|carried| core.scheduler.go_on_stopping(carried));
    for (run, asked_ms) in stopping {
        core.scheduler.resume_stop(run, asked_ms);
    }
    for end in ends.into_values() {
        // That of a run that the journal has is only acknowledged.
        if let News::Ended(ended) = children.ended(end) {
            core.handle(now, Event::Ended(ended));
        }
    }
    for (run, started) in alive {
        log::warn!("run={run} pid={} is alive and not in the journal", started.pid);
    }
}

/// Finds out what became of a run of an earlier daemon in the same boot that has no keeper.
fn find(run: RunId, started: Started, children: &mut Children) -> Found {
    let started = match started.pid {
        0 => match children.find_unnoted(run, started.kernel_start) {
            Some((pid, kernel_start)) => Started { pid, kernel_start, ..started },
            None => return Found::Doubtful,
        },
        _ => started,
    };
    if children.is_others(started) {
        // The journal is a copy of theirs.
        return Found::Unknown;
    }
    if children.watch(run, started) { Found::Alive(started) } else { Found::Gone }
}
