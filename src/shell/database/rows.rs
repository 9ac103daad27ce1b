//! Judges rows as they come from a database: a job, or what is wrong with the row.
//!
//! Both drivers hand over the same [`Cell`]s; a bad row costs itself only.

use crate::core::cells::{Cell, Cells};
use crate::core::change::{Mistake, Of, Stand};
use crate::core::columns::{Column, IN_FORCE, JobRow};
use crate::core::limits::{MAX_COMMAND_BYTES, MAX_QUOTED_CHARS, MAX_TEXT_BYTES, cut};
use crate::core::protocol::Answer;

/// What a table says in an optional column that it does not have.
pub fn absent(column: Column) -> String {
    let value = if column.is_text() { "''" } else { "0" };
    format!("{value} AS {}", column.name())
}

/// What a query names of a row: whether it is in force, and the columns of a job. `read` tells how
/// one that is there is read.
pub fn job_columns(existing: &[String], read: fn(Column) -> String) -> String {
    let named = |column: &Column| match column.is_in(existing) {
        true => read(*column),
        false => absent(*column),
    };
    let columns: Vec<_> = Column::ALL.iter().map(named).collect();
    format!("{IN_FORCE}, {}", columns.join(", "))
}

/// A row of `scheduler_jobs`, its cells as [`job_columns`] has them. What is no good of a disabled
/// one keeps nothing from running: nothing is said of it.
pub fn job(cells: Vec<Cell>) -> Answer {
    let mut cells = Cells::new(cells);
    let in_force = cells.next_is_true();
    let id = cells.next_text().parse();
    if !in_force && id.is_ok() {
        cells.forgive();
    }
    match (JobRow::read(&mut cells), id) {
        (Ok(job), _) if in_force => Answer::Job(Box::new(job)),
        (Ok(job), _) => Answer::Disabled(Box::new(job)),
        (Err(why), Ok(id)) => Answer::BadRow { id, why, word: None },
        (Err(why), Err(_)) => {
            Answer::BadRow { id: 0, why: format!("scheduler_jobs: {why}"), word: None }
        }
    }
}

/// The same as what it says, whatever of it is no good: that is as if it were empty, or 0.
fn stand(cells: Vec<Cell>) -> Option<Stand> {
    let mut cells = Cells::new(cells);
    let enabled = cells.next_is_true();
    cells.forgive();
    Some(Stand { row: JobRow::read(&mut cells).ok()?, enabled })
}

/// The same, and what keeps the row from being a job, or would if it were in force.
pub fn judged(cells: Vec<Cell>) -> Option<(Stand, Option<Mistake>)> {
    let mut strict = Cells::new(cells.clone());
    strict.next_is_true();
    let mistake = JobRow::read(&mut strict).err().map(|why| {
        // It begins with its column.
        let (column, why) = why.split_once(' ').unwrap_or((&why, ""));
        Mistake { column: column.to_owned(), why: why.to_owned() }
    });
    Some((stand(cells)?, mistake))
}

/// A row of `scheduler_vars`: id, name, value.
pub fn var(cells: Vec<Cell>) -> Answer {
    let mut cells = Cells::new(cells);
    let id = cells.text("id", MAX_TEXT_BYTES).unwrap_or_default();
    // Without a name it would fill the `{}` of commands.
    let name = cells.value("name", MAX_TEXT_BYTES);
    let name = name.and_then(|it| it.ok_or_else(|| "name is NULL".to_owned()));
    match (name, cells.text("value", MAX_COMMAND_BYTES)) {
        (Ok(name), Ok(value)) => Answer::Var { id: id.parse().unwrap_or(0), name, value },
        (Err(why), _) | (_, Err(why)) => bad(Of::Var, &id, &why),
    }
}

/// A row of `scheduler_tags`: id, name.
pub fn tag(cells: Vec<Cell>) -> Answer {
    let mut cells = Cells::new(cells);
    let text = cells.next_text().to_owned();
    match cells.number("id").and_then(|id| Ok((id, cells.text("name", MAX_TEXT_BYTES)?))) {
        Ok((id, name)) => Answer::Tag { id, name },
        Err(why) => bad(Of::Tag, &text, &why),
    }
}

/// Id 0: the id of a [`Answer::BadRow`] is that of a job.
fn bad(of: Of, id: &str, why: &str) -> Answer {
    let word = id.parse().ok().filter(|id| *id > 0).map(|id| (of, id));
    let (table, id) = (of.table(), cut(id, MAX_QUOTED_CHARS));
    Answer::BadRow { id: 0, why: format!("{table} row {id}: {why}"), word }
}
