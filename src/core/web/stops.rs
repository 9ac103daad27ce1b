//! Clients that stop runs: each is told whom the signal has reached.

use super::Web;
use super::missing;
use super::sources;
use crate::core::ids::{JobId, RunId};
use crate::core::refusal::Refusal;
use crate::core::scheduler::{RunPhase, Scheduler};
use crate::core::time::Now;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A part of a command: the runs of a job, or one of them.
#[derive(Debug)]
pub(super) struct Stop {
    ticket: u64,
    /// As the message line names it.
    what: String,
    job: JobId,
    runs: Vec<Asked>,
    /// Of how many of them it is not known yet.
    left: usize,
}

/// Those that wait, found by the run that an answer is about: there may be thousands of both.
#[derive(Debug, Default)]
pub(super) struct Stops {
    last: u64,
    all: BTreeMap<u64, Stop>,
    /// Which of them wait for a run, and as the how manieth of theirs.
    places: BTreeMap<RunId, Vec<(u64, usize)>>,
}

impl Stops {
    fn wait(&mut self, stop: Stop) {
        self.last += 1;
        let open = stop.runs.iter().enumerate().filter(|(_, asked)| asked.did.is_none());
        for (at, asked) in open {
            self.places.entry(asked.run).or_default().push((self.last, at));
        }
        self.all.insert(self.last, stop);
    }

    /// What became of a run; those stops that are done by that.
    fn answered(&mut self, run: RunId, did: &'static str, reason: Option<&str>) -> Vec<Stop> {
        let mut done = Vec::new();
        for (id, at) in self.places.remove(&run).unwrap_or_default() {
            let Some(stop) = self.all.get_mut(&id) else { continue };
            stop.runs[at].did = Some(did);
            stop.runs[at].reason = reason.map(str::to_owned);
            stop.left -= 1;
            if stop.left == 0 {
                done.extend(self.all.remove(&id));
            }
        }
        done
    }
}

/// A run that is to end.
#[derive(Debug)]
struct Asked {
    run: RunId,
    pid: Option<u32>,
    /// What was done; none = its signal is on the way.
    did: Option<&'static str>,
    reason: Option<String>,
}

impl Stop {
    /// What its client is told. Where nothing took the signal, nothing was done.
    fn result(self) -> Result<Value, (u16, String)> {
        if self.runs.iter().all(|asked| asked.did == Some(REFUSED)) {
            let reasons = self.runs.into_iter().filter_map(|asked| asked.reason);
            return Err((403, reasons.collect::<Vec<_>>().join("; ")));
        }
        let view = |asked: Asked| {
            let Asked { run, pid, did, reason } = asked;
            json!({ "run_id": run, "pid": pid, "did": did, "reason": reason })
        };
        let runs: Vec<Value> = self.runs.into_iter().map(view).collect();
        Ok(json!({ "job_id": self.job, "runs": runs }))
    }
}

const REFUSED: &str = "refused";

impl Web {
    /// Stops all runs of a job.
    pub(super) fn stop_job_by(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        (ticket, who): (u64, &str),
        id: JobId,
    ) {
        let refused = match scheduler.table().get(id) {
            None => missing::no_job(scheduler, id),
            Some(job) if job.live.is_empty() => {
                (409, format!("no run of job {id} is alive: there is nothing to stop"))
            }
            Some(job) => {
                let runs = job.live.clone();
                return self.stop_by(scheduler, now, (ticket, id.to_string(), who), id, runs);
            }
        };
        self.note(ticket, id.to_string(), Err(refused));
    }

    /// Stops a run.
    pub(super) fn stop_run_by(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        (ticket, who): (u64, &str),
        run: RunId,
    ) {
        let refused = match scheduler.runs().get(&run).map(|run| run.job) {
            Some(job) => {
                let asked = (ticket, run.to_string(), who);
                return self.stop_by(scheduler, now, asked, job, vec![run]);
            }
            None if sources::job_of_run(scheduler, run).is_some() => {
                (409, format!("run {run} has ended already: there is nothing to stop"))
            }
            None => missing::no_run(scheduler, run),
        };
        self.note(ticket, run.to_string(), Err(refused));
    }

    fn stop_by(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        (ticket, what, who): (u64, String, &str),
        job: JobId,
        runs: Vec<RunId>,
    ) {
        let runs: Vec<Asked> =
            runs.into_iter().map(|run| ask_to_end(scheduler, now, run, who)).collect();
        let left = runs.iter().filter(|asked| asked.did.is_none()).count();
        let stop = Stop { ticket, what, job, runs, left };
        if left == 0 {
            return self.note(ticket, stop.what.clone(), stop.result());
        }
        self.expect(ticket);
        self.waiting.stops.wait(stop);
    }

    /// A signal was sent to a run, or refused.
    pub(in crate::core) fn stop_answered(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        run: RunId,
        refusal: Option<&Refusal>,
    ) {
        let goes_on = refusal.is_some_and(Refusal::goes_on);
        let did = if goes_on { REFUSED } else { "terminated" };
        let reason = refusal.map(ToString::to_string);
        self.tell_stops(scheduler, now, run, did, reason.as_deref());
    }

    /// A signal can't be sent now, and is later.
    pub(in crate::core) fn stop_delayed(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        run: RunId,
        why: &str,
    ) {
        self.tell_stops(scheduler, now, run, "delayed", Some(why));
    }

    fn tell_stops(
        &mut self,
        scheduler: &mut Scheduler,
        now: Now,
        run: RunId,
        did: &'static str,
        reason: Option<&str>,
    ) {
        for stop in self.waiting.stops.answered(run, did, reason) {
            let ticket = stop.ticket;
            self.note(ticket, stop.what.clone(), stop.result());
            self.one_less(scheduler, now, ticket);
        }
    }
}

fn ask_to_end(scheduler: &mut Scheduler, now: Now, run: RunId, who: &str) -> Asked {
    let before = scheduler.runs().get(&run).map(|run| (run.phase(), run.pid));
    scheduler.stop_run(now, run, who);
    let (did, pid) = match before {
        Some((RunPhase::Queued | RunPhase::Retry { .. }, _)) => (Some("cancelled"), None),
        Some((RunPhase::Launching { .. }, _)) => (Some("terminated"), None),
        Some((RunPhase::Live, pid)) => (None, Some(pid)),
        Some((RunPhase::Stopping { .. } | RunPhase::Killed, pid)) => {
            (Some("already_stopping"), Some(pid))
        }
        None => (Some("gone"), None),
    };
    Asked { run, pid, did, reason: None }
}
