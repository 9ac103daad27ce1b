//! `/`: the jobs.

use super::super::Web;
use super::super::call::Call;
use super::super::filter::Paging;
use super::super::listed::{self, Selection};
use super::super::parameters::{self, check_list};
use super::super::sort::Sort;
use super::super::state_words::state_text;
use super::super::texts::{Texts, fill};
use super::cache::RenderedPage;
use super::frame::{Alert, Frame, Part};
use super::links::Query;
use super::look::Look;
use super::render;
use super::row;
use super::row::Row;
use crate::core::columns;
use crate::core::http::Response;
use crate::core::scheduler::Scheduler;
use crate::core::state_label::StateLabel;
use askama::Template;

/// Lengths of a page that are offered.
const PER_PAGE: [usize; 4] = [50, 100, 250, 1000];

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage<'a> {
    frame: Frame,
    rows: Vec<Row<'a>>,
    query: Query,
    /// What a form that searches carries along.
    carried: Vec<(&'static str, String)>,
    states: Vec<StateChoice>,
    tags: Vec<Tag<'a>>,
    columns: Vec<Column>,
    per_page: Vec<(usize, bool)>,
    pager: Pager,
    all: usize,
    /// How many figures a count may have.
    figures: usize,
    no_jobs: String,
    /// The columns for people, whose texts a script compares.
    notes: String,
}

struct StateChoice {
    name: &'static str,
    label: &'static str,
    count: u64,
    href: String,
    chosen: bool,
}

struct Tag<'a> {
    id: u32,
    name: &'a str,
    count: usize,
    chosen: bool,
}

/// The head of a column.
struct Column {
    label: &'static str,
    class: &'static str,
    /// Empty: the list can't be ordered by it.
    href: String,
    /// `ascending`, `descending` or empty.
    order: &'static str,
    hint: String,
}

struct Pager {
    shown: String,
    number: usize,
    last: usize,
    previous: String,
    following: String,
}

impl Web {
    /// Renders the list of jobs.
    ///
    /// # Errors
    /// `page` or `per_page` is no number: the answer that says so.
    pub(super) fn list_page(
        &self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        look: Look,
    ) -> Result<RenderedPage, Response> {
        let request = call.request;
        let paging = Paging::new(request)?;
        check_list(request)?;
        parameters::check_tag(scheduler, request)?;
        let t = look.texts();
        let query = Query::new(request);
        let found = listed::select(scheduler, request);
        let last = found.lines.len().div_ceil(paging.per_page).max(1);
        let number = paging.number.min(last);
        let first = (number - 1) * paging.per_page;
        let lines = found.lines.iter().skip(first).take(paging.per_page);
        let rows: Vec<Row<'_>> =
            lines.map(|line| row::row(scheduler, call.now, look, *line)).collect();
        let mut frame = self.frame(scheduler, call, look, (Part::Jobs, t.jobs), query.here(number));
        frame.events = frame.root.to(&format!("/api/v1/events{}", query.text(number)));
        // Shown all the same: a list gets shorter under who looks at its last page.
        if number < paging.number {
            let pages = [paging.number.to_string(), last.to_string()];
            let text = fill(t.no_such_page, &[&pages[0], &pages[1]]);
            frame.alerts.insert(0, Alert { kind: "warn", text, rows: Vec::new() });
        }
        let (all, disabled) = (scheduler.table().len(), scheduler.table().disabled_len());
        let page = ListPage {
            carried: query.others(&["q", "tag", "tagid", "per_page"]),
            states: states(look, &query, &found),
            tags: tags(scheduler, &query, &found),
            columns: columns(t, &query),
            per_page: PER_PAGE.map(|length| (length, length == paging.per_page)).into(),
            pager: pager(t, &query, number, last, [first, rows.len(), found.lines.len()]),
            no_jobs: match (scheduler.knows_table(), scheduler.sync_state().bad_rows.count()) {
                (true, 0) => fill(t.no_jobs, &[&scheduler.settings().server_id.to_string()]),
                (true, bad) => fill(t.bad_rows, &[&bad.to_string()]),
                (false, _) => t.unread.to_owned(),
            },
            notes: columns::Column::for_people()
                .map(columns::Column::name)
                .collect::<Vec<_>>()
                .join(" "),
            all,
            figures: all.max(disabled).to_string().len(),
            rows,
            query,
            frame,
        };
        Ok(render(200, &page))
    }
}

fn tags<'a>(scheduler: &'a Scheduler, query: &Query, found: &Selection<'_>) -> Vec<Tag<'a>> {
    let asked = query.tag();
    let tag = |(&id, name): (&u32, &'a String)| Tag {
        id,
        name,
        count: found.tags.get(&id).copied().unwrap_or(0),
        chosen: asked.parse() == Ok(id) || asked == name,
    };
    scheduler.table().tags.iter().map(tag).collect()
}

/// The states there are, and the one that was asked for.
fn states(look: Look, query: &Query, found: &Selection<'_>) -> Vec<StateChoice> {
    let asked = query.get("state");
    let state = |(state, count): (StateLabel, u64)| {
        let (name, label) = (state.label(), state_text(look.lang, state));
        let chosen = asked == name;
        let href = query.with(&[("state", if chosen { "" } else { name })]);
        (count > 0 || chosen).then_some(StateChoice { name, label, count, href, chosen })
    };
    found.states.iter().filter_map(state).collect()
}

fn columns(t: &Texts, query: &Query) -> Vec<Column> {
    let asked = Sort::of(query.get("sort"));
    let down = query.get("dir") == "desc";
    let column = |label, class, sort: Option<Sort>| {
        let Some(sort) = sort else {
            let (href, order, hint) = (String::new(), "", String::new());
            return Column { label, class, href, order, hint };
        };
        let is = sort == asked;
        let order = match (is, down != sort.begins_high()) {
            (false, _) => "",
            (true, false) => "ascending",
            (true, true) => "descending",
        };
        let dir = if is && !down { "desc" } else { "" };
        let name = if sort == Sort::Id { "" } else { sort.label() };
        let href = query.with(&[("sort", name), ("dir", dir)]);
        Column { label, class, href, order, hint: fill(t.sort_by, &[label]) }
    };
    vec![
        column("ID", "id", Some(Sort::Id)),
        column(t.states, "state", Some(Sort::State)),
        column(t.name, "name", Some(Sort::Name)),
        column(t.schedule, "schedule", None),
        column(t.next, "next", Some(Sort::Next)),
        column(t.last, "last", Some(Sort::Last)),
        column(t.runs, "runs", Some(Sort::Runs)),
        column(t.overtime, "over", Some(Sort::Overtime)),
        column(t.actions, "act", None),
    ]
}

/// `[first, shown, total]` are counts of lines.
fn pager(t: &Texts, query: &Query, number: usize, last: usize, counts: [usize; 3]) -> Pager {
    let [first, shown, total] = counts;
    let range = match shown {
        0 => "0".to_owned(),
        _ => format!("{}–{}", first + 1, first + shown),
    };
    let link = |to: usize| match (1..=last).contains(&to) {
        true => query.page(to),
        false => String::new(),
    };
    Pager {
        shown: fill(t.shown, &[&range, &total.to_string()]),
        number,
        last,
        previous: link(number - 1),
        following: link(number + 1),
    }
}
