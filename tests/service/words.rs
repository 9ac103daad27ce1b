//! What the terminal says to who is not at home there yet, or makes a mistake.

use crate::daemon::rows::{Due, Row};
use crate::daemon::{SOON, wait_for};
use crate::job::{NEVER, job, json, started};
use crate::service::{Groups, Said};
use std::fs;
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

/// What is imported beside cron is not in force yet.
#[test]
fn a_crontab_is_imported_without_being_in_force() {
    let groups = started(&[]);
    let file = groups.site.file("crontab");
    fs::write(&file, "0 3 * * * /opt/a\n0 4 * * * /opt/b\n").unwrap();
    let import = ["import", "crontab", &file, "--disabled"];
    let said = alone(&groups, &[&import[..], &["--dry-run"]].concat());
    assert_eq!(said.expect(0, "").out.matches("    enabled  false\n").count(), 2, "{said:?}");
    alone(&groups, &import).expect(1, "say --yes");
    alone(&groups, &[&import[..], &["--yes"]].concat()).expect(0, "2 new, ");
    job(&groups, &["list"]).expect(0, "0 of 0 jobs, 2 disabled");
    job(&groups, &["enable", "a"]).expect(0, "");
    job(&groups, &["list"]).expect(0, "1 of 1 job, 1 disabled");
}

#[test]
fn an_instant_may_be_a_local_time_and_a_bad_one_is_a_wrong_argument() {
    let groups = started(&[Row::new(1, Due::Never("0 5 * * *"), "true").named("one")]);
    let forms = "write it as 2026-11-22T13:42:07+08:00, or by the local time as 2026-11-22 13:42";
    for words in
        [&["forecast", "-s1", "--from", "soon"][..], &["job", "why", "one", "--at", "soon"]]
    {
        groups.run(words).expect(2, forms);
    }
    let to = ["--from=2030-01-01 04:00", "--to=2030-01-01T05:30"];
    let said = groups.run(&[&["forecast", "-s1"][..], &to].concat());
    said.expect(0, "1 slot from 2030-01-01T04:00:00+08:00 until 2030-01-01T05:30:00+08:00");
}

#[test]
fn a_group_that_there_is_not_is_told_in_one_way() {
    let groups = Groups::new();
    for verb in ["check", "run", "start"] {
        let told = "no [server_9] in the configuration; there is [server_1], [server_2]";
        groups.run(&[verb, "9"]).expect(2, told);
    }
}

/// Who sees nothing is told where something is.
#[test]
fn an_output_that_is_in_stderr_is_told() {
    let groups = started(&[
        Row::new(1, NEVER, "echo bad >&2").named("one"),
        Row::new(2, NEVER, "true").named("two"),
    ]);
    for (name, told) in
        [("one", "schedule job output: nothing on stdout: see --stderr\n"), ("two", "")]
    {
        job(&groups, &["start", name, "--wait"]).expect(0, "");
        let said = job(&groups, &["output", name]);
        assert_eq!((&*said.expect(0, "").out, &*said.err), ("", told));
    }
    job(&groups, &["output", "one", "--stderr"]).expect(0, "bad\n");
}

/// A warning is said once.
#[test]
fn a_row_that_is_made_as_it_was_is_warned_of_once() {
    let groups = started(&[Row::new(1, NEVER, "echo {NONE}").named("one")]);
    let version = json(&job(&groups, &["show", "one", "--json"]))["version"].clone();
    job(&groups, &["edit", "one", "--command", "true"]).expect(0, "");
    let back = ["edit", "one", "--back-to", version.as_str().unwrap()];
    let said = job(&groups, &back);
    let all = format!("{}{}", said.expect(0, "  + command          echo {NONE}\n").out, said.err);
    assert_eq!(all.matches("no row of scheduler_vars").count(), 1, "{said:?}");
    assert!(!said.out.contains("slots that"), "the difference alone: {said:?}");
    job(&groups, &["edit", "--help"]).expect(0, "--max-concurrence");
}
