//! What is said of a row about when its pause ends.

use schedule::core::check::check_rows;
use schedule::core::protocol::{Answer, JobRow};
use std::collections::BTreeMap;

/// What ends at no instant starts nothing: that is told.
#[test]
fn a_pause_that_ends_at_no_instant() {
    let ends = ["", "2026-12-01T07:00:00+08:00", "9999-01-01T00:00:00Z", "soon"];
    let paused = |(id, until): (u32, &str)| {
        let (command, cron) = (format!("/c{id}"), "* * * * *".to_owned());
        let row = JobRow { id, command, cron, paused_until: until.into(), ..JobRow::new(1) };
        Answer::Job(Box::new(row))
    };
    let rows: Vec<Answer> = (1..).zip(ends).map(paused).collect();
    let said: Vec<String> =
        check_rows(&rows, &BTreeMap::new()).iter().map(ToString::to_string).collect();
    let text = "job 4: error: paused_until: \"soon\" is not an instant; write it as \
                2026-11-22T13:42:07+08:00, or leave it empty";
    assert_eq!(said, [text]);
}
