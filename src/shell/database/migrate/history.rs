//! What a table of many millions of rows gets for its history: how each run stands is filled in, in
//! small pieces beside those who write, and indexes are made. Both may take minutes, and say so.

use super::Session;
use crate::core::run_kind::RunKind;
use crate::shell::database::Failure;
use crate::shell::database::records::{HAS_ENDED, KIND};
use std::time::{Duration, Instant};

/// Rows that are filled in one transaction: some tens of milliseconds.
const PIECE: u64 = 2_000;

/// Ids of a table from which on it is told beforehand what is being done.
const MANY: u64 = 100_000;

/// Between two words about how far it is.
const TOLD_EACH: Duration = Duration::from_secs(2);

impl Session<'_> {
    /// Fills the column of runs that have ended, where that is still to be done. Those that are
    /// alive get it with their end: the daemon that writes it may not know the column.
    pub(super) fn fill_kinds(&mut self) -> Result<(), Failure> {
        let is_open = format!("{KIND} = 0 AND {HAS_ENDED}");
        let first = format!("SELECT id FROM scheduler_logs WHERE {is_open} ORDER BY id LIMIT 1");
        let Some(first) = self.number(&first)? else { return Ok(()) };
        let last = self.number("SELECT MAX(id) FROM scheduler_logs")?.unwrap_or(first);
        let kind = RunKind::sql("outcome", HAS_ENDED);
        let (begin, mut told) = (Instant::now(), Instant::now());
        let mut at = first.saturating_sub(1);
        while at < last {
            // There may be few rows among many ids.
            let end = format!(
                "SELECT id FROM scheduler_logs WHERE id > {at} ORDER BY id LIMIT 1 OFFSET {PIECE}"
            );
            let end = self.number(&end)?.unwrap_or(last).min(last);
            self.run(&format!(
                "UPDATE scheduler_logs SET {KIND} = {kind} \
                 WHERE id > {at} AND id <= {end} AND {is_open}"
            ))?;
            at = end;
            if told.elapsed() > TOLD_EACH {
                told = Instant::now();
                let part = (at - first) * 100 / (last - first).max(1);
                eprintln!("schedule db: fills in how old runs ended: {part} %");
            }
        }
        if begin.elapsed() > TOLD_EACH {
            let seconds = begin.elapsed().as_secs();
            eprintln!("schedule db: filled in how old runs ended, in {seconds} s");
        }
        Ok(())
    }

    /// Makes an index. What it is made of is filled before: to move rows in it takes far longer.
    pub(super) fn make_index(&mut self, index: &str, statement: &str) -> Result<(), Failure> {
        self.fill_kinds()?;
        let ids = self.number("SELECT MAX(id) FROM scheduler_logs")?.unwrap_or(0);
        let begin = Instant::now();
        if ids > MANY {
            let meanwhile = match self {
                Self::Mysql(_) => {
                    "; the daemon goes on meanwhile, and SHOW PROCESSLIST may say how far it is"
                }
                Self::Sqlite(_) => "; what is to be written waits until then",
            };
            eprintln!(
                "schedule db: makes index {index} of scheduler_logs, with some {ids} rows\
                 {meanwhile}"
            );
        }
        self.run(statement)?;
        if ids > MANY {
            let seconds = begin.elapsed().as_secs_f64();
            eprintln!("schedule db: made index {index} in {seconds:.1} s");
        }
        Ok(())
    }

    /// The one number of a result; none: NULL, or no row.
    fn number(&mut self, sql: &str) -> Result<Option<u64>, Failure> {
        Ok(self.first_column(sql)?.first().and_then(|text| text.parse().ok()))
    }
}
