//! Rows that are edited, disabled, removed and enabled again while their runs are alive, as the API
//! shows it (docs: the table of decisions in the architecture).

use crate::common::database::TestDatabase;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, Site, log, wait_for};
use schedule::core::database::Driver;
use serde_json::Value;
use std::fs;

/// A job that runs until the file `go` appears, and says what it is.
fn waiting_row(site: &Site, word: &str) -> Row {
    let (go, said) = (site.file("go"), site.file("said"));
    let command =
        format!("echo {word} >>'{said}'; until [ -e '{go}' ]; do sleep 0.05; done; rm '{go}'");
    Row::new(1, Due::Step(1), &command)
}

fn let_go(site: &Site) {
    fs::write(site.file("go"), "").unwrap();
}

fn set_status(database: &mut TestDatabase, status: u8) {
    database.sql(&format!("UPDATE scheduler_jobs SET status = {status};"));
}

fn start_with_a_run() -> (Site, TestDatabase, Daemon, Value) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&waiting_row(&site, "old").insert());
    let daemon = site.start();
    let job = daemon.wait_job(1, "running", |job| job["state"] == "running");
    let run = job["live"][0]["run_id"].clone();
    (site, database, daemon, run)
}

#[test]
fn an_edited_row_waits_until_the_old_run_has_ended() {
    let (site, mut database, daemon, run) = start_with_a_run();
    let new = waiting_row(&site, "new").command.replace('\'', "''");
    database.sql(&format!("UPDATE scheduler_jobs SET command = '{new}';"));
    let job = daemon.wait_job(1, "deleting", |job| job["state"] == "deleting");
    assert_eq!(job["waiting"]["state"], "waiting");
    assert_ne!(job["waiting"]["md5"], job["md5"]);
    assert_eq!(job["live"][0]["run_id"], run);
    // Both are in the list, and each is found by its state.
    assert_eq!(daemon.json("/api/v1/jobs")["total"], 2);
    assert_eq!(daemon.json("/api/v1/jobs?state=waiting")["total"], 1);
    // Slots of the new definition are skipped for that reason.
    daemon.wait_job(1, "waiting for a while", |job| {
        job["skipped"]["waiting"].as_u64().is_some_and(|count| count >= 2)
    });
    assert_eq!(site.read("said"), "old\n");
    let reasons: Vec<_> = log::skips(&site.log()).into_iter().map(|skip| skip.reason).collect();
    assert!(reasons.contains(&"waiting".to_owned()), "{reasons:?}");
    let_go(&site);
    daemon.wait_job(1, "running in its new form", |job| {
        job["state"] == "running" && job["waiting"].is_null() && job["live"][0]["run_id"] != run
    });
    wait_for("the new job to speak", SOON, || (site.read("said") == "old\nnew\n").then_some(()));
    assert_eq!(daemon.json("/api/v1/jobs")["total"], 1);
}

#[test]
fn a_removed_row_drains() {
    let (site, mut database, daemon, run) = start_with_a_run();
    database.sql("DELETE FROM scheduler_jobs;");
    let job = daemon.wait_job(1, "deleting", |job| job["state"] == "deleting");
    assert_eq!((&job["live"][0]["run_id"], &job["next_due"]), (&run, &Value::Null));
    assert_eq!(site.logged("job=1 is gone from the table: it drains").len(), 1);
    let_go(&site);
    daemon.wait_gone(1);
    assert_eq!(site.read("said"), "old\n");
    let run = run.as_str().unwrap();
    let done = format!("outcome = 'exit 0' AND uniq_id = '{run}'");
    let sql = format!("SELECT COUNT(*) FROM scheduler_logs WHERE {done}");
    wait_for("the record of its end", SOON, || (database.value(&sql) == "1").then_some(()));
}

#[test]
fn a_row_that_is_enabled_again_is_simply_active() {
    let (site, mut database, daemon, run) = start_with_a_run();
    set_status(&mut database, 0);
    daemon.wait_job(1, "deleting", |job| job["state"] == "deleting");
    set_status(&mut database, 1);
    let job = daemon.wait_job(1, "running", |job| job["state"] == "running");
    assert_eq!(job["live"][0]["run_id"], run);
    let_go(&site);
    daemon.wait_job(1, "running once more", |job| {
        job["state"] == "running" && job["live"][0]["run_id"] != run
    });
    set_status(&mut database, 0);
    let job = daemon.wait_job(1, "deleting", |job| job["state"] == "deleting");
    assert_eq!(job["enabled"], false);
    assert_eq!(site.logged("job=1 is disabled: it drains").len(), 2);
    assert_eq!((&daemon.status()["jobs"], &daemon.status()["disabled"]), (&1.into(), &1.into()));
    let_go(&site);
    // What it did is there still, and nothing of it is started.
    let job = daemon.wait_job(1, "disabled", |job| job["state"] == "disabled");
    assert_eq!(job["last_run"]["outcome"], "exit 0");
    assert_eq!((&daemon.status()["jobs"], &daemon.status()["disabled"]), (&0.into(), &1.into()));
    let refused = daemon.request("POST", "/api/v1/jobs/1/start");
    assert!(refused.status == 409 && refused.body.contains("enable it"), "{refused:?}");
    database.sql("DELETE FROM scheduler_jobs;");
    wait_for("it to be gone", SOON, || daemon.job(1).is_none().then_some(()));
}

#[test]
fn an_edit_that_is_taken_back_changes_nothing() {
    let (site, mut database, daemon, run) = start_with_a_run();
    database.sql("UPDATE scheduler_jobs SET name = 'other';");
    daemon.wait_job(1, "deleting", |job| job["state"] == "deleting");
    database.sql("UPDATE scheduler_jobs SET name = 'job 1';");
    let job = daemon.wait_job(1, "running", |job| job["state"] == "running");
    assert_eq!((&job["live"][0]["run_id"], &job["waiting"]), (&run, &Value::Null));
    let_go(&site);
}

#[test]
fn a_row_that_has_no_runs_is_replaced_at_once() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Never("0 0 1 1 *"), "true").insert());
    let daemon = site.start();
    let old = daemon.wait_job(1, "there", |job| job["state"] == "");
    database.sql("UPDATE scheduler_jobs SET cron = '61 * * * *';");
    let bad = daemon.wait_job(1, "refused", |job| job["state"] == "invalid");
    assert!(bad["error"].as_str().unwrap().contains("61"), "{bad}");
    assert_ne!(old["md5"], bad["md5"]);
    assert_eq!(site.logged("bad row job=1 cron=\"61 * * * *\"").len(), 1);
    database.sql("UPDATE scheduler_jobs SET cron = '* * * * * *';");
    daemon.wait_job(1, "launched", |job| job["last_run"]["outcome"] == "exit 0");
    set_status(&mut database, 0);
    daemon.wait_gone(1);
}

#[test]
fn variables_count_as_soon_as_they_change() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let said = site.file("said");
    database.sql(&Row::new(1, Due::Step(1), &format!("echo {{词}} >>'{said}'")).insert());
    let daemon = site.start();
    daemon.wait_job(1, "as it stands", |job| job["command"].as_str().unwrap().contains("{词}"));
    database.sql("INSERT INTO scheduler_vars (name, value, server_id) VALUES ('词', '你好', 7);");
    let job = daemon
        .wait_job(1, "filled in", |job| job["command"].as_str().unwrap().starts_with("echo 你好 "));
    assert!(job["raw_command"].as_str().unwrap().contains("{词}"));
    wait_for("the word", SOON, || site.read("said").contains("你好\n").then_some(()));
}
