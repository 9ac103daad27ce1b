//! A line of the list of jobs.

use super::super::listed;
use super::super::state_words::state_text;
use super::super::states::{Line, block_of, is_paused, states_of};
use super::super::texts::{Texts, column_label, fill};
use super::look::Look;
use super::words::{self, Moment};
use crate::core::columns::{Column, ColumnKind};
use crate::core::definition::{Definition, Schedule};
use crate::core::limits::{LISTED_COMMAND_CHARS, cut};
use crate::core::plain;
use crate::core::scheduler::Scheduler;
use crate::core::state_label::StateLabel;
use crate::core::table::{Job, Phase};
use crate::core::time::Now;
use std::borrow::Cow;

/// A line of the list.
pub(super) struct Row<'a> {
    pub id: u32,
    pub name: &'a str,
    pub state: StateLabel,
    pub label: &'static str,
    /// What that means where it can't be guessed, or what the API calls it.
    pub means: &'static str,
    pub tag: &'a str,
    pub cron: &'a str,
    /// The schedule in words, or why it is none.
    pub words: String,
    /// What is said where it has no next slot.
    pub not_due: &'static str,
    /// Nothing of it is ever started, and that is a mistake.
    pub mistake: bool,
    /// What keeps it from being started, where its state tells of something else: the state for
    /// that, and its text.
    pub also: Option<(StateLabel, &'static str)>,
    pub zone: &'a str,
    pub next: Option<Moment>,
    pub last: Option<Last>,
    pub running: usize,
    pub limit: u32,
    pub overtime: u64,
    /// The beginning of it.
    pub command: Cow<'a, str>,
    /// The same with its placeholders, where that differs.
    pub raw: Cow<'a, str>,
    /// What the row says in columns for people.
    pub notes: Vec<Note<'a>>,
    pub buttons: Buttons,
}

/// What stands in a column for people.
pub(super) struct Note<'a> {
    /// Name of the column: also the class of the text.
    pub name: &'static str,
    pub label: &'static str,
    pub text: Cow<'a, str>,
    /// Where it leads to; empty if it is only read.
    pub href: &'a str,
}

/// What a row says in columns for people, `max_chars` of each text.
pub(super) fn notes<'a>(look: Look, def: &'a Definition, max_chars: usize) -> Vec<Note<'a>> {
    let note = |(column, text): (Column, &'a str)| {
        let leads = column.kind() == ColumnKind::Link && plain::web_address(text).is_ok();
        Note {
            name: column.name(),
            label: column_label(look.lang, column),
            text: cut(text, max_chars),
            href: if leads { text } else { "" },
        }
    };
    def.optional.for_people().map(note).collect()
}

impl Row<'_> {
    /// A text about this job.
    pub(super) fn say(&self, text: &str) -> String {
        fill(text, &[self.name])
    }
}

/// The last run that ended.
pub(super) struct Last {
    pub ended: Moment,
    pub outcome: String,
    pub good: bool,
    pub took: String,
}

/// Which of the buttons of a job work, and why the others do not.
pub(super) struct Buttons {
    /// No button at all: the definition waits.
    pub none: bool,
    /// Why a run can't be started now; empty if one can.
    pub no_start: String,
    pub no_stop: &'static str,
}

/// A line of the list as it is shown.
pub(super) fn row<'a>(scheduler: &'a Scheduler, now: Now, look: Look, line: Line<'a>) -> Row<'a> {
    let (job, def, state) = line;
    let t = look.texts();
    let waits = state == StateLabel::Waiting;
    let (text, name) = (state_text(look.lang, state), state.label());
    let words = match &def.schedule {
        Schedule::Due(cron, _) => cron.describe(look.lang),
        Schedule::Refused(_, why) => why.to_string(),
    };
    let block = block_of(job, def);
    let also = states_of(scheduler, line).find(|also| *also != state);
    let next = listed::next_of(scheduler, job, state);
    // One that ends by itself is not why nothing comes.
    let waits_for_hand = is_paused(scheduler, job, def)
        && job.next_due_ms.is_some()
        && scheduler.pausing(def).iter().any(|pausing| pausing.until_ms.is_none());
    let not_due = if waits_for_hand { t.is_paused } else { t.not_due };
    Row {
        id: def.id.0,
        name: if def.name.is_empty() { "—" } else { &def.name },
        state,
        label: text,
        means: drains(scheduler, t, job).unwrap_or(if text == name { "" } else { name }),
        tag: scheduler.table().tags.get(&def.tag_id).map_or("", String::as_str),
        cron: &def.cron,
        words,
        not_due: block.map_or(not_due, |block| words::block(t, block)),
        mistake: block.is_some_and(|block| block.mistake().is_some()),
        also: also.map(|state| (state, state_text(look.lang, state))),
        zone: def.timezone(),
        next: next.map(|due| Moment::new(now, due, zone_of(scheduler, def))),
        last: last_run(scheduler, now, t, job).filter(|_| !waits),
        running: listed::running_of(scheduler, job, state),
        limit: def.max_concurrence,
        overtime: if waits { 0 } else { job.overtime },
        command: cut(&def.command, LISTED_COMMAND_CHARS),
        raw: cut(def.unfilled().unwrap_or(""), LISTED_COMMAND_CHARS),
        notes: notes(look, def, LISTED_COMMAND_CHARS),
        buttons: buttons(scheduler, t, job, waits),
    }
}

/// The zone in which a job's times are shown.
pub(super) fn zone_of<'a>(
    scheduler: &'a Scheduler,
    def: &Definition,
) -> &'a crate::core::cron::Zone {
    match &def.schedule {
        Schedule::Due(_, zone) => scheduler.table().zone(*zone),
        Schedule::Refused(..) => &scheduler.settings().zone,
    }
}

fn last_run(scheduler: &Scheduler, now: Now, t: &Texts, job: &Job) -> Option<Last> {
    let Some(run) = job.history.as_ref().and_then(|past| past.runs.back()) else {
        let at_ms = scheduler.last_run_ms(job)?;
        return Some(Last {
            ended: Moment::new(now, at_ms, zone_of(scheduler, &job.def)),
            outcome: t.ran_then.to_owned(),
            good: true,
            took: String::new(),
        });
    };
    Some(Last {
        ended: Moment::new(now, run.ended_ms, zone_of(scheduler, &job.def)),
        outcome: words::past(t, run),
        good: run.is_well(),
        took: words::duration(t, run.duration_ms),
    })
}

/// What becomes of a job whose row was changed, disabled or deleted beside live runs.
pub(super) fn drains(scheduler: &Scheduler, t: &Texts, job: &Job) -> Option<&'static str> {
    match job.phase() {
        Phase::Active | Phase::Disabled => None,
        Phase::Draining if scheduler.table().is_disabled(job.def.id) => Some(t.is_disabled),
        Phase::Draining => Some(t.is_draining),
        Phase::Replaced(_) => Some(t.is_waiting),
    }
}

/// Which buttons of a job work. What is refused all the same is said with the answer.
pub(super) fn buttons(scheduler: &Scheduler, t: &Texts, job: &Job, none: bool) -> Buttons {
    let limit = job.def.max_concurrence;
    let no_start = match job.phase() {
        _ if scheduler.draining() => t.skip_draining.to_owned(),
        Phase::Disabled => t.is_disabled.to_owned(),
        Phase::Draining | Phase::Replaced(_) => {
            drains(scheduler, t, job).unwrap_or_default().to_owned()
        }
        Phase::Active if job.def.command_flaw().is_some() => t.block_command.to_owned(),
        Phase::Active if limit == 0 => t.limit_zero.to_owned(),
        Phase::Active if job.live.len() >= limit as usize => {
            fill(t.at_limit, &[&limit.to_string()])
        }
        Phase::Active => String::new(),
    };
    let no_stop = if job.live.is_empty() { t.nothing_runs } else { "" };
    Buttons { none, no_start, no_stop }
}
