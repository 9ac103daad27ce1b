//! `GET /api/v1/jobs/ID/why?at=`: why a job ran, or did not. The facts are put together here, of
//! what the daemon remembers and what the database has; the answer is `core::why`'s.

mod paused;

use super::audit::{Line, Wanted as ActsWanted};
use super::texts::{WhyTexts, fill, why as texts};
use super::values;
use crate::core::change::{ENABLED, Stand, words::uses};
use crate::core::columns::Column;
use crate::core::cron::{Lang, Zone, zone};
use crate::core::history::PastRun;
use crate::core::http::{Request, Response};
use crate::core::ids::JobId;
use crate::core::outcome::OutcomeKind;
use crate::core::protocol::{ActRecord, ActsAsk, Past, RunRecord, RunsAsk, SkipRecord, WhyAsk};
use crate::core::run_kind::RunKind;
use crate::core::scheduler::{Run, Scheduler};
use crate::core::time::{self, Now, datetime, instant_of, offset_s, rfc3339};
use crate::core::why::{Answer, Done, Facts, Ran, Skipped, Turn, Verdict, turn};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The actions that change a job's row.
const CHANGES: [&str; 7] = ["create", "edit", "delete", "enable", "disable", "pause", "resume"];

/// Those that change what its command means.
const WORDS: [&str; 4] = ["create_variable", "edit_variable", "delete_variable", APPLY];

/// A file with jobs and variables was applied.
const APPLY: &str = "apply";

/// Changes, and runs, that are looked at.
const MAX_LOOKED_AT: usize = 1_000;

/// Runs before the instant that are looked at: some of them may be started by hand.
const RUNS_BEFORE: usize = 20;

/// A run begins within this time after its slot, ms.
const LATE_MS: i64 = 120_000;

/// By so much local times may be in another order than instants, ms.
const FOLD_MS: i64 = 7_200_000;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub job: JobId,
    /// The instant, unix ms.
    pub at_ms: i64,
    pub lang: Lang,
    /// Of a page.
    pub request: Option<Request>,
}

/// The answer, and since when a run that failed has failed.
pub(super) struct Told {
    pub answer: Answer,
    pub turn: Option<Turn>,
    /// A slot without a record, and nothing of the job from before then is known.
    pub is_first: bool,
}

impl Asked {
    /// What a request asks. Without an instant it is the last slot of the job, or the second in
    /// which it was started without one since.
    pub fn of(
        scheduler: &Scheduler,
        now: Now,
        (request, job, lang): (&Request, JobId, Lang),
    ) -> Result<Asked, Response> {
        let zone = zone_of(scheduler, job);
        let given = request.query("at").filter(|text| !text.trim().is_empty());
        let at_ms = match given {
            Some(text) => values::instant_of("at", &text, &zone)?,
            None => last_time(scheduler, now, job, &zone),
        };
        // Slots are whole seconds.
        let at_ms = at_ms.div_euclid(1_000) * 1_000;
        Ok(Asked { job, at_ms, lang, request: None })
    }

    /// The question to the database.
    pub fn ask(&self, scheduler: &Scheduler) -> WhyAsk {
        let settings = scheduler.settings();
        let server_id = settings.server_id;
        let acts = |job: Option<u32>, actions: &[&str]| ActsAsk {
            job,
            actions: actions.iter().map(|&it| it.to_owned()).collect(),
            limit: MAX_LOOKED_AT,
            ..ActsWanted::default().ask(scheduler)
        };
        let zone = &settings.zone;
        let [before, after] = [-FOLD_MS, FOLD_MS].map(|by| offset_s(self.at_ms + by, zone));
        let fold_ms = if before == after { 0 } else { FOLD_MS };
        let jobs = Some(vec![self.job.0]);
        let until = datetime(self.at_ms + 1_000 + fold_ms, zone);
        let before = RunsAsk { server_id, jobs, until, ..RunsAsk::default() };
        WhyAsk {
            changes: acts(Some(self.job.0), &CHANGES),
            pauses: ActsAsk {
                from: paused::made_at(settings, self.at_ms - paused::LOOKED_BACK_MS),
                before: paused::made_at(settings, self.at_ms + paused::LATE_MS),
                ..acts(None, &paused::VERBS)
            },
            near: RunsAsk {
                since: datetime(self.at_ms - fold_ms, zone),
                until: datetime(self.at_ms + LATE_MS + fold_ms, zone),
                limit: MAX_LOOKED_AT,
                ..before.clone()
            },
            skips: RunsAsk { skips: true, limit: RUNS_BEFORE, ..before.clone() },
            good: RunsAsk { kinds: vec![RunKind::Success], limit: 1, ..before },
            words: acts(None, &WORDS),
        }
    }
}

/// In which zone a job's times are told.
pub(super) fn zone_of(scheduler: &Scheduler, job: JobId) -> Zone {
    let named = scheduler.table().row(job).map(|(def, _)| def.timezone().to_owned());
    let own = named.filter(|name| !name.is_empty()).and_then(|name| zone(&name).ok());
    own.unwrap_or_else(|| scheduler.settings().zone.clone())
}

/// The last slot up to now, or the last start without one, whichever was later; the present where
/// there is neither.
fn last_time(scheduler: &Scheduler, now: Now, job: JobId, zone: &Zone) -> i64 {
    let row = scheduler.table().row(job);
    let cron = row.map(|(def, _)| def.cron.to_string());
    let dialect = scheduler.settings().dialect;
    let slot =
        cron.and_then(|cron| crate::core::why::slot_before(&cron, dialect, zone, now.wall_ms + 1));
    let without_slot = runs(scheduler, job, &[]).into_iter().filter(|run| run.slot_ms.is_none());
    let started = without_slot.map(|run| run.started_ms).max();
    slot.max(started).unwrap_or(now.wall_ms)
}

/// The answer, if what the daemon remembers is enough.
pub(super) fn known(scheduler: &Scheduler, now: Now, asked: &Asked) -> Option<Told> {
    let whole_after_s = scheduler.acts().whole_after() >> 20;
    let whole_after_ms = i64::try_from(whole_after_s).ok()?.checked_mul(1_000)? + 1_000;
    let (facts, words) = facts(scheduler, now, asked, None);
    let runs = facts.runs.clone();
    let told = told(facts, &runs, words);
    let is_enough = match &told.answer.verdict {
        // Since when it has failed the database may know.
        Verdict::Ran(run) => !run.failed,
        Verdict::Skipped(_) | Verdict::Paused => !told.answer.needs_pause(),
        Verdict::WillRun => true,
        Verdict::Disabled(_)
        | Verdict::OtherSchedule(_)
        | Verdict::NotThere(_)
        | Verdict::NeverDue(_)
        | Verdict::NoPlace
        | Verdict::NoSchedule
        | Verdict::NotDue
        | Verdict::Undecided
        | Verdict::NoRecord(_)
        | Verdict::Unknown => false,
    };
    (is_enough && asked.at_ms > whole_after_ms).then_some(told)
}

/// The answer, with what the database says.
pub(super) fn together(scheduler: &Scheduler, now: Now, asked: &Asked, past: &Past) -> Told {
    let (facts, words) = facts(scheduler, now, asked, Some(past));
    let runs = facts.runs.clone();
    told(facts, &runs, words)
}

fn told(facts: Facts<'_>, runs: &[Ran], words: Vec<Done>) -> Told {
    let mut changes = facts.changes.clone();
    changes.extend(words);
    changes.sort_by_key(|done| std::cmp::Reverse(done.at_ms));
    let at_ms = facts.at_ms;
    let knows_before = runs.iter().any(|run| run.started_ms <= at_ms)
        || facts.skips.iter().any(|skip| skip.first_ms <= at_ms);
    let answer = facts.answer();
    let is_first = matches!(answer.verdict, Verdict::NoRecord(_)) && !knows_before;
    let failed = match &answer.verdict {
        Verdict::Ran(run) if run.failed => Some(run),
        _ => None,
    };
    let turn = failed.and_then(|run| turn(run, runs, &changes));
    Told { answer, turn, is_first }
}

/// What is known, and what was changed of variables that the job uses.
fn facts<'a>(
    scheduler: &'a Scheduler,
    now: Now,
    asked: &Asked,
    past: Option<&Past>,
) -> (Facts<'a>, Vec<Done>) {
    let settings = scheduler.settings();
    let table = scheduler.table();
    let row = table.row(asked.job);
    let present = row.map(|(def, enabled)| Stand { row: def.row(settings.server_id), enabled });
    let nothing = Past::default();
    let past_or_not = past.unwrap_or(&nothing);
    let lines = lines(scheduler, past_or_not);
    let of_job = |line: &&Line| {
        line.job == Some(asked.job) && CHANGES.contains(&&*line.action) && !line.what.is_empty()
    };
    let command = present.as_ref().map_or("", |present| &present.row.command);
    let used = |line: &&Line| {
        let is_used = |name: &Value| name.as_str().is_some_and(|name| uses(command, name));
        let name = line.what.get("name").and_then(Value::as_array);
        let is_variable = WORDS[..3].contains(&&*line.action);
        let mut applied = line.what.keys().filter_map(|key| key.strip_prefix("variables."));
        is_variable && name.is_some_and(|names| names.iter().any(is_used))
            || line.action == APPLY && applied.any(|name| uses(command, name))
    };
    let changes: Vec<Done> = lines.iter().filter(of_job).map(done).collect();
    let words = lines.iter().filter(used).map(done).collect();
    let known_since_ms = match past.and_then(|past| past.acts_end.as_ref()) {
        Some(end) if end.down_to.is_some() => {
            let is_its = |act: &&ActRecord| act.job_id == asked.job.0;
            let last = past_or_not.acts.iter().rfind(is_its);
            last.map_or(now.wall_ms, |act| Line::row(act).at_ms)
        }
        _ => i64::MIN,
    };
    let facts = Facts {
        at_ms: asked.at_ms,
        now_ms: now.wall_ms,
        id: (asked.job.0, settings.server_id),
        dialect: settings.dialect,
        zone: &settings.zone,
        present,
        changes,
        pauses: paused::known(scheduler, &lines),
        known_since_ms,
        runs: runs(scheduler, asked.job, &past_or_not.runs),
        skips: skips(scheduler, asked.job, &past_or_not.skips),
    };
    (facts, words)
}

/// What was done, newest first.
fn lines(scheduler: &Scheduler, past: &Past) -> Vec<Line> {
    let mut lines: Vec<Line> = scheduler.acts().last().map(Line::known).collect();
    let known: BTreeSet<String> = lines.iter().map(|line| line.id.clone()).collect();
    let rows = past.acts.iter().filter(|row| !known.contains(&row.uniq_id));
    lines.extend(rows.map(Line::row));
    lines.retain(Line::is_done);
    lines.sort_by(|one, other| other.id.cmp(&one.id));
    lines.dedup_by(|one, other| one.id == other.id);
    lines
}

fn done(line: &Line) -> Done {
    Done {
        at_ms: line.at_ms,
        who: if line.who.is_empty() { line.origin.clone() } else { line.who.clone() },
        action: line.action.clone(),
        version: line.version.clone().unwrap_or_default(),
        what: line.what.clone(),
    }
}

fn runs(scheduler: &Scheduler, job: JobId, rows: &[RunRecord]) -> Vec<Ran> {
    let mut runs = Vec::new();
    if let Some(job) = scheduler.table().get(job) {
        let live = job.live.iter().filter_map(|run| scheduler.runs().get(run)).map(live);
        let past = job.history.iter().flat_map(|history| &history.runs).map(ended);
        runs.extend(live.chain(past));
    }
    let known: BTreeSet<String> = runs.iter().map(|run: &Ran| run.run.clone()).collect();
    let zone = &scheduler.settings().zone;
    let others = rows.iter().filter(|row| !known.contains(&row.uniq_id));
    runs.extend(others.map(|row| recorded(row, zone)));
    runs
}

fn live(run: &Run) -> Ran {
    let (slot_ms, started_ms) = (run.slot_ms, run.at_ms);
    Ran { run: run.id.to_string(), slot_ms, started_ms, ..Ran::default() }
}

fn ended(run: &PastRun) -> Ran {
    let is_good =
        matches!(run.outcome.kind(run.stopped), OutcomeKind::Success | OutcomeKind::Stopped);
    Ran {
        run: run.run.to_string(),
        slot_ms: run.slot_ms,
        started_ms: run.started_ms,
        outcome: run.outcome.to_string(),
        stopped: run
            .stopped
            .then(|| run.remarks.as_ref().map(|it| it.stopped_by.to_string()).unwrap_or_default()),
        failed: !is_good,
    }
}

fn recorded(row: &RunRecord, zone: &Zone) -> Ran {
    let id: Option<crate::core::ids::RunId> = row.uniq_id.parse().ok();
    let near_s = id.and_then(|id| i64::try_from(id.unix_seconds()).ok());
    let is_alive = row.kind == RunKind::Running;
    Ran {
        run: row.uniq_id.clone(),
        slot_ms: time::instant(&row.slot).ok(),
        started_ms: instant_of(&row.start_time, zone, near_s).unwrap_or_default(),
        outcome: if is_alive { String::new() } else { row.outcome.clone() },
        stopped: (row.kind == RunKind::Stopped).then(|| row.stopped_by.clone()),
        failed: RunKind::FAILED.contains(&row.kind),
    }
}

fn skips(scheduler: &Scheduler, job: JobId, rows: &[SkipRecord]) -> Vec<Skipped> {
    let known = scheduler.table().get(job).and_then(|job| job.history.as_ref());
    let known = known.into_iter().flat_map(|history| &history.skips);
    let known = known.map(|skip| Skipped {
        reason: skip.reason.label().to_owned(),
        first_ms: skip.first_ms,
        last_ms: skip.last_ms,
        count: skip.count,
    });
    let row = |row: &SkipRecord| {
        Some(Skipped {
            reason: row.reason.clone(),
            first_ms: time::instant(&row.first_slot).ok()?,
            last_ms: time::instant(&row.last_slot).ok()?,
            count: row.count,
        })
    };
    known.chain(rows.iter().filter_map(row)).collect()
}

/// The answer to a program.
pub(super) fn json(scheduler: &Scheduler, now: Now, asked: &Asked, told: &Told) -> Response {
    let zone = zone_of(scheduler, asked.job);
    let at = |ms: i64| rfc3339(ms, &zone);
    let Told { answer, turn, .. } = told;
    let (run, skip) = match &answer.verdict {
        Verdict::Ran(run) => (Some(&run.run), None),
        Verdict::Skipped(skip) => (None, Some(skip)),
        _ => (None, None),
    };
    let skip = skip.map(|skip| {
        json!({
            "reason": skip.reason,
            "first_slot": at(skip.first_ms),
            "last_slot": at(skip.last_ms),
            "count": skip.count,
        })
    });
    let done = |done: &Done| {
        let Done { at_ms, who, action, what, .. } = done;
        json!({ "at": at(*at_ms), "who": who, "action": action, "what": what })
    };
    let run_of = |run: &Ran| {
        let Ran { run, started_ms, outcome, .. } = run;
        json!({ "run_id": run, "started_at": at(*started_ms), "outcome": outcome })
    };
    let turn = turn.as_ref().map(|turn| {
        json!({
            "good": run_of(&turn.good),
            "bad": run_of(&turn.bad),
            "changes": turn.changes.iter().map(done).collect::<Vec<_>>(),
            "restarted": turn.is_other_daemon,
        })
    });
    super::api::json_answer(&json!({
        "job_id": asked.job,
        "at": at(asked.at_ms),
        "was_due": answer.was_due,
        "verdict": word(&answer.verdict),
        "answer": sentences(scheduler, now, asked, told).join(" "),
        "slot": answer.was_due.then(|| at(asked.at_ms)),
        "run_id": run,
        "skip": skip,
        "nearest": answer.nearest_ms.map(|slot| slot.map(at)),
        "definition_then": answer.then.as_ref().map(definition),
        "changed": by(answer).map(done),
        "since_good": turn,
    }))
}

/// A row by its columns.
pub(super) fn definition(stand: &Stand) -> Value {
    let columns = Column::ALL.iter().filter(|it| !matches!(it, Column::Id | Column::ServerId));
    let mut all: Map<String, Value> =
        columns.map(|it| (it.name().to_owned(), stand.value(Some(*it)))).collect();
    all.insert(ENABLED.to_owned(), stand.enabled.into());
    Value::Object(all)
}

/// What there is to say, in a word.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Ran(run) if run.outcome.is_empty() => "running",
        Verdict::Ran(_) => "ran",
        Verdict::Skipped(_) => "skipped",
        Verdict::Disabled(_) => "disabled",
        Verdict::OtherSchedule(_) => "other_schedule",
        Verdict::NotThere(_) => "not_there",
        Verdict::NeverDue(_) | Verdict::NoPlace => "never_due",
        Verdict::NoSchedule => "no_schedule",
        Verdict::NotDue => "not_due",
        Verdict::WillRun => "will_run",
        Verdict::Paused => "paused",
        Verdict::Undecided => "undecided",
        Verdict::NoRecord(_) => "no_record",
        Verdict::Unknown => "unknown",
    }
}

/// The change that tells more.
fn by(answer: &Answer) -> Option<&Done> {
    match &answer.verdict {
        Verdict::Disabled(done)
        | Verdict::OtherSchedule(done)
        | Verdict::NotThere(done)
        | Verdict::NoRecord(done) => done.as_ref(),
        Verdict::Skipped(_) | Verdict::Paused => answer.paused.as_ref().map(|it| &it.done),
        Verdict::Ran(_)
        | Verdict::NeverDue(_)
        | Verdict::NoPlace
        | Verdict::NoSchedule
        | Verdict::NotDue
        | Verdict::WillRun
        | Verdict::Undecided
        | Verdict::Unknown => None,
    }
}

/// The answer in words.
pub(super) fn sentences(
    scheduler: &Scheduler,
    now: Now,
    asked: &Asked,
    told: &Told,
) -> Vec<String> {
    let t = texts(asked.lang);
    let zone = zone_of(scheduler, asked.job);
    let at = |ms: i64| datetime(ms, &zone);
    let Told { answer, turn, is_first } = told;
    let cron = |stand: Option<&Stand>| stand.map_or(String::new(), |it| it.row.cron.clone());
    let is_future = asked.at_ms > now.wall_ms;
    let present = scheduler.table().row(asked.job).map(|(def, _)| def.cron.to_string());
    let first = match &answer.verdict {
        Verdict::Ran(run) if run.outcome.is_empty() => {
            fill(t.runs, &[&run.run, &at(run.started_ms)])
        }
        Verdict::Ran(run) => {
            let text = if answer.was_due { t.ran } else { t.ran_unscheduled };
            fill(text, &[&run.run, &at(run.started_ms), &t.end(run)])
        }
        Verdict::Skipped(skip) => t.reason(&skip.reason),
        Verdict::Disabled(_) if is_future => t.is_disabled.to_owned(),
        Verdict::Disabled(_) => t.was_disabled.to_owned(),
        Verdict::OtherSchedule(_) => {
            fill(t.other, &[&cron(answer.then.as_ref()), &present.unwrap_or_default()])
        }
        Verdict::NotThere(_) => t.not_there.to_owned(),
        Verdict::NeverDue(why) => fill(t.never, &[why]),
        Verdict::NoPlace => t.no_place.to_owned(),
        Verdict::NoSchedule => t.no_schedule.to_owned(),
        Verdict::NotDue if is_future => t.is_not_due.to_owned(),
        Verdict::NotDue => t.was_not_due.to_owned(),
        Verdict::WillRun => t.will_run.to_owned(),
        Verdict::Paused => t.is_paused.to_owned(),
        Verdict::Undecided => t.undecided.to_owned(),
        Verdict::NoRecord(_) => t.no_record.to_owned(),
        Verdict::Unknown => t.unknown.to_owned(),
    };
    let changed = by(answer).map(|it| match &answer.paused {
        Some(paused) => paused::sentence(t, paused, at),
        None => fill(t.changed_by, &[&it.who, &at(it.at_ms), &it.action]),
    });
    let slot = |slot: Option<i64>| slot.map_or(t.none.to_owned(), at);
    let [earlier, later] = answer.nearest_ms.map(slot);
    let has_none = matches!(answer.verdict, Verdict::NoPlace) || answer.nearest_ms == [None, None];
    let is_slot = answer.was_due || has_none;
    let nearest = (!is_slot).then(|| fill(t.nearest, &[&earlier, &later]));
    let unsure = (!answer.is_sure).then(|| t.unsure.to_owned());
    let turned = turn.iter().flat_map(|turn| turned(t, turn, at));
    let before = is_first.then(|| t.nothing_before.to_owned());
    [Some(first), before, changed, nearest, unsure].into_iter().flatten().chain(turned).collect()
}

fn turned(t: &WhyTexts, turn: &Turn, at: impl Fn(i64) -> String) -> [String; 2] {
    let Turn { good, bad, changes, is_other_daemon } = turn;
    let values = [&good.run, &at(good.started_ms), &bad.run, &at(bad.started_ms)];
    let since = fill(t.since_good, &values.map(String::as_str));
    let told = |done: &Done| fill(t.did, &[&done.action, &done.who, &at(done.at_ms)]);
    let mut all: Vec<String> = changes.iter().map(told).collect();
    all.extend(is_other_daemon.then(|| t.restarted.to_owned()));
    let between = match all.is_empty() {
        true => t.nothing_between.to_owned(),
        false => fill(t.between, &[&all.join(", ")]),
    };
    [since, between]
}
