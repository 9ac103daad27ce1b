//! The journal is over its limit, and the loop has more to do than fits in a turn.

use crate::web_common::{START, settings};
use schedule::core::daemon::Core;
use schedule::core::event::{Action, Event};
use schedule::core::journal::{Dropped, Entry, Segment, decode};
use schedule::core::replay::Replay;
use schedule::core::scheduler::Settings;
use schedule::core::time::Now;

/// What a segment begins with says how far all is recorded or counted as dropped.
fn recorded_and_dropped(checkpoint: &[u8]) -> (u64, u64) {
    let mut found = (0, 0);
    for entry in checkpoint.split(|byte| *byte == b'\n').filter_map(decode) {
        match entry {
            Entry::Recorded(through) => found.0 = through,
            Entry::Dropped(Dropped { count, .. }) => found.1 = count,
            _ => {}
        }
    }
    found
}

/// A kill behind a checkpoint that says more would have lost them without a word.
#[test]
fn no_segment_begins_before_what_goes_is_counted() {
    let settings = Settings { journal_limit_bytes: 1_000, ..settings() };
    let segments = [0, 1_000, 2_000].map(|start| Segment { start, bytes: 1_000 });
    let mut core = Core::new(START, settings, Replay::idle("boot", 0), 3_000, segments.into());
    assert!(matches!(core.next_action(), Some(Action::JournalSegment(3_000, _))));
    core.handle(START, Event::JournalFailed("no room".into(), Vec::new()));
    // Two are to be counted, and the turn is over. Then a segment may be begun again.
    let later = |ms: u64| Now { mono_ms: START.mono_ms + ms, ..START };
    core.handle(later(100), Event::Tick);
    core.handle(later(2_000), Event::Tick);
    let mut counted = Vec::new();
    let mut begun = None;
    for _ in 0..2 {
        while let Some(action) = core.next_action() {
            match action {
                Action::JournalCount(start, _) => {
                    counted.push(start);
                    core.handle(later(2_000), Event::JournalCounted(start, 7));
                }
                Action::JournalSegment(_, checkpoint) => {
                    let (recorded, dropped) = recorded_and_dropped(&checkpoint);
                    let before = counted.iter().map(|start| start + 1_000).max().unwrap_or(0);
                    assert_eq!((recorded, dropped), (before, 7 * counted.len() as u64));
                    begun = Some(recorded);
                    core.handle(later(2_000), Event::JournalWritten);
                }
                Action::Journal(..) => core.handle(later(2_000), Event::JournalWritten),
                _ => {}
            }
        }
        core.handle(later(2_000), Event::Tick);
    }
    assert_eq!((counted, begun), (vec![0, 1_000], Some(2_000)));
}
