//! The list of jobs as a table of plain text, for curl and for terminals.

use super::call::Call;
use super::filter::Filter;
use super::listed;
use super::missing;
use super::pages::frame;
use super::parameters::{check_list, check_names};
use super::states::Line;
use super::states::{block_of, is_paused};
use super::views;
use crate::core::columns::Column;
use crate::core::definition::{Block, Definition, Flaw};
use crate::core::http::Response;
use crate::core::limits::{LISTED_COMMAND_CHARS, cut};
use crate::core::plain::{self, clean, span, table};
use crate::core::scheduler::Scheduler;
use crate::core::state_label::StateLabel;
use crate::core::time::Now;

/// Columns of a terminal that a name may take; the rest is cut.
const NAME_COLUMNS: usize = 32;

/// The same for a schedule.
const CRON_COLUMNS: usize = 24;

/// The columns before those for people.
const TITLES: [&str; 7] = ["STATE", "ID", "NAME", "CRON", "RUNS", "NEXT DUE", "LAST RUN"];

/// The jobs that a query asks for, a line each.
pub(super) fn text_list(scheduler: &Scheduler, call: &Call<'_>) -> Response {
    let now = call.now;
    let (lines, total) = match text_lines(scheduler, call) {
        Ok(listed) => listed,
        Err(response) => return response,
    };
    // A column for people takes its place where a line has something in it.
    let has = |column: &Column| lines.iter().any(|(_, def, _)| !noted(def, *column).is_empty());
    let notes: Vec<Column> = Column::for_people().filter(has).collect();
    let titles = notes.iter().map(|column| column.name().to_uppercase());
    let titles = TITLES.into_iter().map(str::to_owned).chain(titles);
    let mut rows: Vec<Vec<String>> = vec![titles.chain(["COMMAND".to_owned()]).collect()];
    rows.extend(lines.iter().map(|line| text_row(scheduler, now, *line, &notes)));
    let mut text = table(&rows);
    let disabled = match listed::left_out(scheduler, &Filter::new(call.request)) {
        0 => String::new(),
        count => format!(", {count} disabled"),
    };
    let total = plain::counted(total as u64, "job");
    text.push_str(&format!("{} of {total}{disabled}\n", lines.len()));
    text.extend(frame::alert_lines(scheduler, now).iter().map(|line| format!("{line}\n")));
    Response::text(200, text).header("Vary", "Accept, User-Agent")
}

fn text_lines<'a>(
    scheduler: &'a Scheduler,
    call: &Call<'_>,
) -> Result<(Vec<Line<'a>>, usize), Response> {
    check_names(call)?;
    check_list(call.request)?;
    missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
    listed::listed(scheduler, call.request)
}

/// What stands in a column for people.
fn noted(def: &Definition, column: Column) -> &str {
    def.optional.text(column)
}

fn text_row(
    scheduler: &Scheduler,
    now: Now,
    (job, def, state): Line<'_>,
    notes: &[Column],
) -> Vec<String> {
    let waiting = state == StateLabel::Waiting;
    let due = scheduler.next_start_ms(job).filter(|_| waiting || job.scheduled().is_some());
    let due = due.map(|at| span(at.saturating_sub(now.wall_ms)));
    let due = match (is_paused(scheduler, job, def), due) {
        (false, due) => due.unwrap_or("-".into()),
        (true, None) => "paused".into(),
        (true, Some(due)) => format!("paused, {due}"),
    };
    let due = block_of(job, def).map_or(due, |block| format!("never: {}", said(block)));
    let last = job.history.as_ref().and_then(|history| history.runs.back());
    let ago = |ms: i64| span(now.wall_ms.saturating_sub(ms));
    let told = scheduler.last_run_ms(job).map_or("-".into(), |at| format!("{} ago", ago(at)));
    let last = last.map_or(told, |run| {
        let ago = span(now.wall_ms.saturating_sub(run.ended_ms));
        format!("{} {ago} ago", clean(&run.outcome.to_string(), NAME_COLUMNS))
    });
    let live = if waiting { 0 } else { views::processes_of(scheduler, job) };
    let row = [
        if state == StateLabel::Never { "-".into() } else { state.label().into() },
        def.id.to_string(),
        clean(&def.name, NAME_COLUMNS),
        clean(&def.cron, CRON_COLUMNS),
        format!("{live}/{}", def.max_concurrence),
        due,
        last,
    ];
    let notes = notes.iter().map(|column| clean(noted(def, *column), NAME_COLUMNS));
    let command = clean(&cut(&def.command, LISTED_COMMAND_CHARS), usize::MAX);
    row.into_iter().chain(notes).chain([command]).collect()
}

/// What of a row keeps its job from ever being started.
fn said(block: Block<'_>) -> &'static str {
    match block {
        Block::Flawed(Flaw::Schedule | Flaw::Gone, _) => "bad schedule",
        Block::Flawed(Flaw::Over, _) => "no slot left",
        Block::Flawed(Flaw::Timezone, _) => "unknown time zone",
        Block::Flawed(Flaw::Pause, _) => "bad pause",
        Block::Flawed(Flaw::Command, _) => "no command",
        Block::LimitZero => "limit 0",
    }
}
