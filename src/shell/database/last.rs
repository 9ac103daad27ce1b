//! When jobs ran last, as their rows say it: of a job that another program ran, or a daemon whose
//! state is gone, nothing else is known.

use super::Failure;
use super::answers::Answers;
use super::mysql::{Kept, Session as Server};
use super::reader::Reader;
use super::sqlite::Session as Embedded;
use crate::core::cells::Cell;
use crate::core::database::Database;
use crate::core::protocol::Answer;

/// Jobs at the most.
const MAX_JOBS: usize = 100_000;

/// Adds it to the answer of a sync. Who may not read it is told nothing: a table is more important.
pub(super) fn runs(
    kept: &mut Kept,
    database: &Database,
    server_id: u32,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let sql = format!(
        "SELECT id, last_run_time FROM scheduler_jobs WHERE server_id = {server_id} \
         AND last_run_time > '1970-01-02 00:00:00' ORDER BY id LIMIT {MAX_JOBS}"
    );
    let rows = match database {
        Database::Mysql(it) => Server::open_kept(kept, it, "DO 0").and_then(|(mut session, _)| {
            let rows = session.rows(&sql)?;
            kept.keep(session);
            Ok(rows)
        }),
        Database::Sqlite(it) => Embedded::open(it, false).and_then(|mut it| it.rows(&sql)),
    };
    for row in rows.unwrap_or_default() {
        if let Ok([Cell::Text(id), Cell::Text(at)]) = <[Cell; 2]>::try_from(row)
            && let Ok(id) = id.parse()
        {
            answers.beside(&Answer::LastRun { id, at })?;
        }
    }
    Ok(())
}
