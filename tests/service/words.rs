//! What the terminal says to who is not at home there yet, or makes a mistake.

use crate::daemon::rows::Row;
use crate::daemon::{SOON, wait_for};
use crate::job::{NEVER, job, json, started};
use crate::service::{Groups, Said};
use std::process::Stdio;

/// `schedule WORDS` where nobody can be asked.
fn alone(groups: &Groups, words: &[&str]) -> Said {
    let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
    command.args(words).args(["-c", &groups.config]).stdin(Stdio::null());
    Said::of(&command.output().unwrap())
}

/// What deletes is agreed to, by a person or by `--yes`.
#[test]
fn nothing_is_deleted_where_nobody_agrees() {
    let groups = started(&[Row::new(1, NEVER, "true").named("one")]);
    let said = alone(&groups, &["job", "delete", "one"]);
    said.expect(1, "schedule job delete: nothing was changed: say --yes");
    job(&groups, &["show", "one"]).expect(0, "");
    let said = alone(&groups, &["job", "delete", "one", "--yes"]);
    assert_eq!(said.expect(0, "").out, "job 1 (one) was deleted\n");
}

#[test]
fn a_job_without_a_name_is_not_what_was_meant() {
    let groups = started(&[Row::new(1, NEVER, "true").named("")]);
    let said = job(&groups, &["show", "t"]);
    assert!(!said.expect(1, "there is no job `t`: ").err.contains("did you mean"), "{said:?}");
    job(&groups, &["edit", "1", "--name", "2"]).expect(0, "warning: name: on the terminal `2` is");
}

/// A run that somebody has stopped is no crash.
#[test]
fn who_stopped_a_run_is_told() {
    let groups = started(&[Row::new(1, NEVER, "sleep 60").named("one")]);
    job(&groups, &["start", "one"]).expect(0, "");
    job(&groups, &["stop", "one"]).expect(0, "");
    wait_for("the end", SOON, || {
        (json(&job(&groups, &["show", "one", "--json"]))["running"] == 0).then_some(())
    });
    let told = "signal 15, stopped by loopback";
    job(&groups, &["runs", "one"]).expect(0, told);
    job(&groups, &["show", "one"]).expect(0, told);
}
