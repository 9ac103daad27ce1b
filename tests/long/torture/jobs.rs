//! A hundred jobs of all kinds. Each writes down when it began and, where it gets that far, when
//! it ended and with which status.

use super::daemon::Site;
use super::daemon::facts::STAMPS;
use super::daemon::rows::{Due, Row};

/// The file with the ends: run, exit status, unix nanoseconds.
pub const ENDS: &str = "ends";

/// How many jobs there are.
pub const JOBS: u32 = 100;

/// One that is due every second and quick.
pub const EVERY_SECOND: u32 = 61;

/// Those that ignore TERM, and are stopped now and then.
pub const STUBBORN: std::ops::RangeInclusive<u32> = 87..=90;

/// Those whose output goes to a file of their own, a line a run.
pub const WRITING: std::ops::RangeInclusive<u32> = 97..=98;

/// The rows.
pub fn rows(site: &Site) -> Vec<Row> {
    let rows: Vec<Row> = (1..=JOBS).map(|id| row(site, id)).collect();
    assert!(rows.iter().all(|row| row.command.len() <= 1000));
    rows
}

/// The exit status of a job that is quick.
fn status(id: u32) -> (u32, &'static str) {
    match id % 10 {
        3 => (3, "exit 3"),
        7 => (255, "exit 255"),
        9 => (127, "exit 127"),
        _ => (0, "exit 0"),
    }
}

fn row(site: &Site, id: u32) -> Row {
    let stamps = site.file(STAMPS);
    let ends = site.file(ENDS);
    let (code, outcome) = status(id);
    let end = |code: u32| format!("date \"+$SCHEDULE_RUN_ID {code} %s%N\" >>'{ends}'; exit {code}");
    let job = |due, rest: &str, code| {
        let rest = if rest.is_empty() { end(code) } else { format!("{rest}; {}", end(code)) };
        Row::stamping(id, due, &stamps, &rest)
    };
    match id {
        // Many at once, so that a kill can hit in between.
        1..=60 => job(Due::Step(2), "", code).ends(outcome).limit([1, 2, 3][id as usize % 3]),
        61..=66 => job(Due::Step(1), "", code).ends(outcome),
        67..=70 => job(Due::Step(5), "i=0; while [ $i -lt 9999 ]; do i=$((i+1)); done", 0),
        71..=73 => Row::stamping(id, Due::Step(3), &stamps, "kill -KILL $$").ends("signal 9"),
        74..=76 => Row::stamping(id, Due::Step(4), &stamps, "kill -TERM $$").ends("signal 15"),
        77..=82 => job(Due::Step(1), &format!("sleep {}", 1 + id % 5), 5).ends("exit 5"),
        83..=86 => job(Due::Step(1), "sleep 4", 6).ends("exit 6").limit(3),
        // What they come to depends on whether they are stopped, and by whom.
        87..=90 => job(Due::Step(5), "trap '' TERM; sleep 2; sleep 2", 8).ends(""),
        91..=93 => job(Due::Step(6), "setsid -w sh -c 'sleep 2; exit 9' || true", 9).ends("exit 9"),
        94..=96 => job(Due::Step(2), "", 0).limit(0),
        97..=98 => job(Due::Step(2), "echo $SCHEDULE_RUN_ID", 0)
            .output(&site.file(&format!("output-{id}"))),
        99 => job(Due::Step(4), "", 0)
            .output(&site.file("no-such-directory/output"))
            .ends("spawn failed: output"),
        _ => job(Due::Minute, "sleep 1", 0),
    }
}
