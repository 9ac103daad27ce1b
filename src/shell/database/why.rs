//! Reads what tells why a job ran, or did not, at an instant: what has changed its row, who
//! paused it, its runs and skips around that time, and of one that failed the last good run and the
//! first bad one.

use super::Failure;
use super::answers::Answers;
use super::mysql::Kept;
use super::past::with_reader;
use super::reader::Reader;
use super::{acts, past};
use crate::core::database::Database;
use crate::core::ids::RunId;
use crate::core::protocol::{ActsAsk, RunsAsk, WhyAsk};
use crate::core::run_kind::RunKind;

/// Answers an [`Ask::Why`](crate::core::protocol::Ask::Why).
pub(super) fn read(
    kept: &mut Kept,
    database: &Database,
    ask: &WhyAsk,
    answers: &mut Answers,
) -> Result<(), Failure> {
    with_reader(kept, database, |reader| answer(reader, ask, answers))
}

fn answer(reader: &mut dyn Reader, ask: &WhyAsk, answers: &mut Answers) -> Result<(), Failure> {
    acts::answer(reader, &ask.changes, answers)?;
    acts::answer(reader, &ask.pauses, answers)?;
    past::answer(reader, &ask.near, answers)?;
    past::answer(reader, &ask.skips, answers)?;
    let Some(good) = past::answer(reader, &ask.good, answers)? else { return Ok(()) };
    let bad = RunsAsk {
        kinds: RunKind::FAILED.to_vec(),
        since: good.start_time.clone(),
        until: String::new(),
        oldest: true,
        ..ask.good.clone()
    };
    past::answer(reader, &bad, answers)?;
    // Of a run of the original no id tells the time.
    let Ok(run) = good.uniq_id.parse::<RunId>() else { return Ok(()) };
    let from = RunId { instance: 1, ..run }.to_string();
    acts::answer(reader, &ActsAsk { from, ..ask.words.clone() }, answers)
}
