//! What runs have written, and the log: in which files it is.

use super::missing;
use crate::core::files::{FileName, FileTrouble};
use crate::core::ids::{JobId, RunId};
use crate::core::launch::Stream;
use crate::core::plain::counted;
use crate::core::scheduler::Scheduler;
use crate::core::table::Job;

/// What can be read and cleared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// What a run has written.
    Run(RunId, Stream),
    /// The same of a run of this job, though it may be forgotten.
    RunOf(JobId, RunId, Stream),
    /// The file a job writes to; without one, that of its newest run.
    Job(JobId, Stream),
    /// The daemon's log.
    Log,
}

/// The files of a source, in the order in which they are tried.
pub(super) fn names_of(
    scheduler: &Scheduler,
    source: &Source,
) -> Result<Vec<FileName>, (u16, String)> {
    let (job, run, stream) = match *source {
        Source::Log => return Ok(vec![FileName::Log]),
        Source::Run(run, stream) => match job_of_run(scheduler, run) {
            Some(job) => (job, Some(run), stream),
            None => return Err(missing::no_run(scheduler, run)),
        },
        Source::RunOf(job, run, stream) => match job_of_run(scheduler, run) {
            Some(known) if known == job => (job, Some(run), stream),
            Some(_) => return Err(missing::no_run(scheduler, run)),
            // More outputs are kept than runs are remembered.
            None => return Ok(vec![FileName::Run(job, run, stream)]),
        },
        Source::Job(job, stream) => (job, None, stream),
    };
    let Some(job) = scheduler.table().get(job) else { return Err(missing::no_job(scheduler, job)) };
    let own = match stream {
        Stream::Stdout => &job.def.output,
        Stream::Stderr => &job.def.stderr,
    };
    let newest = || {
        let ended = job.history.as_ref().and_then(|history| history.runs.back());
        job.live.last().copied().or(ended.map(|past| past.run))
    };
    let own = (!own.is_empty()).then(|| FileName::Path(own.to_string()));
    let of_run = match (run, &own) {
        (Some(run), _) => Some(run),
        (None, None) => newest(),
        (None, Some(_)) => None,
    };
    let of_run = of_run.map(|run| FileName::Run(job.def.id, run, stream));
    let names: Vec<FileName> = of_run.into_iter().chain(own).collect();
    match names.is_empty() {
        true => Err((404, format!("job {} has written nothing yet", job.def.id))),
        false => Ok(names),
    }
}

/// The job of a run that is alive or remembered.
pub(super) fn job_of_run(scheduler: &Scheduler, run: RunId) -> Option<JobId> {
    let of_live = || scheduler.runs().get(&run).map(|run| run.job);
    let has = |job: &&Job| {
        let past = job.history.as_ref();
        past.is_some_and(|past| past.runs.iter().any(|past| past.run == run))
    };
    let table = scheduler.table();
    of_live().or_else(|| table.iter().chain(table.disabled()).find(has).map(|job| job.def.id))
}

/// What is not there of a run may have been: only so many outputs are kept, and they give way where
/// the disk is full.
pub(super) fn may_be_gone(
    scheduler: &Scheduler,
    names: &[FileName],
    trouble: FileTrouble,
) -> FileTrouble {
    let keep = scheduler.settings().keep_output;
    if names.iter().any(|name| is_not_kept(scheduler, name))
        && let FileTrouble::Missing(why) = trouble
    {
        let last = if keep == 1 { "run".to_owned() } else { format!("{keep} runs") };
        let kept = format!("of a job's last {last} it is (`keep_output`)");
        return FileTrouble::Missing(format!("{why}: it is not kept any more: {kept}"));
    }
    let dropped = scheduler.counters().outputs_dropped;
    let of_run = names.iter().any(|name| matches!(name, FileName::Run(..)));
    let Some(FileTrouble::Missing(why)) = (of_run && dropped > 0).then_some(&trouble) else {
        return trouble;
    };
    let dropped = counted(dropped, "output");
    let may = format!("it may have given way on a full disk, as {dropped} did");
    FileTrouble::Missing(format!("{why}; {may} (`outputs_dropped`)"))
}

/// Whether a file is that of a run that ended before the last ones.
fn is_not_kept(scheduler: &Scheduler, name: &FileName) -> bool {
    let (FileName::Run(job, run, _), keep) = (name, scheduler.settings().keep_output) else {
        return false;
    };
    if keep == 0 || scheduler.runs().contains_key(run) {
        return false;
    }
    let past = scheduler.table().get(*job).and_then(|job| job.history.as_ref());
    let mut newest = past.into_iter().flat_map(|past| past.runs.iter().rev());
    newest.position(|past| past.run == *run).is_none_or(|place| place >= keep)
}

/// Under which name a file is kept.
pub(super) fn file_name(source: &Source) -> String {
    let stream = |stream: &Stream| match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    match source {
        Source::Run(run, which) | Source::RunOf(_, run, which) => {
            format!("run-{run}-{}.txt", stream(which))
        }
        Source::Job(job, which) => format!("job-{job}-{}.txt", stream(which)),
        Source::Log => "schedule-log.txt".into(),
    }
}
