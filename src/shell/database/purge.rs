//! Deletes a piece of what is older than it is to be kept: runs, then skips, then acts.
//!
//! Runs go by the index of the group: one stretch for each way to end. Without it the database
//! would look through all rows for each piece, so then nothing is deleted, and that is told. A run
//! that is alive has no end, and stays.
//!
//! What is old only by a wrong clock must stay. So the database's clock is asked, too, and what is
//! recorded: see [`Stays`].

use super::Failure;
use super::answers::Answers;
use super::mysql::Kept;
use super::mysql::Session as Server;
use super::reader::Reader;
use super::records::{HAS_ENDED, KIND, OF_GROUP};
use super::schema::AUDIT;
use super::sqlite::Session as Embedded;
use crate::core::cells::Cell;
use crate::core::database::{Database, ErrorKind};
use crate::core::protocol::{Answer, Purged, Stays};
use crate::core::run_kind::RunKind;
use jiff::civil::DateTime;

/// Two clocks that differ by no more are both right, seconds.
const MAX_OFF_S: i64 = 3_600;

/// What is to go: of this group, older than this (`YYYY-MM-DD HH:MM:SS`), and so many rows at the
/// most. The others are those of the question.
pub(super) struct Piece<'a> {
    pub server_id: u32,
    pub before: &'a str,
    pub keep_s: u64,
    pub now_s: i64,
    pub sure: bool,
    pub limit: u32,
}

/// Answers an [`Ask::Purge`](crate::core::protocol::Ask::Purge).
pub(super) fn purge(
    kept: &mut Kept,
    database: &Database,
    piece: &Piece,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let is_time = |byte: u8| byte.is_ascii_digit() || b"-: ".contains(&byte);
    if piece.before.len() != 19 || !piece.before.bytes().all(is_time) {
        return Err(Failure::new(ErrorKind::Other, "the question has no time in its place"));
    }
    let purged = match database {
        Database::Mysql(it) => {
            let (mut session, _) = Server::open_kept(kept, it, "DO 0")?;
            let purged = Work { reader: &mut session, piece }.answer()?;
            kept.keep(session);
            purged
        }
        Database::Sqlite(it) => {
            let mut session = Embedded::open(it, false)?;
            Work { reader: &mut session, piece }.answer()?
        }
    };
    answers.send(&Answer::Purged(purged))
}

/// What is told of a table that can't be deleted from.
fn told(table: &str, failure: Failure) -> (String, String) {
    let why = match failure.kind {
        ErrorKind::Rights => {
            format!("{}: keep_records takes DELETE on {table}, too", failure.message)
        }
        _ => failure.message,
    };
    (table.to_owned(), why)
}

struct Work<'a, R: Reader> {
    reader: &'a mut R,
    piece: &'a Piece<'a>,
}

impl<R: Reader> Work<'_, R> {
    fn answer(&mut self) -> Result<Purged, Failure> {
        if let Some(stays) = self.stays()? {
            return Ok(Purged { stays: Some(stays), ..Purged::default() });
        }
        let (mut purged, limit) = (Purged::default(), u64::from(self.piece.limit));
        let tables: [(&str, Delete<Self>); 3] = [
            ("scheduler_logs", |work, room, gone| work.runs(room, gone)),
            ("scheduler_skips", |work, room, gone| {
                work.rows_of("scheduler_skips", "last_slot", room, gone)
            }),
            (AUDIT, |work, room, gone| work.rows_of(AUDIT, "at", room, gone)),
        ];
        for (table, delete) in tables {
            let room = limit - purged.rows();
            if room == 0 {
                break;
            }
            let mut gone = 0;
            // The others may go all the same.
            if let Err(failure) = delete(self, room, &mut gone) {
                purged.failed.push(told(table, failure));
            }
            *match table {
                "scheduler_logs" => &mut purged.runs,
                "scheduler_skips" => &mut purged.skips,
                _ => &mut purged.acts,
            } = gone;
        }
        purged.more = purged.rows() >= limit;
        Ok(purged)
    }

    /// Why nothing may be deleted.
    fn stays(&mut self) -> Result<Option<Stays>, Failure> {
        let indexes = self.reader.indexes("scheduler_logs")?;
        let columns = self.reader.columns("scheduler_logs")?;
        let there = |names: &[String], wanted: &str| names.iter().any(|name| name == wanted);
        if !there(&indexes, OF_GROUP) || !there(&columns, KIND) {
            return Ok(Some(Stays::NoIndex));
        }
        if let Some(there_s) = self.reader.clock_s()? {
            let ahead_s = self.piece.now_s.saturating_sub(there_s);
            if !(-MAX_OFF_S..=MAX_OFF_S).contains(&ahead_s) {
                return Ok(Some(Stays::Clock(ahead_s)));
            }
        }
        if self.piece.sure { Ok(None) } else { self.gap() }
    }

    /// Whether the last run that would go and the first that would stay are that far apart.
    fn gap(&mut self) -> Result<Option<Stays>, Failure> {
        let before = self.piece.before;
        let (mut last, mut first) = (None::<String>, None::<String>);
        for kind in RunKind::ALL {
            let old = format!("{} ORDER BY start_time DESC LIMIT 1", self.old_runs(kind));
            let found = self.first("start_time", &old)?.into_iter().next();
            last = last.max(found);
            let of_kind = self.runs_of(kind);
            let new = format!("{of_kind} AND start_time >= '{before}' ORDER BY start_time LIMIT 1");
            let found = self.first("start_time", &new)?.into_iter().next();
            first = [first, found].into_iter().flatten().min();
        }
        let Some(last) = last else { return Ok(None) };
        let second = |text: &str| {
            // MariaDB and MySQL may have it with fractions.
            let at = DateTime::strptime("%Y-%m-%d %H:%M:%S", text.get(..19)?).ok()?;
            Some(at)
        };
        let ends = (second(&last), first.as_deref().and_then(second));
        let is_near = match ends {
            (Some(last), Some(first)) => {
                let gap_s = first.duration_since(last).as_secs();
                gap_s.unsigned_abs() <= self.piece.keep_s
            }
            // Nothing stays, or these are no times.
            _ => false,
        };
        Ok((!is_near).then_some(Stays::Gap(last)))
    }

    fn of_group(&self) -> String {
        format!("server_id = {}", self.piece.server_id)
    }

    fn has_ended(&self) -> String {
        format!("{HAS_ENDED} AND end_time < '{}'", self.piece.before)
    }

    /// The runs of the group that stand alike.
    fn runs_of(&self, kind: RunKind) -> String {
        let (index, of_group) = (self.reader.by_index(OF_GROUP), self.of_group());
        format!("scheduler_logs{index} WHERE {of_group} AND {KIND} = {}", kind.code())
    }

    /// Those of them that are to go.
    fn old_runs(&self, kind: RunKind) -> String {
        let (before, ended) = (self.piece.before, self.has_ended());
        format!("{} AND start_time < '{before}' AND {ended}", self.runs_of(kind))
    }

    fn runs(&mut self, room: u64, gone: &mut u64) -> Result<(), Failure> {
        // A row may have been changed in between.
        let still = format!("{} AND {}", self.of_group(), self.has_ended());
        for kind in RunKind::ALL {
            let left = room - *gone;
            if kind == RunKind::Running || left == 0 {
                continue;
            }
            let old = format!("{} ORDER BY start_time LIMIT {left}", self.old_runs(kind));
            let ids = self.first("id", &old)?;
            *gone += self.remove("scheduler_logs", &ids, &still)?;
        }
        Ok(())
    }

    /// Of the other tables: written in order, so that the oldest are found first.
    fn rows_of(
        &mut self,
        table: &str,
        column: &str,
        room: u64,
        gone: &mut u64,
    ) -> Result<(), Failure> {
        if self.reader.columns(table)?.is_empty() {
            return Ok(());
        }
        let (of_group, local) = (self.of_group(), self.piece.before.replace(' ', "T"));
        let old = format!("{of_group} AND {column} > '' AND {column} < '{local}'");
        let ids = self.first("id", &format!("{table} WHERE {old} ORDER BY id LIMIT {room}"))?;
        *gone += self.remove(table, &ids, &old)?;
        Ok(())
    }

    fn first(&mut self, column: &str, from: &str) -> Result<Vec<String>, Failure> {
        let rows = self.reader.rows(&format!("SELECT {column} FROM {from}"))?;
        let first = rows.into_iter().filter_map(|row| match row.into_iter().next() {
            Some(Cell::Text(text)) => Some(text),
            _ => None,
        });
        Ok(first.collect())
    }

    fn remove(&mut self, table: &str, ids: &[String], condition: &str) -> Result<u64, Failure> {
        if !ids.is_empty() {
            let ids = ids.join(", ");
            self.reader
                .rows(&format!("DELETE FROM {table} WHERE id IN ({ids}) AND {condition}"))?;
        }
        Ok(ids.len() as u64)
    }
}

/// Deletes so many rows of a table at the most, and counts them.
type Delete<W> = fn(&mut W, u64, &mut u64) -> Result<(), Failure>;
