//! The list of jobs as a table of plain text, for curl and for terminals.

use super::call::Call;
use super::listed;
use super::missing;
use super::pages::frame;
use super::parameters::{check_list, check_names};
use super::states::Line;
use super::states::block_of;
use super::views;
use crate::core::definition::{Block, Flaw};
use crate::core::http::Response;
use crate::core::limits::{LISTED_COMMAND_CHARS, cut};
use crate::core::plain::clean;
use crate::core::scheduler::Scheduler;
use crate::core::state_label::StateLabel;
use crate::core::time::Now;
use unicode_width::UnicodeWidthStr;

/// Columns of a terminal that a name may take; the rest is cut.
const NAME_COLUMNS: usize = 32;

/// The same for a schedule.
const CRON_COLUMNS: usize = 24;

const TITLES: [&str; 8] =
    ["STATE", "ID", "NAME", "CRON", "RUNS", "NEXT DUE", "LAST RUN", "COMMAND"];

/// The jobs that a query asks for, a line each.
pub(super) fn text_list(scheduler: &Scheduler, call: &Call<'_>) -> Response {
    let now = call.now;
    let (lines, total) = match text_lines(scheduler, call) {
        Ok(listed) => listed,
        Err(response) => return response,
    };
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(lines.iter().map(|line| text_row(scheduler, now, *line)));
    let mut text = table(&rows);
    text.push_str(&format!("{} of {total} jobs\n", lines.len()));
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

fn text_row(scheduler: &Scheduler, now: Now, (job, def, state): Line<'_>) -> [String; 8] {
    let waiting = state == StateLabel::Waiting;
    let due = job.next_due_ms.filter(|_| waiting || job.scheduled().is_some());
    let due = due.map_or("-".into(), |at| span(at.saturating_sub(now.wall_ms)));
    let due = block_of(job, def).map_or(due, |block| format!("never: {}", said(block)));
    let last = job.history.as_ref().and_then(|history| history.runs.back());
    let last = last.map_or("-".into(), |run| {
        let ago = span(now.wall_ms.saturating_sub(run.ended_ms));
        format!("{} {ago} ago", clean(&run.outcome.to_string(), NAME_COLUMNS))
    });
    let live = if waiting { 0 } else { views::processes_of(scheduler, job) };
    [
        if state == StateLabel::Never { "-".into() } else { state.label().into() },
        def.id.to_string(),
        clean(&def.name, NAME_COLUMNS),
        clean(&def.cron, CRON_COLUMNS),
        format!("{live}/{}", def.max_concurrence),
        due,
        last,
        clean(&cut(&def.command, LISTED_COMMAND_CHARS), usize::MAX),
    ]
}

/// What of a row keeps its job from ever being started.
fn said(block: Block<'_>) -> &'static str {
    match block {
        Block::Flawed(Flaw::Schedule | Flaw::Gone, _) => "bad schedule",
        Block::Flawed(Flaw::Over, _) => "no slot left",
        Block::Flawed(Flaw::Timezone, _) => "unknown time zone",
        Block::Flawed(Flaw::Command, _) => "no command",
        Block::LimitZero => "limit 0",
    }
}

/// Columns as wide as their widest entry, two blanks between them; none after the last.
fn table(rows: &[[String; 8]]) -> String {
    let mut widths = [0; 8];
    for row in rows {
        for (width, entry) in widths.iter_mut().zip(row) {
            *width = (*width).max(entry.width());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, entry) in widths.iter().zip(row) {
            line.push_str(entry);
            line.extend(std::iter::repeat_n(' ', width - entry.width() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A time span in its two largest units: `1d 2h`, `3m 4s`, `5s`.
fn span(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m {}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}
