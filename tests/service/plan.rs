//! `schedule job add|edit --dry-run` and `--back-to`: what would come of a change, and a row as it
//! was.

use crate::daemon::rows::Row;
use crate::job::{NEVER, job, json, on_a_terminal, started};
use crate::service::{Groups, Said, answers_once};
use serde_json::Value;
use std::fs;

fn view(groups: &Groups, name: &str) -> Value {
    json(&job(groups, &["show", name, "--json"]))
}

fn version(groups: &Groups, name: &str) -> String {
    view(groups, name)["version"].as_str().unwrap().to_owned()
}

#[test]
fn a_dry_run_tells_what_would_come_of_it_and_changes_nothing() {
    let groups = started(&[Row::new(1, NEVER, "sleep 60").named("one")]);
    let before = view(&groups, "one");
    let edit = ["edit", "one", "--cron", "30 3 * * *", "--owner", "ann", "--dry-run"];
    let said = job(&groups, &edit);
    let out = &said.expect(0, "").out;
    for part in [
        "~ job 1 (one)\n",
        "  - cron             0 0 1 1 *\n  + cron             30 3 * * *\n",
        "  - owner            (empty)\n  + owner            ann\n",
        "    runs             sleep 60\n",
        "    when             at 03:30  (",
        "    slots that come  7 in a week: 2",
    ] {
        assert!(out.contains(part), "{part:?} in {out}");
    }
    assert_eq!(out.matches("T03:30:00").count(), 10 + 3, "ten instants, three of the week: {out}");
    assert_eq!(view(&groups, "one"), before);
    let told = json(&job(&groups, &[&edit[..], &["--json"]].concat()));
    assert_eq!(told["diff"][0]["to"], "30 3 * * *");
    job(&groups, &["start", "one"]).expect(0, "");
    let said = job(&groups, &["edit", "one", "--command", "sleep 61", "--dry-run"]);
    said.expect(0, "    drains           run 1-").expect(0, " ends by the row of before\n");
    let words =
        ["add", "--name", "two", "--command", "x {NONE}", "--cron", "0 4 1 * 1", "--dry-run"];
    let said = job(&groups, &words);
    said.expect(0, "+ two\n  + command          x {NONE}\n").expect(0, "  ! command: no row of");
    job(&groups, &["show", "two"]).expect(1, "there is no job");
    // What the change would be refused for.
    job(&groups, &["add", "--command", "x", "--cron", "99 * * * *", "--dry-run"])
        .expect(1, "cron: ");
    let said =
        job(&groups, &["edit", "one", "--name=x", "--dry-run", "--if-version", &"0".repeat(16)]);
    said.expect(1, "somebody was first");
    job(&groups, &["edit", "one", "--dry-run"]).expect(2, "--cron");
    job(&groups, &["edit", "7", "--name=x", "--dry-run"]).expect(1, "job 7");
    let text = on_a_terminal(&groups, "job edit one --owner ann --dry-run", &[("TERM", "xterm")]);
    assert!(text.contains("\u{1b}[32m  + owner            ann\u{1b}[0m\n"), "{text}");
    job(&groups, &["stop", "one"]).expect(0, "");
}

#[test]
fn a_row_is_made_as_it_was() {
    let groups = started(&[Row::new(1, NEVER, "true").named("one")]);
    let edit = |words: &[&str]| job(&groups, &[&["edit", "one"][..], words].concat());
    let first = version(&groups, "one");
    edit(&["--cron", "0 4 * * *", "--owner", "ann"]).expect(0, "was changed");
    let second = version(&groups, "one");
    job(&groups, &["disable", "one"]).expect(0, "");
    edit(&["--cron", "0 5 * * *"]).expect(0, "was changed");
    let last = version(&groups, "one");
    edit(&["--back-to", &second, "--dry-run"]).expect(0, "  - cron             0 5 * * *\n");
    assert_eq!(version(&groups, "one"), last, "a dry run");
    let said = edit(&["--back-to", &second]);
    said.expect(0, "  + enabled          true\n").expect(0, "job 1 (one) was changed\n");
    assert_eq!(version(&groups, "one"), second);
    // No change made the first one: that it is so is seen.
    edit(&["--back-to", &first]).expect(0, "  - owner            ann\n");
    assert_eq!(
        (version(&groups, "one"), &view(&groups, "one")["owner"]),
        (first.clone(), &"".into())
    );
    edit(&["--back-to", &first]).expect(0, "nothing is otherwise");
    let said = edit(&["--back-to", &last, "--json"]);
    assert_eq!(json(&said)["cron"], "0 5 * * *");
    let said = job(&groups, &["why", "one", "--at", "2098-01-01 05:00"]);
    said.expect(0, "2098-01-01T05:00:00").expect(0, "and it is disabled. See");
    job(&groups, &["why", "one", "--at", "yesterday"]).expect(2, "not an instant");
    assert_eq!(json(&job(&groups, &["why", "one", "--json"]))["job_id"], 1);
    // What nobody knows.
    let said = edit(&["--back-to", "0123456789abcdef"]);
    said.expect(1, "can't be made of what is known to have been changed");
    said.expect(1, &second);
    assert_eq!(version(&groups, "one"), last);
    edit(&["--back-to", "x"]).expect(2, "16 hexadecimal digits");
    edit(&["--back-to", &first, "--owner", "bob"]).expect(2, "no columns besides");
    edit(&["--back-to", &first, "--if-version", &first]).expect(1, "somebody was first");
}

/// A long answer is no silence, and what a file of a whole group comes to may be long.
#[test]
fn an_answer_that_is_too_long_is_told_as_that() {
    let groups = Groups::new();
    let file = groups.site.file("jobs.json");
    fs::write(&file, "{}").unwrap();
    let told = "\"version\":\"1\",\"changes\":[],\"unchanged\":3,\"left\":0,\"warnings\":[]";
    let long = "x".repeat(17 << 20);
    let answer = format!("HTTP/1.1 200 OK\r\n\r\n{{{told},\"more\":\"{long}\"}}").leak();
    let run = |words: &[&str]| {
        let (url, _) = answers_once(answer);
        let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
        Said::of(&command.args(words).args(["--url", &url]).output().unwrap())
    };
    run(&["forecast"]).expect(1, "the answer is longer than 16 MB");
    run(&["apply", &file, "--dry-run"]).expect(0, "0 new, 0 changed, 0 deleted, 3 as they are");
}

/// What turns the words around it, or can't be seen, is no part of what somebody agrees to.
#[test]
fn a_plan_has_no_marks_of_direction() {
    let groups = Groups::new();
    let file = groups.site.file("jobs.json");
    fs::write(&file, "{}").unwrap();
    let change = "{\"kind\":\"job\",\"key\":\"1\",\"name\":\"a\",\"action\":\"edit\",\
        \"columns\":{\"description\":[\"x\\u202ey\",\"a\\u2066b\\u200bc\\nd\"]}}";
    let answer = format!(
        "HTTP/1.1 200 OK\r\n\r\n{{\"version\":\"1\",\"changes\":[{change}],\"unchanged\":0,\
         \"left\":0,\"warnings\":[]}}"
    );
    let (url, _) = answers_once(answer.leak());
    let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
    let said = command.args(["apply", &file, "--dry-run", "--url", &url]).output().unwrap();
    Said::of(&said).expect(0, "x?y → a?b?c⏎d");
}
