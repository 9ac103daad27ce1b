//! Reads the runs of a job, or of a group, that were started in a stretch of time and have ended: a
//! page at a time, in the order of their index.

use super::super::Failure;
use super::super::reader::Reader;
use super::super::records::{HAS_ENDED, KIND, OF_GROUP, OF_JOB};
use crate::core::cells::Cell;
use crate::core::run_kind::RunKind;
use crate::core::statistics::Ended;

/// Rows of a page.
const PAGE: usize = 5_000;

/// Whose runs.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    /// Of this group, those of this job.
    Job(u32, u32),
    /// Of this group.
    Group(u32),
}

/// A run that has ended.
pub struct Run {
    pub id: String,
    pub job: u32,
    /// When it was started, as it is recorded: `YYYY-MM-DD HH:MM:SS`.
    pub at: String,
    pub ended: Ended,
}

/// Which rows, and how they are found.
pub struct Runs {
    /// What is selected: see [`Runs::run`].
    columns: String,
    /// The table, by an index if there is one.
    table: String,
    whose: String,
    /// Conditions that have each row once: each has its rows in order in the index.
    stretches: Vec<String>,
    /// Whether there is an index for it.
    pub indexed: bool,
}

/// What a client may ask while pages come.
pub type Works<'a> = &'a mut dyn FnMut() -> Result<(), Failure>;

impl Runs {
    pub fn new(reader: &mut impl Reader, whose: Whose) -> Result<Runs, Failure> {
        let there = reader.columns("scheduler_logs")?;
        let has = |column: &str| there.iter().any(|name| name.eq_ignore_ascii_case(column));
        let or_zero = |column: &str| if has(column) { column.to_owned() } else { "0".to_owned() };
        let outcome = if has("outcome") { "outcome" } else { "''" };
        let optional = ["duration_ms", "user_ms", "system_ms", "max_rss_bytes", KIND].map(or_zero);
        let columns = format!(
            "start_time, uniq_id, command_id, running_time, {}, {outcome}, \
             CASE WHEN {HAS_ENDED} THEN 1 ELSE 0 END",
            optional.join(", ")
        );
        let (index, whose) = match whose {
            Whose::Group(group) => (OF_GROUP, format!("server_id = {group}")),
            Whose::Job(group, job) => {
                (OF_JOB, format!("command_id = {job} AND server_id = {group}"))
            }
        };
        let indexes = reader.indexes("scheduler_logs")?;
        let indexed = has(KIND) && indexes.iter().any(|name| name == index);
        let by_index = if indexed { reader.by_index(index) } else { String::new() };
        let table = format!("scheduler_logs{by_index}");
        let stretches = if indexed { by_kind() } else { vec!["1 = 1".to_owned()] };
        Ok(Runs { columns, table, whose, stretches, indexed })
    }

    /// Tells `take` of each run that was started from the first of two times on and before the
    /// second.
    pub fn each(
        &self,
        reader: &mut impl Reader,
        span: &(String, String),
        works: Works<'_>,
        take: &mut dyn FnMut(Run),
    ) -> Result<(), Failure> {
        // Most stretches of time have few.
        let all = format!("({})", self.stretches.join(" OR "));
        let few = self.page(reader, &all, (&span.0, &span.1, 0), "")?;
        if few.len() < PAGE {
            few.into_iter().filter_map(Runs::run).for_each(take);
            return Ok(());
        }
        drop(few);
        for stretch in &self.stretches {
            self.pages(reader, stretch, span, works, take)?;
        }
        Ok(())
    }

    fn pages(
        &self,
        reader: &mut impl Reader,
        stretch: &str,
        span: &(String, String),
        works: Works<'_>,
        take: &mut dyn FnMut(Run),
    ) -> Result<(), Failure> {
        // The last second that was read, and how many of its rows were.
        let (mut from, mut seen) = (span.0.clone(), 0);
        loop {
            let order = "ORDER BY start_time, uniq_id";
            let rows = self.page(reader, stretch, (&from, &span.1, seen), order)?;
            let is_last = rows.len() < PAGE;
            for run in rows.into_iter().map(|row| (second(&row), Runs::run(row))) {
                let (at, run) = run;
                if at == from {
                    seen += 1;
                } else {
                    (from, seen) = (at, 1);
                }
                run.into_iter().for_each(&mut *take);
            }
            works()?;
            // What is no time is in no order, and would be read for ever.
            if is_last || !is_time(&from) {
                return Ok(());
            }
        }
    }

    fn page(
        &self,
        reader: &mut impl Reader,
        stretch: &str,
        (from, to, seen): (&str, &str, usize),
        order: &str,
    ) -> Result<Vec<Vec<Cell>>, Failure> {
        let Runs { columns, table, whose, .. } = self;
        reader.rows(&format!(
            "SELECT {columns} FROM {table} WHERE {whose} AND {stretch} \
             AND start_time >= '{from}' AND start_time < '{to}' {order} LIMIT {PAGE} OFFSET {seen}"
        ))
    }

    /// A row, if its run has ended.
    fn run(row: Vec<Cell>) -> Option<Run> {
        let at = second(&row);
        let [_, id, job, seconds, took, user, system, memory, kind, outcome, has_ended] =
            <[Cell; 11]>::try_from(row).ok()?.map(text);
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let kind = match RunKind::of_code(&kind) {
            RunKind::Unfilled => RunKind::of_row(&outcome, has_ended == "1"),
            kind => kind,
        };
        let took = match number(&took) {
            0 => number(&seconds) * 1_000,
            took_ms => took_ms,
        };
        let ended = Ended {
            kind,
            took_ms: took,
            cpu_ms: number(&user) + number(&system),
            memory_bytes: number(&memory),
        };
        let has_ended = !matches!(kind, RunKind::Unfilled | RunKind::Running);
        has_ended.then(|| Run { id, job: job.parse().unwrap_or(0), at, ended })
    }
}

/// A condition for each way to stand.
fn by_kind() -> Vec<String> {
    // The column is filled when a run ends.
    let kinds = RunKind::ALL.into_iter().filter(|kind| *kind != RunKind::Running);
    kinds.map(|kind| format!("{KIND} = {}", kind.code())).collect()
}

/// When a run was started, to the second: MariaDB and MySQL may have it with fractions.
fn second(row: &[Cell]) -> String {
    let text = match row.first() {
        Some(Cell::Text(text)) => text.as_str(),
        Some(Cell::Null | Cell::NotText | Cell::TooLong) | None => "",
    };
    text.get(..19).unwrap_or(text).to_owned()
}

/// Whether a text that goes into a statement is a time.
pub fn is_time(text: &str) -> bool {
    text.len() == 19 && text.bytes().all(|byte| byte.is_ascii_digit() || b"-: ".contains(&byte))
}

/// A cell as text; nothing where it is none.
pub fn text(cell: Cell) -> String {
    match cell {
        Cell::Text(text) => text,
        Cell::Null | Cell::NotText | Cell::TooLong => String::new(),
    }
}
