//! What is worth knowing of a run beside how it ended: who stopped it, and what it wrote last.

use super::{End, Run};
use schedule::core::ids::RunId;
use schedule::core::journal::RunEntry;

/// Who stops runs here.
pub const ANN: &str = "ann";

/// What the keeper says that a run has written last.
pub fn last_words(run: RunId) -> String {
    format!("{run} is broken")
}

/// The journal says of a run that it has ended.
pub fn check(id: RunId, run: &Run, entry: &RunEntry<'_>) {
    let Some(End::Seen(outcome, ..)) = &run.end else { return };
    let remarks = entry.remarks.clone().unwrap_or_default();
    let failed = !run.ended_told && !outcome.is_success();
    let expected = if failed { last_words(id) } else { String::new() };
    assert_eq!(*remarks.last_line, expected, "run {id} ended with {outcome}: its last line");
    let by = &*remarks.stopped_by;
    assert!(["", ANN, "daemon"].contains(&by), "run {id} was stopped by {by:?}");
    let is_right = by != ANN || run.was_asked && (run.ended_told || !run.goes_on);
    assert!(is_right, "run {id} was stopped by {by}, who never asked for that");
    let is_known = run.ended_told && (run.is_by || run.is_asked);
    assert!(!is_known || !by.is_empty(), "run {id} was stopped, and nobody did that");
}

/// The journal says that a run is to end.
pub fn check_stop(id: RunId, run: &Run, entry: &RunEntry<'_>) {
    let must = run.is_asked && entry.kill_ms.is_some();
    assert!(
        !must || is_by(entry),
        "run {id} is to end, and the journal has no word of who wants it"
    );
}

/// Whether an entry says who has stopped a run.
pub fn is_by(entry: &RunEntry<'_>) -> bool {
    entry.remarks.as_ref().is_some_and(|remarks| !remarks.stopped_by.is_empty())
}
