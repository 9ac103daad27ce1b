//! Judges rows as they come from a database: a job, or what is wrong with the row.
//!
//! Both drivers hand over the same [`Cell`]s. A database checks less than one thinks (a column may
//! have been made nullable, SQLite takes text for a number), so every value is looked at here, and
//! a bad row costs itself only.

use crate::core::limits::{MAX_COMMAND_BYTES, MAX_QUOTED_CHARS, cut, max_bytes};
use crate::core::protocol::{Answer, JobRow};

/// Columns of `scheduler_jobs` that make a job, in the order [`job`] takes them.
pub const JOB_COLUMNS: [&str; 9] =
    ["id", "name", "command", "cron", "output", "stderr", "max_concurrence", "server_id", "tag_id"];

/// Optional column of `scheduler_jobs`; [`job`] takes it last, if it is there.
pub const TIMEZONE: &str = "timezone";

/// A value, whatever its type was: numbers as decimal text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// SQL NULL.
    Null,
    /// Text, or a number as text.
    Text(String),
    /// Bytes that are not UTF-8.
    NotText,
    /// More bytes than any column may have.
    TooLong,
}

impl Cell {
    /// The text of `bytes`, if it is text. What is far too long is not copied.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.len() > MAX_COMMAND_BYTES {
            return Self::TooLong;
        }
        str::from_utf8(bytes).map_or(Self::NotText, |text| Self::Text(text.to_owned()))
    }
}

/// The cells of a row, taken from left to right.
struct Cells(std::vec::IntoIter<Cell>);

impl Cells {
    /// The value, unless it is NULL.
    fn value(&mut self, column: &str) -> Result<Option<String>, String> {
        match self.0.next() {
            Some(Cell::Text(text)) if text.len() <= max_bytes(column) => Ok(Some(text)),
            Some(Cell::Text(_) | Cell::TooLong) => {
                let (max, hint) = (max_bytes(column), "shorten it");
                let hint = if column == "command" { "put it into a script" } else { hint };
                Err(format!("{column} has more than {max} bytes: {hint}"))
            }
            Some(Cell::NotText) => Err(format!("{column} is not UTF-8 text: write it anew")),
            Some(Cell::Null) | None => Ok(None),
        }
    }

    /// Text. NULL is the empty one: what that means is the same however it was written.
    fn text(&mut self, column: &str) -> Result<String, String> {
        Ok(self.value(column)?.unwrap_or_default())
    }

    /// A number of 0 to 4294967295.
    fn number(&mut self, column: &str) -> Result<u32, String> {
        let text = self.value(column)?;
        let text = text.ok_or_else(|| format!("{column} is NULL: give it a value"))?;
        let hint = "it must be a whole number, 0 to 4294967295";
        text.parse().map_err(|_| format!("{column} is {}: {hint}", cut(&text, MAX_QUOTED_CHARS)))
    }

    /// A number for which NULL means 0.
    fn number_or_zero(&mut self, column: &str) -> Result<u32, String> {
        match self.0.as_slice().first() {
            Some(Cell::Null) | None => {
                self.0.next();
                Ok(0)
            }
            Some(_) => self.number(column),
        }
    }
}

/// A row of `scheduler_jobs`, its cells in the order of [`JOB_COLUMNS`] (and [`TIMEZONE`]).
pub fn job(cells: Vec<Cell>) -> Answer {
    let mut cells = Cells(cells.into_iter());
    let id = match cells.number("id") {
        Ok(id) => id,
        Err(why) => return Answer::BadRow { id: 0, why: format!("scheduler_jobs: {why}") },
    };
    match rest_of_job(id, &mut cells) {
        Ok(job) => Answer::Job(Box::new(job)),
        Err(why) => Answer::BadRow { id, why },
    }
}

fn rest_of_job(id: u32, cells: &mut Cells) -> Result<JobRow, String> {
    Ok(JobRow {
        id,
        name: cells.text("name")?,
        command: cells.text("command")?,
        cron: cells.text("cron")?,
        output: cells.text("output")?,
        stderr: cells.text("stderr")?,
        max_concurrence: cells.number("max_concurrence")?,
        server_id: cells.number("server_id")?,
        tag_id: cells.number_or_zero("tag_id")?,
        timezone: cells.text(TIMEZONE)?,
    })
}

/// A row of `scheduler_vars`: id, name, value.
pub fn var(cells: Vec<Cell>) -> Answer {
    let mut cells = Cells(cells.into_iter());
    let id = cells.text("id").unwrap_or_default();
    // Without a name it would fill the `{}` of commands.
    let name = cells.value("name").and_then(|it| it.ok_or_else(|| "name is NULL".to_owned()));
    match (name, cells.text("value")) {
        (Ok(name), Ok(value)) => Answer::Var { name, value },
        (Err(why), _) | (_, Err(why)) => bad("scheduler_vars", &id, &why),
    }
}

/// A row of `scheduler_tags`: id, name.
pub fn tag(cells: Vec<Cell>) -> Answer {
    let text = match cells.first() {
        Some(Cell::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let mut cells = Cells(cells.into_iter());
    match cells.number("id").and_then(|id| Ok((id, cells.text("name")?))) {
        Ok((id, name)) => Answer::Tag { id, name },
        Err(why) => bad("scheduler_tags", &text, &why),
    }
}

/// Id 0: the id of a [`Answer::BadRow`] is that of a job.
fn bad(table: &str, id: &str, why: &str) -> Answer {
    let id = cut(id, MAX_QUOTED_CHARS);
    Answer::BadRow { id: 0, why: format!("{table} row {id}: {why}") }
}

/// A column as it is read from a server: of what is far too long only so much that this shows. A
/// row that is longer than a packet may be would end the exchange.
pub fn bounded(column: &str) -> String {
    match column {
        "id" | "max_concurrence" | "server_id" | "tag_id" => column.to_owned(),
        text => format!("LEFT({text}, {})", max_bytes(text) + 1),
    }
}
