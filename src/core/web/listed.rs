//! Which jobs a list shows, in which order, and how many there are of each kind.

use super::filter::{Filter, Paging};
use super::parameters::{self, check_order};
use super::sort::Sort;
use super::states::{Line, states_of};
use super::views;
use crate::core::definition::Definition;
use crate::core::http::{Request, Response};
use crate::core::scheduler::Scheduler;
use crate::core::state_label::{StateLabel, States};
use crate::core::table::{Job, Phase};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The lines that are asked for, all of them, in order.
pub(super) struct Selection<'a> {
    /// The lines.
    pub lines: Vec<Line<'a>>,
    /// How many lines of each state there would be without a filter by state.
    pub states: States,
    /// How many lines of each tag there would be without a filter by tag.
    pub tags: BTreeMap<u32, usize>,
}

/// The lines of the page that is asked for, and how many there are on all pages.
///
/// # Errors
/// The answer to a query that makes no sense.
pub(super) fn listed<'a>(
    scheduler: &'a Scheduler,
    request: &Request,
) -> Result<(Vec<Line<'a>>, usize), Response> {
    let page = Paging::new(request)?;
    check_order(request)?;
    parameters::check_tag(scheduler, request)?;
    let lines = select(scheduler, request).lines;
    let total = lines.len();
    let first = (page.number - 1).saturating_mul(page.per_page);
    Ok((lines.into_iter().skip(first).take(page.per_page).collect(), total))
}

/// The jobs that may have lines that are asked for, by id.
pub(super) fn known<'a>(
    scheduler: &'a Scheduler,
    filter: &Filter,
) -> impl Iterator<Item = &'a Job> + use<'a> {
    let disabled = filter.takes_disabled().then(|| scheduler.table().disabled());
    let (mut jobs, mut disabled) =
        (scheduler.table().iter().peekable(), disabled.into_iter().flatten().peekable());
    std::iter::from_fn(move || match (jobs.peek(), disabled.peek()) {
        (Some(job), Some(row)) if row.def.id < job.def.id => disabled.next(),
        (Some(_), _) => jobs.next(),
        (None, _) => disabled.next(),
    })
}

/// How many disabled rows a list leaves out because nobody asks for them. They may be many: where
/// nothing else is asked for either, they are not looked at.
pub(super) fn left_out(scheduler: &Scheduler, filter: &Filter) -> u64 {
    let table = scheduler.table();
    if filter.takes_disabled() {
        return 0;
    }
    if filter.is_by_state_only() {
        let drain = table.iter().filter(|job| matches!(job.phase(), Phase::Draining));
        let drain = drain.filter(|job| table.is_disabled(job.def.id)).count();
        return (table.disabled_len() - drain) as u64;
    }
    let fits = |row: &&Job| filter.takes_text(&row.def) && filter.takes_tag(scheduler, &row.def);
    table.disabled().filter(fits).count() as u64
}

/// The lines that a query (`tag`, `q`, `state`, `id`, `sort`, `dir`) asks for.
pub(super) fn select<'a>(scheduler: &'a Scheduler, request: &Request) -> Selection<'a> {
    let filter = Filter::new(request);
    let mut found = Selection { lines: vec![], states: States::default(), tags: BTreeMap::new() };
    found.states.add(StateLabel::Disabled, left_out(scheduler, &filter));
    for line in known(scheduler, &filter).flat_map(|job| views::rows(scheduler, job)) {
        let (_, def, _) = line;
        if !filter.takes_text(def) {
            continue;
        }
        let states = || states_of(scheduler, line);
        let tag_fits = filter.takes_tag(scheduler, def);
        let state_fits = states().any(|state| filter.takes_state(state));
        if tag_fits {
            states().for_each(|state| found.states.add(state, 1));
        }
        if state_fits {
            *found.tags.entry(def.tag_id).or_default() += 1;
        }
        if tag_fits && state_fits {
            found.lines.push(line);
        }
    }
    let sort = request.query("sort").map_or(Sort::Id, |name| Sort::of(&name));
    let turned = request.query("dir").is_some_and(|dir| dir == "desc");
    put_in_order(scheduler, &mut found.lines, sort, turned);
    found
}

/// Lines come by id, and those that are equal stay so. What has no value comes last, whichever
/// way the order is turned.
fn put_in_order(scheduler: &Scheduler, lines: &mut Vec<Line<'_>>, sort: Sort, turned: bool) {
    let has_none = |line: &Line<'_>| has_none(scheduler, line, sort);
    let (mut known, none): (Vec<_>, Vec<_>) = lines.drain(..).partition(|it| !has_none(it));
    order(scheduler, &mut known, sort);
    if turned {
        known.reverse();
    }
    lines.extend(known.into_iter().chain(none));
}

fn has_none(scheduler: &Scheduler, (job, def, state): &Line<'_>, sort: Sort) -> bool {
    match sort {
        Sort::Id | Sort::State | Sort::Name | Sort::Overtime => false,
        Sort::Tag => !scheduler.table().tags.contains_key(&def.tag_id),
        Sort::Next => next_of(scheduler, job, *state).is_none(),
        Sort::Last => ended(job, *state).is_none(),
        Sort::Runs => running_of(scheduler, job, *state) == 0,
    }
}

fn order(scheduler: &Scheduler, lines: &mut [Line<'_>], sort: Sort) {
    match sort {
        Sort::Id => {}
        Sort::State => lines.sort_by_key(|line| states_of(scheduler, *line).min()),
        Sort::Name => lines.sort_by_cached_key(|(_, def, _)| def.name.to_lowercase()),
        Sort::Tag => {
            let tag = |def: &Definition| scheduler.table().tags.get(&def.tag_id);
            lines.sort_by(|a, b| tag(a.1).cmp(&tag(b.1)));
        }
        Sort::Next => {
            lines.sort_by_cached_key(|(job, _, state)| next_of(scheduler, job, *state));
        }
        // What ran last is what one looks for.
        Sort::Last => lines.sort_by_key(|(job, _, state)| Reverse(ended(job, *state))),
        Sort::Runs => {
            lines.sort_by_key(|(job, _, state)| Reverse(running_of(scheduler, job, *state)));
        }
        Sort::Overtime => lines.sort_by_key(|line| Reverse(line.0.overtime)),
    }
}

/// The next slot of a line that is to be launched. The slots of a job that is being replaced
/// are those of its new definition.
pub(super) fn next_of(scheduler: &Scheduler, job: &Job, state: StateLabel) -> Option<i64> {
    let its_own = (state == StateLabel::Waiting) == matches!(job.phase(), Phase::Replaced(_));
    scheduler.next_start_ms(job).filter(|_| its_own)
}

/// How many runs a line shows.
pub(super) fn running_of(scheduler: &Scheduler, job: &Job, state: StateLabel) -> usize {
    if state == StateLabel::Waiting { 0 } else { views::processes_of(scheduler, job) }
}

/// When the last run of a line ended.
fn ended(job: &Job, state: StateLabel) -> Option<i64> {
    let last = job.history.as_ref()?.runs.back()?;
    (state != StateLabel::Waiting).then_some(last.ended_ms)
}
