//! The snapshot of the table: what a daemon that starts without its database goes by. Only that of
//! the table which was in force last counts, whatever a kill or the state directory did to it.
#![allow(clippy::unwrap_used)]

mod common;
mod daemon;

use common::database::TestDatabase;
use daemon::rows::{Due, Row};
use daemon::{Daemon, SOON, Site, wait_for};
use schedule::core::protocol::Driver;
use std::fs;
use std::process::Command;

/// A site with one job, called `first`, that is due each second.
fn site_of(database: &mut TestDatabase) -> Site {
    let site = Site::new(&database.config);
    let row = Row::new(1, Due::Step(1), &format!("echo >>'{}'", site.file("ran")));
    database.sql(&row.named("first").insert());
    site
}

fn snapshot(site: &Site) -> String {
    site.read("state.1/snapshot")
}

fn wait_for_snapshot(site: &Site, name: &str) {
    wait_for("a snapshot", SOON, || snapshot(site).contains(name).then_some(()));
}

/// Renames the job and waits until its snapshot is kept. Returns that of before.
fn rename(site: &Site, database: &mut TestDatabase, name: &str) -> String {
    let before = snapshot(site);
    database.sql(&format!("UPDATE scheduler_jobs SET name = '{name}';"));
    wait_for_snapshot(site, name);
    before
}

/// A daemon whose database is not there. Returns it when it has missed that.
fn start_without_database(site: &mut Site) -> Daemon {
    site.database.driver = Driver::Sqlite;
    site.database.path = site.file("away.db");
    let daemon = site.start();
    wait_for("the database to be missed", SOON, || {
        (daemon.metric("schedule_exchanges_total{result=\"failure\"}") > 2).then_some(())
    });
    daemon
}

fn status_line(site: &Site) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schedule"));
    let output = command.args(["status", "1", "-c", &site.file("schedule.ini")]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everywhere the same is said of the snapshot.
fn says(site: &Site, daemon: &Daemon, api: &str, page: &str) {
    wait_for("that to be told", SOON, || {
        daemon.status()["snapshot_error"].as_str().is_some_and(|it| it.contains(api)).then_some(())
    });
    let body = daemon.get("/").body;
    assert!(body.contains(page), "{page}: {body}");
    let line = status_line(site);
    assert!(line.contains(api), "{line}");
    assert_eq!(daemon.metric("schedule_snapshot_error"), 1);
}

#[test]
fn a_snapshot_that_cannot_be_written_is_none_and_is_made_up_for() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Minute, "true").named("first").insert());
    let daemon = site.start();
    let snapshot = || fs::read_to_string(site.file("state.1/snapshot")).unwrap_or_default();
    let names = |name: &str| {
        wait_for("a snapshot", SOON, || snapshot().contains(name).then_some(()));
    };
    names("first");
    // The helper can't write here. (On a disk that is full it is the same.)
    fs::create_dir(site.file("state.1/snapshot.new")).unwrap();
    for name in ["second", "third"] {
        database.sql(&format!("UPDATE scheduler_jobs SET name = '{name}';"));
        daemon.wait_job(1, "renamed", |job| job["name"] == name);
        // That of before is not what is in force: nobody is to start from it.
        wait_for("no snapshot", SOON, || snapshot().is_empty().then_some(()));
    }
    assert!(!site.logged("that of before is put").is_empty());
    fs::remove_dir(site.file("state.1/snapshot.new")).unwrap();
    names("third");
}

/// A state directory in which no name can be changed, as far as the snapshot goes.
fn names_stay(site: &Site, stay: bool) {
    for name in ["new", "stale", "old"] {
        let path = site.file(&format!("state.1/snapshot.{name}"));
        let _ = fs::remove_file(&path);
        if stay { fs::create_dir(path).unwrap() } else { fs::remove_dir(path).unwrap() }
    }
}

#[test]
fn a_job_that_was_switched_off_does_not_run_from_an_old_snapshot() {
    for mut database in TestDatabase::each() {
        let mut site = site_of(&mut database);
        let daemon = site.start();
        wait_for_snapshot(&site, "first");
        wait_for("a run", SOON, || (!site.read("ran").is_empty()).then_some(()));
        names_stay(&site, true);
        database.sql("UPDATE scheduler_jobs SET status = 0;");
        wait_for("no job", SOON, || (daemon.status()["jobs"] == 0).then_some(()));
        says(&site, &daemon, "of the table in force is missing", "The jobs in force could not be");
        assert!(snapshot(&site).contains("first"), "nobody could take it away");
        daemon.kill();

        let before = site.read("ran");
        let daemon = start_without_database(&mut site);
        assert_eq!(site.read("ran"), before, "runs of a job that is switched off");
        says(&site, &daemon, "was not of the table that was in force last", "nothing is started");
        assert_eq!(site.logged("another table was in force after it").len(), 1);
        // So does the next one know, whose journal begins with a checkpoint.
        daemon.kill();
        drop(start_without_database(&mut site));
        assert_eq!(site.logged("another table was in force after it").len(), 2);
        assert_eq!(site.read("ran"), before, "runs of a job that is switched off");

        names_stay(&site, false);
        site.database = database.config.clone();
        let daemon = site.start();
        wait_for("a snapshot", SOON, || {
            let status = daemon.status();
            (status["table_read"] == true && status["snapshot_error"].is_null()).then_some(())
        });
        assert_eq!(daemon.metric("schedule_snapshot_error"), 0);
    }
}

#[test]
fn a_snapshot_that_a_killed_daemon_had_not_kept_is_used() {
    for mut database in TestDatabase::each() {
        let mut site = site_of(&mut database);
        let daemon = site.start();
        wait_for_snapshot(&site, "first");
        let first = rename(&site, &mut database, "second");
        daemon.kill();
        // As if it had been killed just before, or in the middle of it.
        for name in ["snapshot", "snapshot.old"] {
            let path = |name: &str| site.file(&format!("state.1/{name}"));
            fs::rename(path("snapshot"), path("snapshot.new")).unwrap();
            fs::write(path(name), &first).unwrap();
            let daemon = start_without_database(&mut site);
            daemon.wait_job(1, "the last one", |job| job["name"] == "second");
            assert!(snapshot(&site).contains("second"));
            assert!(daemon.status()["snapshot_error"].is_null());
            daemon.kill();
        }
    }
}

/// The journal of a release that did not name its table: what is there is the last good one.
#[test]
fn a_journal_without_a_word_of_the_table_is_read_as_before() {
    let mut database = TestDatabase::new(Driver::Sqlite);
    let mut site = site_of(&mut database);
    let daemon = site.start();
    wait_for_snapshot(&site, "first");
    let first = rename(&site, &mut database, "second");
    daemon.kill();
    fs::write(site.file("state.1/snapshot"), first).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(site.file("state.1/journal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "log") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let blank = |line: &str| match line.contains("{\"table\":") {
            true => "\n".repeat(line.len()),
            false => line.to_owned(),
        };
        count += text.matches("{\"table\":").count();
        fs::write(path, text.split_inclusive('\n').map(blank).collect::<String>()).unwrap();
    }
    assert!(count > 1, "the journal names {count} tables");
    let daemon = start_without_database(&mut site);
    daemon.wait_job(1, "as it is there", |job| job["name"] == "first");
    assert!(daemon.status()["snapshot_error"].is_null());
}
